"""The kernels of the fused network, in Triton's interpreter, against the plain network."""

import pytest
import torch
from interpreter import need_interpreter

from mipnerf.config import ModelConfig
from mipnerf.network import mip
from mipnerf.network.fused import encoding_of, fused_network
from mipnerf.network.model import MLP
from mipnerf.network.packing import Launch

need_interpreter()

SHAPES = [
    {},
    {"net_depth": 1},
    {"net_depth": 5},
    {"net_depth": 4, "skip_layer": 1},
    {"net_depth": 3, "net_width": 128, "skip_layer": 2, "net_width_condition": 128},
    {"net_depth": 3, "net_width": 256, "skip_layer": 1, "net_width_condition": 64},
    {"net_width": 100, "net_width_condition": 24},
    {"net_depth_condition": 0},
    {"net_depth_condition": 3},
    {"use_viewdirs": False},
    {"use_viewdirs": False, "net_depth": 5},
    {"max_deg_point": 10, "append_identity": True, "ray_shape": "point", "num_samples": 4, "num_fine_samples": 4},
]
N, S, DIRECTIONS = 5, 7, 9


def network(shape):
    torch.manual_seed(0)
    config = ModelConfig(**{"net_depth": 3, "net_width": 64, "net_width_condition": 32, "max_deg_point": 8} | shape)
    encoding = encoding_of(config)
    mlp = MLP(
        config, 3 * encoding.identity + 6 * (encoding.max_deg - encoding.min_deg), DIRECTIONS * config.use_viewdirs
    )
    for parameter in mlp.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # no bias is zero
    return mlp, config


def outputs_and_gradients(evaluate, mlp, *inputs):
    rgb, density = evaluate(*inputs)
    weights = torch.linspace(-1, 2, rgb.numel()).view_as(rgb)
    loss = (weights * rgb.sin()).sum() + (density**2).sum()
    return [rgb, density, *torch.autograd.grad(loss, list(mlp.parameters()))]


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_outputs_and_gradients_are_those_of_the_network(shape):
    mlp, config = network(shape)
    generator = torch.Generator().manual_seed(1)
    means = 4 * torch.randn(N, S, 3, generator=generator)
    covs = None if config.ray_shape == "point" else 1e-3 * torch.rand(N, S, 3, generator=generator)
    condition = torch.randn(N, DIRECTIONS, generator=generator) if config.use_viewdirs else None

    def plain():
        degrees = config.min_deg_point, config.max_deg_point
        if covs is None:
            features = mip.pos_enc(means, *degrees, config.append_identity)
        else:
            features = mip.integrated_pos_enc((means, covs), *degrees)
        return mlp(features, condition)

    def fused(dtype):
        return lambda: fused_network(mlp, means, covs, condition, encoding_of(config), dtype, Launch(16))

    expected = outputs_and_gradients(plain, mlp)
    for value, wanted in zip(outputs_and_gradients(fused(torch.float32), mlp), expected, strict=True):
        assert value.dtype == wanted.dtype
        torch.testing.assert_close(value, wanted, rtol=2e-4, atol=1e-5 * wanted.abs().max().item())
    for value, wanted in zip(outputs_and_gradients(fused(torch.float16), mlp), expected, strict=True):
        # A rounded activation may change its side of the ReLU.
        assert (value - wanted).norm() < 6e-2 * wanted.norm()
