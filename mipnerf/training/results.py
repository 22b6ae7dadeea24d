"""The folder of one run, `results/DATASET/VARIANT/SCENE`: what training leaves there for all later steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from mipnerf import __version__
from mipnerf.config import EVALUATION_KEYS, RunConfig
from mipnerf.config.validation import validated
from mipnerf.errors import CheckpointError
from mipnerf.files import parse_yaml, write_text
from mipnerf.network.storage import load_model, save_model
from mipnerf.training.history import HistoryRow, ValidationRow, read_rows, read_validation, write_rows, write_validation


def write_run(
    folder: Path,
    run: RunConfig,
    parameters: Mapping[str, Tensor],
    record: Mapping[str, Any],
    history: Sequence[HistoryRow] = (),
    validation: Sequence[ValidationRow] = (),
) -> None:
    """Write `history.csv`, `validation.csv`, `config.yaml` and, last, since it tells that all is there, `model.pt`.

    `record` is what is known of the training beside its configuration.
    """
    resolved = {"package_version": __version__, **run.model_dump(exclude={"data": set(EVALUATION_KEYS)})}
    write_rows(folder / "history.csv", history, run.model.num_levels)
    write_validation(folder / "validation.csv", validation)
    write_text(folder / "config.yaml", yaml.safe_dump(resolved | {"record": dict(record)}, sort_keys=False))
    content = {name: value.cpu() for name, value in parameters.items()}
    save_model(folder / "model.pt", {"run": run.model_dump(), "parameters": content})


def adopt_run(source: Path, folder: Path) -> None:
    """Make `folder` the run of another variant, with the network of the run in `source`.

    Raises `CheckpointError` if `source` holds no trained run.
    """
    content = load_model(source / "model.pt", torch.device("cpu"))
    dataset, variant, scene = folder.resolve().parts[-3:]
    named = content["run"] | {"dataset": dataset, "variant": variant, "scene": scene}
    run = validated(RunConfig, named, where=str(folder))
    try:
        record = parse_yaml((source / "config.yaml").read_text(encoding="utf-8"))["record"]
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise CheckpointError(f"{source / 'config.yaml'} cannot be read ({error}); train that run again") from None
    record |= {"model_of": source.resolve().parts[-2]}
    history, validation = read_rows(source / "history.csv"), read_validation(source / "validation.csv")
    write_run(folder, run, content["parameters"], record, history, validation)
