"""The loop over the steps and all that it keeps. What needs torch is loaded where it is asked for."""

from mipnerf.faces import face

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
__getattr__ = face(__name__, _PLACES)
