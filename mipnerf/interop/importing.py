"""A checkpoint of another implementation as a run of this suite."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from mipnerf.config import RunConfig
from mipnerf.config.runs import parse_settings, run_of_folder
from mipnerf.errors import CheckpointError
from mipnerf.interop.flax import read_flax
from mipnerf.interop.parameters import ForeignCheckpoint, check_shapes, check_values, infer_sizes, load_flax_params
from mipnerf.interop.pytorch import read_pytorch
from mipnerf.network.model import MipNerf
from mipnerf.training.results import write_run

log = logging.getLogger(__name__)
MAX_FILE_BYTES = 2 << 30


def import_checkpoint(path: Path, folder: Path, settings: Sequence[str] = (), levels: int = 4) -> RunConfig:
    """Write the network in `path` as the run `folder`, DATASET/VARIANT/SCENE, as if it had been trained here.

    The network's sizes follow from its weights; all else has the values that the checkpoint states, or those of the
    reference; `settings`, each `section.key=value`, win. `levels` is the number of resolution levels of the dataset.

    Raises CheckpointError if the file is no checkpoint that is known, contradicts itself or the settings, or if
    `folder` holds a run; ConfigError if a setting is not valid.
    """
    taken = [name for name in ("model.pt", "checkpoints") if (folder / name).exists()]
    if taken:
        raise CheckpointError(f"{folder} already holds a run ({taken[0]}); name another folder, or remove this one")
    try:
        foreign = read_checkpoint(path)
        run = _describe_run(foreign, folder, settings, levels)
        model = _make_model(run, foreign)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    write_run(folder, run, model.state_dict(), _record(path, foreign, model))
    log.info("%s is the network of %s (%s): %s", run.name, path, foreign.layout, " ".join(run.settings()))
    if foreign.step is None:
        log.warning("%s does not say after how many steps it was saved; tables show train.max_steps", path)
    return run


def read_checkpoint(path: Path) -> ForeignCheckpoint:
    """The checkpoint in `path`, whose layout its content tells; raises CheckpointError if that is unknown."""
    if not path.is_file():
        what = "is a folder; name a file in it, such as checkpoint_1000000" if path.is_dir() else "does not exist"
        raise CheckpointError(f"it {what}")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise CheckpointError(f"it is larger than {MAX_FILE_BYTES >> 30} GiB, which no checkpoint of a mip-NeRF is")
    with open(path, "rb") as stream:
        start = stream.read(4)
    if start.startswith(b"PK"):
        foreign = read_pytorch(path)
    # The first byte of a mapping in msgpack; an empty one, 0x80, is how a bare pickle begins.
    elif start and (0x81 <= start[0] <= 0x8F or start[0] in (0xDE, 0xDF)):
        foreign = read_flax(path)
    else:
        raise CheckpointError(
            "its layout is unknown; known are the checkpoints of google/mipnerf (Flax), mipnerf-pytorch and "
            "mipnerf_pl (PyTorch 1.6 or later)"
        )
    check_values(foreign.params)
    return foreign


def _describe_run(foreign: ForeignCheckpoint, folder: Path, settings: Sequence[str], levels: int) -> RunConfig:
    # All of these implementations compute in float32.
    stated = ["train.precision=float32"]
    if foreign.step is not None:
        stated.append(f"train.max_steps={max(foreign.step, 1)}")
    stated += [*foreign.settings, *settings]
    stated_model = parse_settings(stated, ("model", "train", "data")).get("model", {})
    sizes = infer_sizes(foreign.params, stated_model)
    for key in stated_model.keys() & sizes.keys():
        if stated_model[key] != sizes[key]:
            raise CheckpointError(
                f"model.{key} is said to be {json.dumps(stated_model[key])}, but its weights are those of "
                f"{json.dumps(sizes[key])}; give --set model.{key}={json.dumps(sizes[key])}, or none"
            )
    inferred = [f"model.{key}={json.dumps(value)}" for key, value in sizes.items()]
    return run_of_folder(folder, [*stated, *inferred], levels)


def _make_model(run: RunConfig, foreign: ForeignCheckpoint) -> MipNerf:
    # Without storage until the shapes are known to be right: those in a file can be absurd.
    with torch.device("meta"):
        model = MipNerf(run.model)
    check_shapes(model, foreign.params)
    model.to_empty(device="cpu")
    load_flax_params(model, foreign.params)
    return model


def _record(path: Path, foreign: ForeignCheckpoint, model: MipNerf) -> dict[str, str | int | None]:
    """The record that training would have made; what is not known of it is None."""
    machine, data = ("device", "threads", "precision", "torch"), ("train_views", "width", "height", "data_sha256")
    unknown = ("train_seconds", *machine, *data, "starts")
    return {
        "imported_from": path.name.encode(errors="replace").decode(),  # not all names of files are text
        "imported_layout": foreign.layout,
        "imported_step": foreign.step,
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        **dict.fromkeys(unknown),
    }
