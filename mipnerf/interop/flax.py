"""Checkpoint files of google/mipnerf, as flax.training.checkpoints writes them.

They are msgpack: nested mappings, {"optimizer": {"target": {"params": ...}, "state": {"step", "param_states"}}}, whose
arrays are extensions that hold shape, dtype and bytes. Neither flax nor jax is needed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mipnerf.errors import CheckpointError
from mipnerf.files import atomic_path
from mipnerf.interop.parameters import ForeignCheckpoint, flatten, flax_params
from mipnerf.network.model import MipNerf

try:
    import msgpack
except ModuleNotFoundError:
    msgpack = None

ARRAY, COMPLEX, SCALAR = 1, 2, 3  # types of extensions
CHUNKED = "__msgpack_chunked_array__"
DTYPES = {b"bool", *(f"{kind}{bits}".encode() for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64))}
MAX_ENTRIES = 10_000  # of one mapping


def read_flax(path: Path) -> ForeignCheckpoint:
    """The parameters and the step in a checkpoint file; bare parameters are accepted too. Nothing in it is executed.

    Raises CheckpointError if it is cut off, malformed or not of this layout, or if msgpack is missing.
    """
    _require_msgpack()
    try:
        tree = msgpack.unpackb(
            path.read_bytes(),
            raw=False,
            ext_hook=_read_extension,
            object_hook=_join_chunks,
            # Arrays of msgpack, which reserve their room at once, occur in shapes only.
            max_array_len=32,
            max_map_len=MAX_ENTRIES,
        )
    except (ValueError, TypeError, LookupError) as error:
        raise CheckpointError(f"it is cut off or is no checkpoint of Flax ({error})") from None
    params = _descend(tree, "optimizer", "target", "params", "params")
    if not isinstance(params, Mapping):
        raise CheckpointError("it holds no parameters at optimizer/target/params")
    step = np.asarray(_descend(tree, "optimizer", "state", "step"))
    is_step = step.size == 1 and step.dtype.kind in "iu"
    return ForeignCheckpoint("flax", flatten(params), int(step.item()) if is_step else None, [])


def export_flax(model: MipNerf, step: int, path: Path) -> None:
    """Atomically write the checkpoint of google/mipnerf that `read_flax` reads, with an Adam that has no moments yet.

    The reference looks for the newest `checkpoint_<step>` in a folder. Raises CheckpointError if msgpack is missing, or
    the network is one of contracted space or with proposals, which the reference has not.
    """
    _require_msgpack()
    if model.config.contraction != "none":
        raise CheckpointError(
            f"the network was trained with model.contraction {model.config.contraction}, which google/mipnerf does not "
            "have: it would read other coordinates; export networks trained with none"
        )
    if model.config.proposal_depth:
        raise CheckpointError(
            f"the network was trained with model.proposal_depth {model.config.proposal_depth}, and google/mipnerf has "
            "one size for all levels; export networks trained with 0"
        )
    params = flax_params(model)
    moments = {
        f"{name}/{moment}": np.zeros_like(value)
        for name, value in params.items()
        for moment in ("grad_ema", "grad_sq_ema")
    }
    state = {"step": np.array(step, np.int32), "param_states": {"params": _nest(moments)}}
    tree = {"optimizer": {"target": {"params": _nest(params)}, "state": state}}
    with atomic_path(path) as temporary:
        temporary.write_bytes(msgpack.packb(tree, default=_pack_array, strict_types=True))


def _require_msgpack() -> None:
    if msgpack is None:
        raise CheckpointError("checkpoints of Flax need the package msgpack: run pip install -e '.[interop]'")


def _read_extension(kind: int, content: bytes) -> Any:
    if kind == COMPLEX:
        real, imaginary = msgpack.unpackb(content)
        return complex(real, imaginary)
    if kind not in (ARRAY, SCALAR):
        raise ValueError(f"extension {kind} is unknown")
    shape, dtype, values = msgpack.unpackb(content, raw=True)
    if dtype not in DTYPES:
        raise ValueError(f"arrays of {dtype!r} are not read; allowed are whole and real numbers of up to 64 bits")
    return np.frombuffer(values, dtype.decode()).reshape(shape)


def _join_chunks(node: dict[str, Any]) -> Any:
    """`node`, or the array that it is the pieces of: Flax cuts arrays above 1 GiB."""
    if CHUNKED not in node:
        return node
    shape, chunks = ([node[key][str(i)] for i in range(len(node[key]))] for key in ("shape", "chunks"))
    return np.concatenate(chunks).reshape(shape)


def _pack_array(array: np.ndarray) -> Any:
    content = msgpack.packb((array.shape, array.dtype.name, array.tobytes()), use_bin_type=True)
    return msgpack.ExtType(ARRAY, content)


def _descend(node: Any, *names: str) -> Any:
    """What is found by following those of `names`, in turn, that exist."""
    for name in names:
        if isinstance(node, Mapping) and name in node:
            node = node[name]
    return node


def _nest(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, leaf = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree
