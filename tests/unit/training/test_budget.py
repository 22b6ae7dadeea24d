"""Trainings of so many minutes: how many steps that is, and that it stays as many."""

import time

import pytest
import yaml
from stopped import StopAt, same, weights

from mipnerf.config import OperationConfig, RunConfig
from mipnerf.config.runs import linearly_scaled, run_from_settings, scaled, shrunk_batch
from mipnerf.errors import CheckpointError, ConfigError, Interrupted
from mipnerf.training import loop as training
from mipnerf.training.budget import Budget, long_warm_up, read_budget, step_seconds
from mipnerf.training.history import read_rows
from mipnerf.training.loop import train
from mipnerf.training.status import read_status

OPERATION = OperationConfig(print_every=3, save_every=5, device="cpu")


def timed(run: RunConfig, minutes: float) -> RunConfig:
    """`run` with minutes instead of steps."""
    values = run.model_dump(exclude_unset=True)
    del values["train"]["max_steps"]
    values["train"]["minutes"] = minutes
    return RunConfig.model_validate(values)


@pytest.fixture
def clock(monkeypatch):
    """A function: seconds that a step is measured to take from now on; returns how often it was measured."""
    measured = []

    def says(seconds):
        def measure(take_steps, budget_seconds, agreed):
            take_steps(2)
            measured.append(budget_seconds)
            return agreed(lambda: seconds)

        monkeypatch.setattr(training, "step_seconds", measure)
        return measured

    return says


def test_the_measurement_leaves_the_first_step_out_and_takes_its_share_of_the_budget():
    taken = []

    def take_steps(count):
        taken.append(count)
        return 100.0 if len(taken) == 1 else 0.5 * count

    assert step_seconds(take_steps, 100.0, lambda make: make()) == 0.5
    assert taken == [1, 3, 3, 6]  # more than five seconds
    assert step_seconds(take_steps, 1e9, lambda make: make()) == 0.5
    assert sum(taken[4:]) == 1 + 24  # more than ten


def test_all_processes_take_the_number_of_the_first():
    assert step_seconds(lambda count: 7.0 * count, 1.0, lambda make: 0.3) == pytest.approx(0.1)


def test_a_warm_up_that_fills_the_minutes_is_told():
    budget = Budget(1.0, 0.1, "CPU")  # 600 steps
    assert long_warm_up(budget, 300) is None
    assert "301 of the 600 steps of 1 minutes warm up: set train.lr_delay_steps" in long_warm_up(budget, 301)
    assert "600 of the 600 steps" in long_warm_up(budget, 2500)


def test_minutes_are_the_steps_that_fit_into_them_and_the_training_is_that_of_so_many(
    tmp_path, clock, small_run, small_scene
):
    """Also to the bit: the measurement leaves nothing behind."""
    measured = clock(0.05)
    train(timed(small_run, 0.01), OPERATION, small_scene, tmp_path / "minutes", threads=1)
    train(small_run, OPERATION, small_scene, tmp_path / "steps", threads=1)  # 12 of them
    assert measured == [pytest.approx(0.6)]
    assert same(weights(tmp_path / "minutes"), weights(tmp_path / "steps"))
    rows, others = (read_rows(tmp_path / name / "history.csv") for name in ("minutes", "steps"))
    assert [(row.step, row.loss, row.lr) for row in rows] == [(row.step, row.loss, row.lr) for row in others]
    config = yaml.safe_load((tmp_path / "minutes" / "config.yaml").read_text())
    assert (config["train"]["minutes"], config["train"]["max_steps"]) == (0.01, 12)
    assert config["record"]["budget"]["seconds_per_step"] == 0.05


def test_resumed_repeated_and_forced_trainings_keep_their_steps(tmp_path, clock, small_run, small_scene, monkeypatch):
    run, folder = timed(small_run, 0.01), tmp_path / "toy" / "mipnerf" / "box"
    measured = clock(0.05)
    train(run, OPERATION, small_scene, tmp_path / "whole", threads=1)
    StopAt(monkeypatch, 9)
    with pytest.raises(Interrupted):
        train(run, OPERATION, small_scene, folder, threads=1)
    status = read_status(folder, tmp_path)
    assert (status.max_steps, status.minutes) == (12, 0.01)
    assert "/12 in 0.01 min" in status.cells()[2]
    assert len(measured) == 2
    clock(50.0)  # a much slower machine
    train(run, OPERATION, small_scene, folder, threads=1)
    assert same(weights(folder), weights(tmp_path / "whole"))
    train(run, OPERATION, small_scene, folder, threads=1)
    train(run, OPERATION, small_scene, folder, threads=1, fresh="anew")
    assert same(weights(folder), weights(tmp_path / "whole"))
    assert len(measured) == 2


@pytest.mark.slow
def test_a_real_training_takes_about_its_minutes(tmp_path, small_run, small_scene):
    """The clock is real, and the machine may be busy: the bounds only catch a wrong unit."""
    started = time.perf_counter()
    train(timed(small_run, 0.025), OPERATION, small_scene, tmp_path, threads=1)
    assert time.perf_counter() - started < 60
    (budget,) = (read_budget(path.parent) for path in tmp_path.glob("checkpoints/*/budget.yaml"))
    rows = read_rows(tmp_path / "history.csv")
    assert rows[-1].step == budget.steps
    assert 0.1 < rows[-1].seconds / 1.5 < 10


def test_a_damaged_record_is_one_message(tmp_path, clock, small_run, small_scene):
    clock(0.05)
    run = timed(small_run, 0.01)
    train(run, OPERATION, small_scene, tmp_path, threads=1)
    (path,) = tmp_path.glob("checkpoints/*/budget.yaml")
    for content in ("minutes: [", "minutes: 3", "{minutes: 1, seconds_per_step: 0, device: cpu}"):
        path.write_text(content)
        with pytest.raises(CheckpointError, match=r"budget.yaml.*remove .* to train anew"):
            train(run, OPERATION, small_scene, tmp_path, threads=1)


def test_a_step_is_taken_however_short_the_time():
    assert Budget(0.1, 600.0, "cpu").steps == 1
    assert str(Budget(10, 0.0123, "cpu")) == "48,780 steps of 0.0123 s for 10 minutes"


def test_what_scales_a_run_scales_its_minutes():
    run = run_from_settings("a", "b", "c", ["train.minutes=10", "train.batch_size=64", "train.linear_scaling=true"])
    assert (run.train.minutes, run.train.max_steps) == (10, 1_000_000)
    assert run.train.lr_init == pytest.approx(5e-4 / 64)
    assert linearly_scaled(run) == run
    assert shrunk_batch(run_from_settings("a", "b", "c", ["train.minutes=10", "train.batch_size=64"])) is None
    small = scaled(run, 0.1)
    assert small.train.minutes == pytest.approx(1)
    assert run_from_settings("a", "b", "c", small.settings()) == small


def test_steps_and_minutes_exclude_one_another():
    with pytest.raises(ConfigError, match=r"a/b/c: train.max_steps 5 and train.minutes 1.5 are both given.*remove one"):
        run_from_settings("a", "b", "c", ["train.max_steps=5", "train.minutes=1.5"])
    with pytest.raises(ConfigError, match=r"train.minutes is 0: .*greater than 0"):
        run_from_settings("a", "b", "c", ["train.minutes=0"])
