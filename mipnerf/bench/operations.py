"""The operations that the method needs for a ray, counted and not measured."""

from collections.abc import Iterable

import torch

from mipnerf.config import ModelConfig
from mipnerf.network.model import MipNerf

Shape = tuple[int, int]  # inputs and outputs of a layer

# A multiply-add is two operations. Training takes three products a layer: the output, and the gradients of the input
# and of the weights.
RENDERING_FLOPS, TRAINING_FLOPS = 2, 6


def layer_shapes(model: ModelConfig) -> list[Shape]:
    """Inputs and outputs of every layer of one network, in their order."""
    with torch.device("meta"):
        layers = MipNerf(model).mlp.linear_layers()
    return [(layer.in_features, layer.out_features) for layer in layers]


def multiply_adds(shapes: Iterable[Shape]) -> int:
    """Multiply-adds of layers for one sample, each layer by itself; biases and activations are not counted."""
    return sum(inputs * outputs for inputs, outputs in shapes)


def samples_per_ray(model: ModelConfig) -> int:
    """Evaluations of a network for one ray, all levels together; with points, a level has those before it again."""
    return sum(model.num_samples + level * model.num_fine_samples for level in range(model.num_levels))


def training_flops(model: ModelConfig) -> int:
    """Floating-point operations of the layers to train on one ray."""
    return TRAINING_FLOPS * multiply_adds(layer_shapes(model)) * samples_per_ray(model)


def rendering_flops(model: ModelConfig) -> int:
    """Floating-point operations of the layers to render one ray."""
    return RENDERING_FLOPS * multiply_adds(layer_shapes(model)) * samples_per_ray(model)
