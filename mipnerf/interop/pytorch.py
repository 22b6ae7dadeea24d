"""Checkpoints of two PyTorch ports: AlphaPlusTT/mipnerf-pytorch and hjxwhy/mipnerf_pl.

They are pickles, read by the unpickler of `torch.load(weights_only=True)`, which calls nothing but what rebuilds
tensors and plain containers. Objects of any other class, such as statistics and callbacks, are made as instances of an
empty class instead: their own is never looked up, so none of its code can run.
"""

import json
import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mipnerf.errors import CheckpointError
from mipnerf.interop.parameters import MAX_PARAMETERS, ForeignCheckpoint

MAX_BYTES = 2 << 30  # of a checkpoint when unpacked
MAX_CLASSES = 1000
LIGHTNING_PREFIX = "mip_nerf."

# Hyper-parameters of mipnerf_pl that shapes do not tell, or might contradict.
SETTINGS = {
    f"nerf.{key}": f"model.{key}"
    for key in (
        "num_samples",
        "num_levels",
        "resample_padding",
        "use_viewdirs",
        "ray_shape",
        "min_deg_point",
        "max_deg_point",
        "deg_view",
        "density_activation",
        "density_noise",
        "density_bias",
        "rgb_activation",
        "rgb_padding",
        "disable_integration",
    )
} | {
    "nerf.stop_resample_grad": "model.stop_level_grad",
    "nerf.disparity": "model.lindisp",
    "nerf.mlp.net_depth": "model.net_depth",
    "nerf.mlp.net_width": "model.net_width",
    "nerf.mlp.net_depth_condition": "model.net_depth_condition",
    "nerf.mlp.net_width_condition": "model.net_width_condition",
    "nerf.mlp.net_activation": "model.net_activation",
    "nerf.mlp.skip_index": "model.skip_layer",
    "train.batch_size": "train.batch_size",
    "val.white_bkgd": "data.white_bkgd",
}


class _Inert:
    """Stands for an object of another class. Takes whatever it is given and keeps none of it."""

    def __new__(cls, *_: Any, **__: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


def read_pytorch(path: Path) -> ForeignCheckpoint:
    """The parameters in a checkpoint of one of the ports, and what else it says. Nothing in it is executed.

    Raises CheckpointError if it is cut off, malformed or not of these layouts.
    """
    content = _load_inert(path)
    if not isinstance(content, Mapping):
        raise CheckpointError("it holds no mapping; the ports write one with `model` or `state_dict`")
    if {"run", "parameters"} <= set(content):
        raise CheckpointError("it is a model.pt of this suite already; copy its whole folder instead")
    if "state_dict" in content:
        layers = _strip_prefix(content["state_dict"], LIGHTNING_PREFIX)
        settings = _stated_settings(content.get("hyper_parameters"))
        step = content.get("global_step")
        return ForeignCheckpoint("mipnerf_pl", _flax_names(layers), step if isinstance(step, int) else None, settings)
    layers = content.get("model", content)
    return ForeignCheckpoint("mipnerf-pytorch", _flax_names(layers), _adam_step(content), [])


def _load_inert(path: Path) -> Any:
    """What is in the file, with an `_Inert` for every object that is neither tensor, container nor plain value."""
    allowed = torch.serialization.get_safe_globals()
    try:
        torch.serialization.add_safe_globals([_inert_class(*names) for names in _class_names(path)])
        return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    # A damaged pickle fails in as many ways as there are bytes.
    except Exception as error:
        if called := re.search(r"GLOBAL (\S+)", str(error)):
            raise CheckpointError(f"it asks for {called[1]} to be called, which is never done") from None
        raise CheckpointError(f"it is cut off or damaged ({type(error).__name__})") from None
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(allowed)


def _class_names(path: Path) -> set[tuple[str, str]]:
    """(module, name) of everything that the pickle in the file would import."""
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
            raise CheckpointError(f"it unpacks to more than {MAX_BYTES >> 30} GiB, which no mip-NeRF needs")
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
        names = set()
        for name in pickles:
            for operation, argument, _ in pickletools.genops(archive.read(name)):
                if operation.name == "GLOBAL":
                    module, _, attribute = str(argument).partition(" ")
                    names.add((module, attribute))
    if len(names) > MAX_CLASSES:
        raise CheckpointError(f"it names {len(names)} classes, which no checkpoint of these ports does")
    return names


def _inert_class(module: str, name: str) -> type:
    return type(name, (_Inert,), {"__module__": module})


def _strip_prefix(state: Any, prefix: str) -> dict[str, Any]:
    """The entries behind `prefix`; those of losses and metrics, which are parts of the same module, are left out."""
    if not isinstance(state, Mapping):
        return {}
    return {name.removeprefix(prefix): value for name, value in state.items() if str(name).startswith(prefix)}


def _flax_names(state: Any) -> dict[str, Any]:
    """The layers of both ports under the names of the reference, each weight [out, in] as a kernel [in, out]."""
    if not isinstance(state, Mapping) or "mlp.density_layer.weight" not in state:
        raise CheckpointError("it holds no layer `mlp.density_layer`, so it is of neither port")

    def count(kind: str) -> int:
        return sum(bool(re.fullmatch(rf"mlp\.{kind}\.\d+\.0\.weight", str(name))) for name in state)

    order = [f"layers.{i}.0" for i in range(count("layers"))] + ["density_layer", "extra_layer"]
    order += [f"view_layers.{i}.0" for i in range(count("view_layers"))] + ["color_layer"]
    names = {
        f"mlp.{layer}.{torch_name}": f"MLP_0/Dense_{k}/{flax_name}"
        for k, layer in enumerate(order)
        for torch_name, flax_name in (("weight", "kernel"), ("bias", "bias"))
    }
    if unmatched := set(names) ^ set(state):
        raise CheckpointError(
            f"the layers are not those of the ports: {', '.join(sorted(map(str, unmatched)))} are unknown or missing"
        )
    return {flax_name: _array(state[name], name) for name, flax_name in names.items()}


def _array(tensor: Any, name: str) -> Any:
    is_plain = isinstance(tensor, Tensor) and tensor.layout == torch.strided and tensor.device.type == "cpu"
    # A view may claim more elements than the file has bytes.
    if not is_plain or not tensor.is_floating_point() or tensor.numel() > MAX_PARAMETERS:
        raise CheckpointError(f"{name} is no tensor of at most {MAX_PARAMETERS:,} real numbers")
    return tensor.detach().float().numpy().T


def _stated_settings(hyper_parameters: Any) -> list[str]:
    """What of `hyper_parameters`, flat dotted keys, has a counterpart here, as `section.key=value`."""
    if not isinstance(hyper_parameters, Mapping):
        return []
    return [
        f"{ours}={json.dumps(hyper_parameters[theirs])}"
        for theirs, ours in SETTINGS.items()
        if isinstance(hyper_parameters.get(theirs), bool | int | float | str)
    ]


def _adam_step(content: Mapping[str, Any]) -> int | None:
    """Steps that the optimiser has taken: mipnerf-pytorch keeps no other count."""
    try:
        return int(content["optimizer"]["state"][0]["step"])
    except (LookupError, TypeError, ValueError, RuntimeError):
        return None
