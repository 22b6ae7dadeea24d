"""The loop over the steps and all that it keeps. What needs torch is loaded where it is asked for."""

from importlib import import_module
from typing import Any

_PLACES = {
    "train": "loop",
    "Trainer": "loop",
    "train_step": "optimization",
    "make_optimizer": "optimization",
    "Batch": "batching",
    "RayBatcher": "batching",
    "learning_rate_decay": "schedule",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
