"""The parameters of a network under the names of the reference, and the network's sizes from their shapes.

Dense_k counts the layers of one MLP: trunk, density, bottleneck, condition layers, colour; without view directions
there are only trunk, density and colour. MLP_0 is the network of all levels or, where there are two, of the coarse
levels; MLP_1 is then that of the finest.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mipnerf.errors import CheckpointError
from mipnerf.network.model import MipNerf

MAX_PARAMETERS = 100_000_000  # 160 times the paper's network
_NAME = re.compile(r"(MLP_[01])/Dense_\d+/(kernel|bias)")


class ForeignCheckpoint(NamedTuple):
    """What a checkpoint of another implementation says."""

    layout: str
    params: dict[str, Any]  # "MLP_0/Dense_0/kernel" -> [in, out]
    step: int | None  # None where it does not say
    settings: list[str]  # `section.key=value` that it states besides


def flax_params(model: MipNerf) -> dict[str, np.ndarray]:
    """Copies of the parameters as the reference names and lays them out: "MLP_0/Dense_0/kernel" -> [in, out]."""
    return {name: parameter.detach().cpu().numpy().T.copy() for name, parameter in _named_parameters(model).items()}


def load_flax_params(model: MipNerf, params: Mapping[str, Any]) -> None:
    """Copy the reference's parameters into `model`; `params` is flat, as `flax_params` gives it, or nested.

    Raises CheckpointError, before anything is copied, if names or shapes are not those of `model`.
    """
    params = flatten(params)
    check_shapes(model, params)
    with torch.no_grad():
        for name, parameter in _named_parameters(model).items():
            parameter.copy_(torch.from_numpy(np.asarray(params[name]).T.copy()))


def check_shapes(model: MipNerf, params: Mapping[str, np.ndarray]) -> None:
    """Raise CheckpointError if the names or shapes of flat `params` are not those of `model`."""
    expected = _named_parameters(model)
    if unmatched := set(expected) ^ set(params):
        raise CheckpointError(
            f"the parameters are not those of this network: {', '.join(sorted(unmatched))} stand on one side only"
        )
    for name, parameter in expected.items():
        if np.shape(params[name]) != tuple(parameter.shape[::-1]):
            raise CheckpointError(
                f"{name} is {np.shape(params[name])}; this network needs {tuple(parameter.shape[::-1])}"
            )


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as one, names joined by "/"."""
    flat, pending = {}, [("", tree)]
    while pending:
        path, node = pending.pop()
        for name, value in node.items():
            if isinstance(value, Mapping):
                pending.append((f"{path}{name}/", value))
            else:
                flat[f"{path}{name}"] = value
    return flat


def check_values(params: Mapping[str, Any]) -> None:
    """Raise CheckpointError unless `params` are arrays of finite real numbers, named and bounded as a mip-NeRF's."""
    for name, value in params.items():
        if not _NAME.fullmatch(name):
            raise CheckpointError(f"{name!r} is no parameter of a mip-NeRF, such as 'MLP_0/Dense_0/kernel'")
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            raise CheckpointError(f"{name} is no array of real numbers")
    if sum(value.size for value in params.values()) > MAX_PARAMETERS:
        raise CheckpointError(f"it has more than {MAX_PARAMETERS:,} parameters, which no mip-NeRF has")
    for name, value in params.items():
        if not np.isfinite(value).all():
            raise CheckpointError(f"{name} holds numbers that are not finite: its training had failed")


def infer_sizes(params: Mapping[str, np.ndarray], stated: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of ModelConfig that follow from the shapes of flat `params`.

    Some follow only with what else is `stated` of the model: `max_deg_point` counts from `min_deg_point`, and a
    `skip_layer` that no layer reaches leaves no trace. Whether all other shapes agree, `check_shapes` tells.

    Raises CheckpointError if these are not the shapes of a mip-NeRF.
    """
    kernels = _kernel_shapes(params)
    num_features, width = kernels[0]
    degrees, rest = divmod(num_features, 6)
    if degrees == 0 or rest not in (0, 3):
        raise CheckpointError(
            f"MLP_0/Dense_0 takes {num_features} numbers, which encode no position: each degree gives 6, "
            "and the position itself 3"
        )
    depth = next((k for k, (_, num_outputs) in enumerate(kernels) if num_outputs == 1), 0)
    after = kernels[depth + 1 :]
    if depth == 0 or not after:
        layers = ", ".join(f"{num_inputs}→{num_outputs}" for num_inputs, num_outputs in kernels)
        raise CheckpointError(f"the layers of MLP_0 are {layers}; after the first, one →1 must be the density")
    widened = [k for k in range(1, depth + 1) if kernels[k][0] != width]
    sizes = {
        "single_mlp": not any(name.startswith("MLP_1/") for name in params),
        "append_identity": rest == 3,
        "max_deg_point": _whole(stated, "min_deg_point", 0) + degrees,
        "net_depth": depth,
        "net_width": width,
        "skip_layer": max(1, widened[0] - 1) if widened else max(depth, _whole(stated, "skip_layer", 4)),
        "use_viewdirs": len(after) > 1,
    }
    if len(after) > 1:
        num_directions = after[1][0] - width
        if num_directions < 3 or num_directions % 6 != 3:
            raise CheckpointError(
                f"MLP_0/Dense_{depth + 2} takes {num_directions} numbers besides the bottleneck, which encode no "
                "direction: each degree gives 6, and the direction itself 3"
            )
        sizes |= {"deg_view": num_directions // 6, "net_depth_condition": len(after) - 2}
    if len(after) > 2:
        sizes["net_width_condition"] = after[1][1]
    return sizes


def _named_parameters(model: MipNerf) -> dict[str, Tensor]:
    networks = [model.mlp] if model.coarse_mlp is None else [model.coarse_mlp, model.mlp]
    named = {}
    for i, mlp in enumerate(networks):
        for k, layer in enumerate(mlp.linear_layers()):
            named[f"MLP_{i}/Dense_{k}/kernel"] = layer.weight
            named[f"MLP_{i}/Dense_{k}/bias"] = layer.bias
    return named


def _kernel_shapes(params: Mapping[str, np.ndarray]) -> list[tuple[int, int]]:
    """(in, out) of all layers of MLP_0."""
    count = sum(name.startswith("MLP_0/") and name.endswith("/kernel") for name in params)
    shapes = [np.shape(params.get(f"MLP_0/Dense_{k}/kernel", ())) for k in range(count)]
    if not shapes or any(len(shape) != 2 for shape in shapes):
        raise CheckpointError("it needs the layers MLP_0/Dense_0, Dense_1, ... with a matrix `kernel` each")
    return shapes


def _whole(stated: Mapping[str, Any], key: str, default: int) -> int:
    value = stated.get(key, default)
    return value if isinstance(value, int) else default
