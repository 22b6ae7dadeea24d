"""The operations that the method needs for a ray, counted and not measured."""

from collections.abc import Iterable

import torch

from mipnerf.config import ModelConfig, RunConfig
from mipnerf.network.model import MLP, MipNerf

Shape = tuple[int, int]  # inputs and outputs of a layer

# A multiply-add is two operations. Training takes three products a layer: the output, and backwards the gradients of
# the input and of the weights.
FORWARD_FLOPS, BACKWARD_FLOPS = 2, 4


def layer_shapes(model: ModelConfig) -> list[Shape]:
    """Inputs and outputs of every layer of the last level's network, in their order."""
    return level_shapes(model)[-1]


def level_shapes(model: ModelConfig) -> list[list[Shape]]:
    """As `layer_shapes`, of every level's network."""
    with torch.device("meta"):
        network = MipNerf(model)
    coarse = _shapes_of(network.coarse_mlp or network.mlp)
    return [coarse] * (model.num_levels - 1) + [_shapes_of(network.mlp)]


def _shapes_of(mlp: MLP) -> list[Shape]:
    return [(layer.in_features, layer.out_features) for layer in mlp.linear_layers()]


def multiply_adds(shapes: Iterable[Shape]) -> int:
    """Multiply-adds of layers for one sample, each layer by itself; biases and activations are not counted."""
    return sum(inputs * outputs for inputs, outputs in shapes)


def samples_of_levels(model: ModelConfig) -> list[int]:
    """Evaluations of each level's network for one ray; with points, a level has those before it again."""
    return [model.num_samples + level * model.num_fine_samples for level in range(model.num_levels)]


def samples_per_ray(model: ModelConfig) -> int:
    """Evaluations of a network for one ray, all levels together."""
    return sum(samples_of_levels(model))


def backward_share(run: RunConfig, device: str) -> float:
    """The share of the samples that the backward pass of `run` goes through on `device`, a type of PyTorch's.

    Only a CPU leaves samples out, and only of the network whose gradient is written out.
    """
    leaves_out = run.train.randomized and run.model.net_activation == "relu" and run.model.stop_level_grad
    return run.train.backward_share if leaves_out and device == "cpu" else 1.0


def training_flops(model: ModelConfig, backward_share: float = 1.0) -> float:
    """Floating-point operations of the layers to train on one ray, backwards of a share of the samples."""
    return (FORWARD_FLOPS + BACKWARD_FLOPS * backward_share) * _ray_multiply_adds(model)


def rendering_flops(model: ModelConfig) -> int:
    """Floating-point operations of the layers to render one ray."""
    return FORWARD_FLOPS * _ray_multiply_adds(model)


def _ray_multiply_adds(model: ModelConfig) -> int:
    levels = zip(level_shapes(model), samples_of_levels(model), strict=True)
    return sum(multiply_adds(shapes) * samples for shapes, samples in levels)
