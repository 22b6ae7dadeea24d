"""The gradient by hand against autograd's, for every shape that a network can have."""

import pytest
import torch

from mipnerf.config import ModelConfig
from mipnerf.network.folded import folded_mlp
from mipnerf.network.model import MLP

SHAPES = [
    {},
    {"net_depth": 1},
    {"net_depth": 5, "skip_layer": 4},
    {"net_depth": 6, "skip_layer": 2},
    {"net_depth": 3, "skip_layer": 1},
    {"net_depth_condition": 0},
    {"net_depth_condition": 2},
    {"net_depth_condition": 3, "net_depth": 3, "skip_layer": 2},
    {"use_viewdirs": False},
    {"use_viewdirs": False, "net_depth": 5},
]
N, S, FEATURES, DIRECTIONS = 5, 7, 12, 9


def network(shape, dtype):
    torch.manual_seed(0)
    config = ModelConfig(**{"net_depth": 4, "net_width": 16, "net_width_condition": 8} | shape)
    mlp = MLP(config, FEATURES, DIRECTIONS if config.use_viewdirs else 0).to(dtype)
    for parameter in mlp.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # no bias is zero
    return mlp


def inputs(mlp, dtype):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N, S, FEATURES, generator=generator, dtype=dtype)
    condition = torch.randn(N, DIRECTIONS, generator=generator, dtype=dtype)
    return x, condition if mlp.bottleneck_layer is not None else None


def outputs_and_gradients(evaluate, mlp, x, condition):
    rgb, density = evaluate(x, condition)
    weights = torch.linspace(-1, 2, rgb.numel()).to(rgb.dtype).view_as(rgb)
    loss = (weights * rgb.sin()).sum() + (density**2).sum()
    return [rgb, density, *torch.autograd.grad(loss, list(mlp.parameters()))]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_outputs_and_gradients_are_those_of_autograd(shape):
    mlp = network(shape, torch.float64)
    x, condition = inputs(mlp, torch.float64)

    def folded(x, condition):
        return folded_mlp(mlp, x, condition, torch.float64)

    expected = outputs_and_gradients(mlp, mlp, x, condition)
    for value, wanted in zip(outputs_and_gradients(folded, mlp, x, condition), expected, strict=True):
        assert value.dtype == wanted.dtype
        torch.testing.assert_close(value, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rounding_is_no_worse_than_that_of_autocast(shape):
    exact = network(shape, torch.float64)
    x, condition = inputs(exact, torch.float64)
    expected = outputs_and_gradients(exact, exact, x, condition)
    mlp = network(shape, torch.float32)
    mlp.load_state_dict(exact.state_dict())
    x, condition = x.float(), None if condition is None else condition.float()

    def mean_error(evaluate):
        def in_float32(x, condition):
            return tuple(value.float() for value in evaluate(x, condition))

        actual = outputs_and_gradients(in_float32, mlp, x, condition)
        assert all(value.dtype == torch.float32 for value in actual)
        pairs = zip(actual, expected, strict=True)
        return sum(((value.double() - wanted).norm() / wanted.norm()).item() for value, wanted in pairs) / len(actual)

    def autocast(x, condition):
        with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
            return mlp(x, condition)

    assert mean_error(lambda *given: folded_mlp(mlp, *given, torch.float32)) < 1e-6
    assert mean_error(lambda *given: folded_mlp(mlp, *given, torch.bfloat16)) < 1.2 * mean_error(autocast)


def test_nothing_that_is_given_is_changed():
    mlp = network({}, torch.float64)
    x, condition = inputs(mlp, torch.float64)
    before = [value.clone() for value in (x, condition, *mlp.parameters())]
    outputs_and_gradients(lambda *given: folded_mlp(mlp, *given, torch.float64), mlp, x, condition)
    assert all(torch.equal(value, was) for value, was in zip((x, condition, *mlp.parameters()), before, strict=True))


def test_samples_that_need_a_gradient_get_it_from_autograd():
    mlp = network({}, torch.float64)
    x, condition = inputs(mlp, torch.float64)
    rgb, density = mlp.evaluate(x.requires_grad_(), condition)
    assert torch.autograd.grad(rgb.sum() + density.sum(), x)[0].abs().sum() > 0


def test_the_products_are_taken_in_the_type_of_autocast():
    mlp = network({}, torch.float32)
    x, condition = (value.float() for value in inputs(mlp, torch.float64))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert [value.dtype for value in mlp.evaluate(x, condition)] == [torch.bfloat16] * 2
    assert [value.dtype for value in mlp.evaluate(x, condition)] == [torch.float32] * 2
