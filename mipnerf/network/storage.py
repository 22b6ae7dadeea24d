"""Trained models on disk."""

from pathlib import Path
from typing import Any

import torch

from mipnerf.errors import CheckpointError
from mipnerf.files import atomic_path


def save_model(path: Path, content: dict[str, Any]) -> None:
    """Atomically write a trained model."""
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        # A stream has no name that would get into the file: the frames of a video know a network by its bytes.
        torch.save(content, stream)


def load_model(path: Path, device: torch.device) -> dict[str, Any]:
    """A trained model as `save_model` wrote it; no code in the file is run."""
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist; train the run first") from None
    except Exception as error:
        raise CheckpointError(
            f"{path} cannot be read as a model ({type(error).__name__}); remove it and train again"
        ) from None
    if not isinstance(content, dict) or {"run", "parameters"} - set(content):
        raise CheckpointError(f"{path} is not a model of this suite: `run` and `parameters` are not in it")
    return content
