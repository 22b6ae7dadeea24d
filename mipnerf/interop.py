"""Weights of other implementations."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import nn

from mipnerf.errors import CheckpointError
from mipnerf.model import MLP, MipNerf


def flax_layers(mlp: MLP) -> Iterable[nn.Linear]:
    """The layers of `mlp` in the order in which the reference numbers them, Dense_0 first."""
    yield from mlp.layers
    yield mlp.density_layer
    if mlp.bottleneck_layer is not None:
        yield mlp.bottleneck_layer
    yield from mlp.condition_layers
    yield mlp.rgb_layer


def load_flax_params(model: MipNerf, params: Mapping[str, np.ndarray]) -> None:
    """Copy the reference's parameters, a flat mapping such as "MLP_0/Dense_0/kernel" -> [in, out], into `model`.

    Raises CheckpointError, before anything is copied, if names or shapes are not those of `model`.
    """
    expected: dict[str, torch.Tensor] = {}
    for i, layer in enumerate(flax_layers(model.mlp)):
        expected[f"MLP_0/Dense_{i}/kernel"] = layer.weight
        expected[f"MLP_0/Dense_{i}/bias"] = layer.bias
    if unmatched := set(expected) ^ set(params):
        raise CheckpointError(
            f"the parameters are not those of this network: {', '.join(sorted(unmatched))} stand on one side only"
        )
    values = {name: torch.as_tensor(np.ascontiguousarray(np.asarray(params[name]).T)) for name in expected}
    for name, parameter in expected.items():
        if values[name].shape != parameter.shape:
            raise CheckpointError(
                f"{name} is {tuple(params[name].shape)}; this network needs {tuple(parameter.shape[::-1])}"
            )
    with torch.no_grad():
        for name, parameter in expected.items():
            parameter.copy_(values[name])
