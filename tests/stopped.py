"""Trainings that a signal stops, and the weights that come of them."""

import signal
from pathlib import Path

import pytest
import torch

from mipnerf.training import stepping


class StopAt:
    """Raises a signal when the training has taken `step` steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGTERM):
        self.count, self.step, self.number = 0, step, number
        self.original = stepping.train_step
        monkeypatch.setattr(stepping, "train_step", self)

    def __call__(self, *args, **kwargs):
        self.count += 1
        if self.count == self.step:
            signal.raise_signal(self.number)
        return self.original(*args, **kwargs)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Those of the trained run in `folder`."""
    return torch.load(folder / "model.pt", weights_only=True)["parameters"]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether both have the same weights, to the bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
