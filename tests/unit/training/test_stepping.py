"""The ways to compute a step give the same training, and a training keeps to the one that it has chosen."""

import pytest
import torch
import yaml
from interpreter import need_interpreter
from stopped import weights

from mipnerf.config import OperationConfig
from mipnerf.training import stepping
from mipnerf.training.loop import Trainer, train
from mipnerf.training.optimization import make_optimizer

OPERATION = OperationConfig(print_every=3, save_every=5, device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("model", [{}, {"single_mlp": False, "proposal_depth": 1, "proposal_width": 16}], ids=str)
def test_a_training_with_the_fused_network_is_the_plain_one(tmp_path, run_with, small_scene, model):
    need_interpreter()
    run = run_with(train={"precision": "float32", "max_steps": 3}, model=model)
    for network in ("plain", "fused"):
        operation = OPERATION.model_copy(update={"network": network})
        train(run, operation, small_scene, tmp_path / network, threads=2)
        assert yaml.safe_load((tmp_path / network / "config.yaml").read_text())["record"]["network"] == network
    for name, value in weights(tmp_path / "plain").items():
        torch.testing.assert_close(weights(tmp_path / "fused")[name], value, atol=1e-5, rtol=1e-3)


def test_on_a_cpu_auto_is_plain_to_the_bit(tmp_path, small_run, small_scene):
    train(small_run, OPERATION, small_scene, tmp_path / "auto", threads=1)
    train(small_run, OPERATION.model_copy(update={"network": "plain"}), small_scene, tmp_path / "plain", threads=1)
    assert all(
        torch.equal(value, weights(tmp_path / "plain")[key]) for key, value in weights(tmp_path / "auto").items()
    )


@pytest.fixture
def choosing(monkeypatch):
    """As on a GPU, there is a choice; returns what was left to choose from, each time."""
    need_interpreter()
    asked = []

    def fastest(trials, *_):
        asked.append(list(trials))
        expected = torch.cat([value.flatten() for value in trials["plain"]()])
        for trial in trials.values():
            torch.testing.assert_close(
                torch.cat([value.flatten() for value in trial()]), expected, rtol=1e-3, atol=1e-4
            )
        return asked[-1][-1]

    monkeypatch.setattr(stepping, "candidates", lambda *_: ["plain", "fused"])
    monkeypatch.setattr(stepping, "fastest", fastest)
    return asked


def test_what_was_chosen_is_kept_by_a_training_that_goes_on(tmp_path, run_with, small_scene, choosing):
    run = run_with(train={"precision": "float32"})
    trainer = Trainer.create(run, OPERATION, small_scene, threads=1)
    first = trainer._peek()
    trainer.step = 1
    trainer.take_step(1e-3)
    assert choosing == [["plain", "fused 1024 4"]]
    assert trainer.way == "fused 1024 4"
    assert trainer.network == "fused"
    state = trainer.state()
    other = Trainer.create(run, OPERATION, small_scene, threads=1)
    assert torch.equal(other._peek().pixels, first.pixels), "choosing draws no batch"
    other.use_way(state["network"])
    other.take_step(1e-3)
    assert len(choosing) == 1


def test_a_captured_step_needs_nothing_of_the_host_but_rate_and_seeds(monkeypatch, run_with, small_scene):
    """What a graph would record is called again instead of replayed."""

    class Recorded:
        def __init__(self, step, generators):
            self.step, self.generators = step, list(generators)

        def __call__(self):
            return self.step()

    run = run_with(train={"precision": "float32"})
    operation = OPERATION.model_copy(update={"microbatch_rays": 16})
    trainers = [Trainer.create(run, operation, small_scene, threads=1) for _ in range(2)]
    monkeypatch.setattr(stepping, "CapturedStep", Recorded)
    monkeypatch.setattr(Trainer, "can_be_captured", property(lambda trainer: trainer is trainers[1]))
    for step in range(1, 8):
        for trainer in trainers:
            trainer.step = step
        losses = [trainer.take_step(1e-3 / step) for trainer in trainers]
        assert torch.equal(*losses)
        assert (trainers[1].captured is not None) == (step > stepping.WARM_UP_STEPS)
    assert len(trainers[1].captured.generators) == 3
    assert trainers[0].captured is None


def test_a_step_that_cannot_be_captured_is_taken_as_before(monkeypatch, run_with, small_scene, caplog):
    def fail(*_):
        raise RuntimeError("operation not permitted when stream is capturing")

    run = run_with(train={"precision": "float32"})
    trainers = [Trainer.create(run, OPERATION, small_scene, threads=1) for _ in range(2)]
    monkeypatch.setattr(stepping, "CapturedStep", fail)
    monkeypatch.setattr(Trainer, "can_be_captured", property(lambda trainer: trainer is trainers[1]))
    for trainer in trainers:
        for step in range(1, 7):
            trainer.step = step
            losses = trainer.take_step(1e-3)
    assert caplog.text.count("steps are not captured") == 1
    for a, b in zip(*(trainer.model.parameters() for trainer in trainers), strict=True):
        assert torch.equal(a, b)
    assert torch.isfinite(losses).all()


def test_adam_reads_the_learning_rate_from_memory_where_a_graph_does():
    optimizers = []
    for kept in (0.0, torch.zeros(())):
        torch.manual_seed(0)
        model = torch.nn.Linear(2, 2)
        optimizer = make_optimizer(model)
        optimizer.learning_rate = kept
        for learning_rate in (1e-3, 1e-2):
            optimizer.set_learning_rate(learning_rate)
            model(torch.ones(1, 2)).sum().backward()
            optimizer.step()
        optimizers.append(optimizer)
    for a, b in zip(*(optimizer.state for optimizer in optimizers), strict=True):
        assert torch.equal(a, b)
    assert "learning_rate" not in optimizers[1].state_dict()


def test_draws_of_another_kind_of_device_begin_anew(run_with, small_scene, caplog):
    trainer = Trainer.create(run_with(), OPERATION, small_scene, threads=1)
    trainer.restore_draws(torch.zeros(16, dtype=torch.uint8))
    assert "batches are drawn anew" in caplog.text
    next(trainer.batcher)
