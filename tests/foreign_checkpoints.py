"""Checkpoints of other implementations, written from the description of their layouts."""

import pickle
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import torch

from mipnerf.network.model import MLP, MipNerf

# Deep enough to join the input again, in as few numbers as possible.
SIZES = {
    "net_depth": 6,
    "net_width": 16,
    "skip_layer": 4,
    "net_depth_condition": 2,
    "net_width_condition": 8,
    "max_deg_point": 4,
    "deg_view": 2,
}
SAMPLES = {"num_samples": 8}


class Statistics:
    """An object that only the program that saved it knows."""

    def __init__(self) -> None:
        self.history = [np.float64(0.5), {"psnr": [20.0]}]


def randomized(model: MipNerf, seed: int = 0) -> MipNerf:
    """`model` with all parameters drawn anew, biases too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    return model


def write_flax(path: Path, model: MipNerf, step: int = 250_000, chunk: int = 2**30) -> Path:
    """As flax.training.checkpoints.save_checkpoint does, with arrays above `chunk` bytes in pieces."""
    mlps = [model.mlp] if model.coarse_mlp is None else [model.coarse_mlp, model.mlp]
    params = {f"MLP_{i}": flax_layers_of(mlp) for i, mlp in enumerate(mlps)}
    state = {"step": np.int32(step), "param_states": {}}
    content = {"optimizer": {"state": state, "target": {"params": params}}}
    path.write_bytes(msgpack.packb(content, default=lambda leaf: pack(leaf, chunk), strict_types=True))
    return path


def flax_layers_of(mlp: MLP) -> dict[str, dict[str, np.ndarray]]:
    """{"Dense_0": {"kernel": [in, out], "bias": [out]}, ...}."""
    bottleneck = [mlp.bottleneck_layer] if mlp.bottleneck_layer is not None else []
    layers = [*mlp.layers, mlp.density_layer, *bottleneck, *mlp.condition_layers, mlp.rgb_layer]
    return {
        f"Dense_{k}": {"kernel": layer.weight.detach().numpy().T, "bias": layer.bias.detach().numpy()}
        for k, layer in enumerate(layers)
    }


def pack(leaf: np.ndarray | np.generic, chunk: int = 2**30) -> Any:
    if leaf.nbytes > chunk:
        pieces = np.array_split(leaf.reshape(-1), -(-leaf.nbytes // chunk))
        numbered = {"shape": dict(enumerate(leaf.shape)), "chunks": dict(enumerate(pieces))}
        return {"__msgpack_chunked_array__": True} | {
            key: {str(i): value for i, value in values.items()} for key, values in numbered.items()
        }
    content = msgpack.packb((leaf.shape, leaf.dtype.name, leaf.tobytes()), use_bin_type=True)
    return msgpack.ExtType(1 if isinstance(leaf, np.ndarray) else 3, content)


def port_state(model: MipNerf, prefix: str = "") -> dict[str, torch.Tensor]:
    """The layers of both PyTorch ports."""
    mlp = model.mlp
    layers = {f"layers.{i}.0": layer for i, layer in enumerate(mlp.layers)}
    layers |= {"density_layer": mlp.density_layer, "extra_layer": mlp.bottleneck_layer}
    layers |= {f"view_layers.{i}.0": layer for i, layer in enumerate(mlp.condition_layers)}
    layers |= {"color_layer": mlp.rgb_layer}
    return {
        f"{prefix}mlp.{name}.{kind}": getattr(layer, kind).detach()
        for name, layer in layers.items()
        for kind in ("weight", "bias")
    }


def write_port(path: Path, model: MipNerf, **others: Any) -> Path:
    """As mipnerf-pytorch does."""
    optimizer = {"state": {0: {"step": torch.tensor(1234.0)}}, "param_groups": [{"lr": 5e-4, "params": [0]}]}
    content = {"model": port_state(model), "optimizer": optimizer, "stats": pickle.dumps(Statistics())}
    torch.save(content | others, path)
    return path


def write_lightning(path: Path, model: MipNerf, hyper_parameters: dict[str, Any] | None = None, **others: Any) -> Path:
    """As mipnerf_pl does; Lightning used to name callbacks by their classes."""
    content = {
        "epoch": 3,
        "global_step": 4321,
        "pytorch-lightning_version": "1.5.0",
        "callbacks": {Statistics: {"best": Statistics()}},
        "state_dict": port_state(model, "mip_nerf.") | {"loss.weight": torch.ones(1)},
        "hyper_parameters": hyper_parameters or {},
    }
    torch.save(content | others, path)
    return path
