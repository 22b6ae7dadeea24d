"""What a training has learnt since the last row of its history, to the bit, whoever interrupts it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mipnerf.config import TrainConfig
from mipnerf.training.history import HistoryRow


class Window:
    """Losses of the sampling levels, and time, since the last row; sums stay on the device until a row is made."""

    def __init__(self, num_levels: int, device: torch.device) -> None:
        self.total = torch.zeros(num_levels, device=device)
        self.steps = 0
        self._before = 0.0  # seconds until the clock was last started
        self._started: float | None = None

    @property
    def seconds(self) -> float:
        """The time since the last row while the clock was on."""
        running = 0.0 if self._started is None else time.perf_counter() - self._started
        return self._before + running

    def start_clock(self) -> None:
        """Count time from now on."""
        self._started = time.perf_counter()

    @contextmanager
    def off_the_clock(self) -> Iterator[None]:
        """Leave out the time of what is done meanwhile."""
        self._before, self._started = self.seconds, None
        try:
            yield
        finally:
            self.start_clock()

    def add(self, losses: Tensor) -> None:
        """Count a step with the losses [L] of its levels."""
        self.total += losses
        self.steps += 1

    def is_finite(self) -> bool:
        """Whether all losses are finite numbers; waits for the device."""
        return bool(torch.isfinite(self.total).all())

    def close(self, step: int, seconds: float, learning_rate: float, train: TrainConfig) -> HistoryRow:
        """The row of the steps since the last one, of which `seconds` of training came before; begins the next."""
        losses, elapsed = (self.total / self.steps).tolist(), self.seconds
        row = HistoryRow(
            step=step,
            loss=train.coarse_loss_mult * sum(losses[:-1]) + losses[-1],
            # The reference's loss sums three channels; its PSNR is only right per channel.
            psnr=-10 * float(np.log10(losses[-1] / 3)) if losses[-1] > 0 else float("inf"),
            lr=learning_rate,
            rays_per_s=self.steps * train.batch_size / elapsed,
            seconds=seconds + elapsed,
            losses=tuple(losses),
        )
        self.total = torch.zeros_like(self.total)
        self.steps, self._before = 0, 0.0
        self.start_clock()
        return row

    def state(self) -> dict[str, Any]:
        """What another window needs to go on as this one."""
        return {"total": self.total, "steps": self.steps, "seconds": self.seconds}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on as the window whose `state` this is."""
        self.total = state["total"].to(self.total.device, copy=True)
        self.steps, self._before = state["steps"], state["seconds"]
