"""What is compiled before the images are there changes nothing, and its errors are nobody's."""

import pytest
import torch
from interpreter import need_interpreter
from stopped import weights

from mipnerf.config import OperationConfig
from mipnerf.training import preparing
from mipnerf.training.loop import train
from mipnerf.training.stepping import Stepper

OPERATION = OperationConfig(print_every=3, save_every=5, device="cpu")
FUSED = OPERATION.model_copy(update={"network": "fused"})


@pytest.fixture
def steps(monkeypatch):
    """The networks that took a step, in this order."""
    taken, original = [], Stepper.take_step

    def take_step(self, learning_rate):
        taken.append(self.way)
        return original(self, learning_rate)

    monkeypatch.setattr(Stepper, "take_step", take_step)
    return taken


@pytest.mark.slow
def test_a_training_is_the_same_after_it(tmp_path, run_with, small_scene, steps):
    need_interpreter()
    run = run_with(train={"precision": "float32", "max_steps": 2})
    train(run, FUSED, small_scene, tmp_path / "without", threads=1)
    steps.clear()
    state = torch.get_rng_state()
    assert preparing.compiling_meanwhile(run, FUSED, lambda: small_scene) is small_scene
    assert steps == ["fused 1024 4"]
    assert torch.equal(torch.get_rng_state(), state)
    train(run, FUSED, small_scene, tmp_path / "with", threads=1)
    assert len(steps) == 3
    for name, value in weights(tmp_path / "without").items():
        assert torch.equal(value, weights(tmp_path / "with")[name])


def test_nothing_is_done_where_nothing_is_compiled_or_several_train(monkeypatch, small_run, small_scene, steps):
    preparing.compiling_meanwhile(small_run, OPERATION, lambda: small_scene)
    monkeypatch.setenv("WORLD_SIZE", "2")
    preparing.compiling_meanwhile(small_run, FUSED, lambda: small_scene)
    assert not steps


def test_an_error_is_left_to_the_training(monkeypatch, small_run, small_scene):
    need_interpreter()

    def fail(*_, **__):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(preparing.Stepper, "create", fail)
    assert preparing.compiling_meanwhile(small_run, FUSED, lambda: small_scene) is small_scene
