"""Samples that are left out of a backward pass: what is kept, and that the expected gradient stays."""

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mipnerf.config import ModelConfig
from mipnerf.network.folded import folded_mlp
from mipnerf.network.model import MLP
from mipnerf.network.pruning import draw_samples, prune_gradients

N, S = 6, 8


def gradients(d_rgb, d_density, share, seed):
    """What becomes of gradients of what the network gives."""
    rgb, density = torch.zeros_like(d_rgb, requires_grad=True), torch.zeros_like(d_density, requires_grad=True)
    pruned = prune_gradients(rgb, density, share, torch.Generator().manual_seed(seed))
    assert all(torch.equal(value, raw) for value, raw in zip(pruned, (rgb, density), strict=True))
    return torch.autograd.grad(pruned, (rgb, density), (d_rgb, d_density))


def some_gradients(seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = 10 ** torch.empty(N, S, 1, dtype=torch.float64).uniform_(-4, 1, generator=generator)
    values = torch.randn(N, S, 4, dtype=torch.float64, generator=generator) * sizes
    return values[..., :3], values[..., 3:]


def norms_of(d_rgb, d_density):
    return torch.cat([d_rgb, d_density], -1).norm(dim=-1).flatten()


def probabilities_by_bisection(norms, count):
    """min(1, norm / limit), whose sum is `count`."""
    low, high = 0.0, float(norms.sum())
    for _ in range(200):
        limit = (low + high) / 2
        low, high = (limit, high) if (norms / limit).clamp_max(1).sum() > count else (low, limit)
    return (norms / high).clamp_max(1)


norms = st.lists(st.floats(1.0, 100.0), min_size=1, max_size=40).map(lambda x: torch.tensor(x, dtype=torch.float64))


@settings(max_examples=200)
@example(torch.tensor([1, 1, 82.8125], dtype=torch.float64), 1.0, 0.5)  # whose sum is rounded
@given(norms, st.floats(0, 1), st.floats(0.002, 0.998))
def test_so_many_are_drawn_none_twice_with_probabilities_in_proportion(norms, share, start):
    count = max(1, round(share * len(norms)))
    expected = probabilities_by_bisection(norms, count)
    beside = (expected.cumsum(0) - start) % 1
    assume(((beside > 1e-3) & (beside < 1 - 1e-3)).all())  # no place is where a sum is rounded
    indices, probabilities = draw_samples(norms, count, torch.tensor(start, dtype=torch.float64))
    assert len(indices) == count == len(set(indices.tolist()))
    torch.testing.assert_close(probabilities, expected[indices], rtol=1e-3, atol=0.0)


def test_each_is_drawn_as_often_as_its_probability_says():
    norms = norms_of(*some_gradients())
    starts = torch.linspace(0, 1, 10_001, dtype=torch.float64)[:-1]
    drawn = torch.zeros(len(norms))
    for start in starts:
        drawn[draw_samples(norms, 12, start)[0]] += 1 / len(starts)
    torch.testing.assert_close(drawn.double(), probabilities_by_bisection(norms, 12), rtol=0.0, atol=5e-4)


def test_the_expected_gradient_stays():
    before = some_gradients()
    starts = 2000
    mean = sum(torch.cat(gradients(*before, 0.3, seed), -1) for seed in range(starts)).flatten(0, 1) / starts
    gradient = torch.cat(before, -1).flatten(0, 1)
    p = probabilities_by_bisection(norms_of(*before), round(0.3 * N * S))
    deviation = norms_of(*before) * ((1 / p - 1) / starts).sqrt()
    assert ((mean - gradient).norm(dim=1) <= 5 * deviation + 1e-5 * norms_of(*before)).all()


@pytest.mark.parametrize("share", [0.001, 0.25, 0.9])
def test_gradients_without_any_difference_are_drawn_from_as_well(share):
    d_rgb, _ = gradients(torch.ones(N, S, 3), torch.zeros(N, S, 1), share, 0)
    kept = d_rgb.any(-1)
    assert kept.sum() == max(1, round(share * N * S))
    torch.testing.assert_close(d_rgb.sum(), torch.tensor(3.0 * N * S))
    assert not gradients(torch.zeros(N, S, 3), torch.zeros(N, S, 1), share, 0)[0].any()


SHAPES = [
    {},
    {"net_depth": 5, "skip_layer": 2},
    {"net_depth": 5},
    {"net_depth_condition": 0},
    {"net_depth_condition": 2},
    {"use_viewdirs": False},
]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_samples_without_a_gradient_can_be_left_out_of_the_backward_pass(shape, share):
    torch.manual_seed(0)
    config = ModelConfig(**{"net_depth": 4, "net_width": 16, "net_width_condition": 8} | shape)
    mlp = MLP(config, 12, 9 if config.use_viewdirs else 0).double()
    x = torch.randn(N, S, 12, dtype=torch.float64)
    condition = torch.randn(N, 9, dtype=torch.float64) if config.use_viewdirs else None
    kept = torch.rand(N, S, 1) < share
    weights = torch.randn(N, S, 4, dtype=torch.float64) * kept

    def loss_gradients(is_sparse):
        rgb, density = folded_mlp(mlp, x, condition, torch.float64, is_sparse)
        return torch.autograd.grad((weights * torch.cat([rgb, density], -1).sin()).sum(), list(mlp.parameters()))

    for sparse, dense in zip(loss_gradients(True), loss_gradients(False), strict=True):
        torch.testing.assert_close(sparse, dense, rtol=1e-11, atol=1e-12)
