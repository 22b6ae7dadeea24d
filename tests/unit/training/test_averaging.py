"""Averaged weights: what they are, that they are what is evaluated, and that they outlive a kill."""

import pytest
import torch
from stopped import StopAt, same, weights

from mipnerf.config import OperationConfig
from mipnerf.errors import Interrupted
from mipnerf.network.model import MipNerf
from mipnerf.training import loop as training
from mipnerf.training.averaging import Average
from mipnerf.training.history import read_rows, read_validation
from mipnerf.training.loop import train

OPERATION = OperationConfig(print_every=3, save_every=5, device="cpu", validate_every=4)


def recorded(monkeypatch) -> list[torch.Tensor]:
    """All weights of the network after each step, one tensor each."""
    seen, original = [], Average.add

    def add(self, model, step):
        seen.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        original(self, model, step)

    monkeypatch.setattr(Average, "add", add)
    return seen


def test_the_average_forgets_half_in_its_half_life(small_run):
    torch.manual_seed(0)
    model = MipNerf(small_run.model)
    average = Average(model, half_life=2.0)
    for step in range(1, 60):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(float(step <= 57))  # 1, but 0 in the last two
        average.add(model, step)
    for parameter in average.model.parameters():
        assert parameter.numpy() == pytest.approx(0.5, abs=1e-5)
        assert not parameter.requires_grad


def test_a_long_memory_is_the_plain_mean_without_the_initial_weights(tmp_path, monkeypatch, run_with, small_scene):
    seen = recorded(monkeypatch)
    train(run_with(train={"average": 1.0, "max_steps": 5}), OPERATION, small_scene, tmp_path, threads=1)
    result = torch.cat([value.flatten() for value in weights(tmp_path).values()])
    # Of half-life 5, the share of a step is 0.13, less than that in a mean of five.
    torch.testing.assert_close(result, torch.stack(seen).mean(0), rtol=1e-5, atol=1e-6)


def test_averaging_changes_what_is_evaluated_and_not_what_is_trained(tmp_path, run_with, small_scene):
    for name, share in (("last", 0.0), ("mean", 0.3)):
        run = run_with(train={"average": share})
        train(run, OPERATION, small_scene, tmp_path / name, threads=1, validation=small_scene.at_level(0))
    rows, others = (read_rows(tmp_path / name / "history.csv") for name in ("last", "mean"))
    assert [row.losses for row in rows] == [row.losses for row in others]
    assert not same(weights(tmp_path / "last"), weights(tmp_path / "mean"))
    views, others = (read_validation(tmp_path / name / "validation.csv") for name in ("last", "mean"))
    assert views[-1].psnr != others[-1].psnr


@pytest.mark.parametrize("stop", [3, 8])
def test_a_killed_training_ends_with_the_same_average(tmp_path, monkeypatch, run_with, small_scene, stop):
    run = run_with(train={"average": 0.3})
    train(run, OPERATION, small_scene, tmp_path / "whole", threads=1)
    StopAt(monkeypatch, stop)
    with pytest.raises(Interrupted):
        train(run, OPERATION, small_scene, tmp_path / "killed", threads=1)
    train(run, OPERATION, small_scene, tmp_path / "killed", threads=1)
    assert same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))


def test_a_cosine_begins_and_ends_where_the_other_schedule_does(tmp_path, run_with, small_scene):
    values = {"lr_delay_steps": 0, "max_steps": 12}
    rates = {}
    for schedule in ("log_linear", "cosine"):
        run, folder = run_with(train=values | {"schedule": schedule}), tmp_path / schedule
        train(run, OPERATION, small_scene, folder, threads=1)
        rates[schedule] = [row.lr for row in read_rows(folder / "history.csv")]
    assert rates["cosine"][-1] == pytest.approx(rates["log_linear"][-1]) == pytest.approx(5e-4)
    # At steps 3, 6 and 9 of 12.
    expected = [5e-4 + 4.5e-3 * share for share in (0.853553, 0.5, 0.146447)]
    assert rates["cosine"][:3] == pytest.approx(expected, rel=1e-5)
    assert rates["cosine"][1] > rates["log_linear"][1]


def test_the_cosine_warms_up_like_the_other():
    cosine, log_linear = training.SCHEDULES["cosine"], training.SCHEDULES["log_linear"]
    for step in (1, 50, 100):
        # Where the rate itself does not change.
        assert cosine(step, 1.0, 1.0, 1000, 100, 0.01) == pytest.approx(log_linear(step, 1.0, 1.0, 1000, 100, 0.01))
