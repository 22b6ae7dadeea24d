"""One training on two processes is that on one, and none of them outlives the other."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from processes import PATIENCE

from mipnerf.config import OperationConfig
from mipnerf.config.runs import run_from_settings
from mipnerf.datasets.bricks import render_bricks
from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.datasets.load import load_scene
from mipnerf.errors import Interrupted
from mipnerf.training.budget import read_budget
from mipnerf.training.history import read_rows, read_validation
from mipnerf.training.loop import Trainer, train
from mipnerf.training.validating import validation_views

SCRIPT = Path(__file__).parents[2] / "workflow_scripts" / "train.py"
SETTINGS = [
    *("model.net_depth=2", "model.net_width=16", "model.num_samples=8", "model.max_deg_point=4"),
    *("train.batch_size=101", "train.precision=float32", "train.weight_decay_mult=0.01", "train.grad_max_norm=0.1"),
    *("train.lr_init=5.0e-3", "train.lr_final=5.0e-4", "train.lr_delay_steps=2"),
]
OPERATION = {"save_every": 5, "print_every": 10, "device": "cpu"}
NAME = Path("bricks", "mipnerf", "scene")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    render_bricks(folder / "source", size=16, num_train=3, num_val=1, num_test=1, samples=1, workers=1)
    convert_to_multiscale(folder / "source", folder / "scene", num_levels=2)
    return folder / "scene"


def on_one(data: Path, output: Path, steps: int) -> None:
    """Train in this process."""
    run = run_from_settings(*NAME.parts, [*SETTINGS, f"train.max_steps={steps}"], 2)
    operation = OperationConfig(**OPERATION)
    views = validation_views(data, run, operation)
    train(run, operation, load_scene(data, "train", 2, run.data), output, threads=1, validation=views)


@pytest.fixture
def on_two(data) -> Iterator[Callable[[Path, int, Path], subprocess.Popen]]:
    """Starts the training on two processes, as a workflow's launcher does; none is left behind."""
    jobs: list[subprocess.Popen] = []

    def start(output: Path, steps: int | str, log: Path) -> subprocess.Popen:
        torchrun = Path(sys.executable).with_name("torchrun")
        launcher = [torchrun, "--standalone", "--nproc-per-node=2", "--no-python", "--"]
        operation = [f"operation.{key}={value}" for key, value in OPERATION.items()]
        settings = [*SETTINGS, steps if isinstance(steps, str) else f"train.max_steps={steps}", *operation]
        arguments = ["--data", data, "--output", output, "--levels", "2", "--log", log, "--set", *settings]
        command = list(map(str, [*launcher, sys.executable, SCRIPT, *arguments]))
        jobs.append(subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True))
        return jobs[-1]

    yield start
    for job in jobs:
        job.terminate()
        job.wait(PATIENCE)


def saved_step(output: Path) -> int:
    states = output.glob("checkpoints/*/step_*.pt")
    return max((int(path.name[5:13]) for path in states), default=0)


def wait_for(output: Path, step: int, job: subprocess.Popen) -> list[psutil.Process]:
    """Wait until a checkpoint of `step` or later is there; the training processes by rank."""
    deadline = time.monotonic() + PATIENCE
    while saved_step(output) < step:
        assert job.poll() is None, job.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    processes = psutil.Process(job.pid).children()
    ranks = {int(process.environ()["RANK"]): process for process in processes if "RANK" in process.environ()}
    assert sorted(ranks) == [0, 1]
    return [ranks[0], ranks[1]]


def assert_same_training(first: Path, second: Path) -> None:
    weights, expected = (torch.load(f / "model.pt", weights_only=True)["parameters"] for f in (first, second))
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, atol=1e-5, rtol=1e-4)
    rows, expected_rows = (read_rows(folder / "history.csv") for folder in (first, second))
    assert [row.step for row in rows] == [row.step for row in expected_rows]
    for row, other in zip(rows, expected_rows, strict=True):
        assert row.losses == pytest.approx(other.losses, rel=1e-3)
    views, expected_views = (read_validation(folder / "validation.csv") for folder in (first, second))
    assert len(views) == 20
    assert [view.step for view in views] == [view.step for view in expected_views]
    assert [view.psnr for view in views] == pytest.approx([view.psnr for view in expected_views], abs=0.01)


def test_two_processes_go_on_with_what_one_began_and_end_where_it_would(data, on_two, tmp_path, monkeypatch):
    on_one(data, tmp_path / "one" / NAME, 40)
    output = tmp_path / "two" / NAME
    original = Trainer.take_step

    def stop_at_7(self, *arguments):
        if self.step == 7:
            signal.raise_signal(signal.SIGTERM)
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "take_step", stop_at_7)
        with pytest.raises(Interrupted):
            on_one(data, output, 40)
    job = on_two(output, 40, tmp_path / "log")
    assert job.wait(PATIENCE) == 0, job.stderr.read()
    assert_same_training(output, tmp_path / "one" / NAME)
    log = (tmp_path / "log").read_text()
    assert log.count("goes on after step 7 of 40") == log.count("step 40/40") == log.count("is trained") == 1
    assert "processes: 2" in (output / "config.yaml").read_text()


def test_a_signal_to_one_process_stops_both_and_one_goes_on(data, on_two, tmp_path):
    output, steps = tmp_path / "two" / NAME, 200
    job = on_two(output, steps, tmp_path / "log")
    processes = wait_for(output, 10, job)
    processes[1].send_signal(signal.SIGTERM)
    assert job.wait(PATIENCE) != 0
    log = (tmp_path / "log").read_text()
    step = saved_step(output)
    assert f"was stopped by signal 15; step {step} is saved" in log
    assert f"process 1: Interrupted: bricks/mipnerf/scene was stopped by signal 15; step {step} is saved" in log
    assert 10 <= step < steps
    assert not (output / "model.pt").exists()
    rows = read_rows(next(output.glob("checkpoints/*/history.csv")))
    on_one(data, output, steps)
    on_one(data, tmp_path / "one" / NAME, steps)
    expected = read_rows(tmp_path / "one" / NAME / "history.csv")
    assert [row.loss for row in rows] == pytest.approx([row.loss for row in expected[: len(rows)]], rel=1e-3)
    assert_same_training(output, tmp_path / "one" / NAME)


def test_no_process_outlives_another_and_a_signal_to_torchrun_saves(on_two, tmp_path):
    output, steps = tmp_path / "two" / NAME, 1_000_000
    job = on_two(output, steps, tmp_path / "log")
    processes = wait_for(output, 10, job)
    os.kill(processes[0].pid, signal.SIGKILL)
    assert job.wait(PATIENCE) != 0
    assert not any(process.is_running() for process in processes)
    assert "another process of this training has ended" in (tmp_path / "log").read_text()
    step = saved_step(output)
    job = on_two(output, steps, tmp_path / "log")
    processes = wait_for(output, step + 5, job)
    job.send_signal(signal.SIGTERM)
    assert job.wait(PATIENCE) != 0
    assert not any(process.is_running() for process in processes)
    assert f"was stopped by signal 15; step {saved_step(output):,} is saved" in (tmp_path / "log").read_text()


def test_two_processes_take_as_many_steps_as_the_first_has_measured(on_two, tmp_path):
    """Else one of them would wait for the other."""
    output = tmp_path / NAME
    job = on_two(output, "train.minutes=0.02", tmp_path / "two.log")
    assert job.wait(PATIENCE) == 0, job.stderr.read()
    (budget,) = (read_budget(path.parent) for path in output.glob("checkpoints/*/budget.yaml"))
    assert read_rows(output / "history.csv")[-1].step == budget.steps
