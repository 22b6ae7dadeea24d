"""Muon: what a step is, which parameters it moves, and that it outlives a kill like all else."""

import pytest
import torch
from stopped import StopAt, same, weights

from mipnerf.config import OperationConfig, TrainConfig
from mipnerf.errors import Interrupted
from mipnerf.network.model import MipNerf
from mipnerf.training import stepping
from mipnerf.training.history import read_rows
from mipnerf.training.loop import train
from mipnerf.training.muon import Muon, orthogonalized
from mipnerf.training.optimization import make_optimizer

OPERATION = OperationConfig(print_every=3, save_every=5, device="cpu")
MUON = {"optimizer": "muon"}


def slowly_orthogonalized(matrix: torch.Tensor) -> torch.Tensor:
    """The polynomial of the singular values, by a decomposition."""
    u, s, vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / s.square().sum().sqrt()
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u @ torch.diag(s) @ vh


@pytest.mark.parametrize("shape", [(16, 16), (16, 40), (40, 16)], ids=str)
def test_singular_values_come_near_one_and_vectors_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    result = orthogonalized(matrix[None])[0]
    torch.testing.assert_close(result, slowly_orthogonalized(matrix).float(), atol=1e-4, rtol=1e-4)
    assert torch.linalg.svdvals(result)[:8].sub(1).abs().max() < 0.35
    torch.testing.assert_close(orthogonalized(1e-3 * matrix[None])[0], result, atol=1e-3, rtol=0)


@pytest.mark.parametrize("shape", [(96, 96), (96, 160), (160, 96)], ids=str)
def test_large_matrices_may_be_made_orthogonal_in_bfloat16(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    result = orthogonalized(matrix[None], torch.bfloat16)[0]
    assert result.dtype is torch.float32
    difference = (result - slowly_orthogonalized(matrix)).norm() / result.norm()
    assert 1e-4 < difference < 0.05
    assert torch.equal(orthogonalized(matrix[None, :64, :64], torch.bfloat16), orthogonalized(matrix[None, :64, :64]))


def test_no_gradient_is_no_step():
    assert torch.equal(orthogonalized(torch.zeros(1, 16, 20)), torch.zeros(1, 16, 20))


def test_matrices_of_a_group_do_not_know_of_each_other():
    matrices = torch.randn(3, 20, 16, generator=torch.Generator().manual_seed(4))
    together = orthogonalized(matrices)
    for matrix, result in zip(matrices, together, strict=True):
        torch.testing.assert_close(orthogonalized(matrix[None])[0], result, atol=1e-5, rtol=1e-5)


def test_all_matrices_are_in_one_group_of_their_shape(run_with):
    muon = Muon(MipNerf(run_with(model={"net_depth": 6}).model).parameters())
    assert sorted(map(id, muon.momenta)) == sorted(id(parameter) for group in muon.groups for parameter in group)
    assert all(len({parameter.shape for parameter in group}) == 1 for group in muon.groups)
    assert {len(group) for group in muon.groups} == {1, 2}


def test_three_steps_against_a_second_computation():
    generator = torch.Generator().manual_seed(2)
    weight = torch.nn.Parameter(torch.randn(16, 24, generator=generator))
    vector = torch.nn.Parameter(torch.randn(16, generator=generator))
    optimizer, expected, mean = Muon([weight, vector]), weight.detach().double(), torch.zeros(16, 24).double()
    for step in range(1, 4):
        weight.grad, vector.grad = torch.randn(16, 24, generator=generator), torch.zeros(16)
        mean = 0.95 * mean + 0.05 * weight.grad.double()
        update = slowly_orthogonalized(0.05 * weight.grad.double() + 0.95 * mean)
        expected = expected - 0.01 / step * 0.2 * 24**0.5 * update
        optimizer.set_learning_rate(0.01 / step)
        optimizer.step()
    torch.testing.assert_close(weight.detach(), expected.float(), atol=1e-5, rtol=1e-5)


def test_an_update_is_about_as_large_as_adams():
    for shape in ((64, 64), (128, 60)):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(3))
        size = orthogonalized(matrix[None]).square().mean().sqrt() * 0.2 * max(shape) ** 0.5
        assert 0.1 < size < 0.4


def test_vectors_and_heads_remain_adams(small_run):
    model = MipNerf(small_run.model)
    optimizer = make_optimizer(model, TrainConfig(**MUON))
    shapes = {tuple(parameter.shape) for parameter in optimizer.others.state}
    assert {(1, 16), (3, 8), (16,)} <= shapes
    assert all(min(parameter.shape) >= 16 for parameter in optimizer.momenta)
    assert len(optimizer.momenta) == 3
    assert len(optimizer.momenta) + len(optimizer.others.state) == len(list(model.parameters()))


def test_it_trains_otherwise_and_the_same_on_any_number_of_threads(tmp_path, run_with, small_scene):
    for name, optimizer, threads in (("adam", "adam", 1), ("one", "muon", 1), ("three", "muon", 3)):
        run = run_with(train={"optimizer": optimizer, "max_steps": 8, "precision": "float32"})
        train(run, OPERATION, small_scene, tmp_path / name, threads=threads)
    assert not same(weights(tmp_path / "adam"), weights(tmp_path / "one"))
    assert same(weights(tmp_path / "one"), weights(tmp_path / "three"))
    rows = read_rows(tmp_path / "one" / "history.csv")
    assert rows[-1].loss < rows[0].loss


@pytest.mark.parametrize("stop", [3, 8])
def test_a_killed_training_ends_with_the_same_weights(tmp_path, monkeypatch, run_with, small_scene, stop):
    run = run_with(train=MUON)
    train(run, OPERATION, small_scene, tmp_path / "whole", threads=1)
    StopAt(monkeypatch, stop)
    with pytest.raises(Interrupted):
        train(run, OPERATION, small_scene, tmp_path / "killed", threads=1)
    train(run, OPERATION, small_scene, tmp_path / "killed", threads=1)
    assert same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))


def test_a_run_with_a_budget_of_time_begins_without_what_was_measured(tmp_path, monkeypatch, run_with, small_scene):
    """The steps that are timed leave no momentum behind."""
    seen, original = [], stepping.train_step

    def step(model, optimizer, *args):
        seen.append((args[6], [momentum.clone() for momentum in optimizer.momenta.values()]))
        return original(model, optimizer, *args)

    monkeypatch.setattr(stepping, "train_step", step)
    train(run_with(train=MUON | {"minutes": 0.001}), OPERATION, small_scene, tmp_path, threads=1)
    momenta = next(momenta for (_, number), momenta in seen if number == 1)
    assert all(torch.equal(momentum, torch.zeros_like(momentum)) for momentum in momenta)
