"""Timing what training and rendering do, on a scene that is made up in memory."""

import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from mipnerf.cameras import Rays
from mipnerf.config import OperationConfig, RunConfig
from mipnerf.datasets.made_up import made_up_scene
from mipnerf.devices import synchronize
from mipnerf.network.rendering import render_rays, suitable_chunk
from mipnerf.training.batching import RayBatcher
from mipnerf.training.loop import Trainer

WINDOWS = 5  # that the time of a measurement is divided into
CHUNKS_PER_WORKER = 4  # to render at a time: enough for the workers to end together


class Timing(NamedTuple):
    """Seconds a call takes, in the best and in the median window."""

    best: float
    median: float


def time_calls(call: Callable[[], object], seconds: float, device: torch.device, least: int = 3) -> Timing:
    """Time `call` for about `seconds` in at least `least` windows, after a call that is not counted."""
    time_window(call, 1, device)
    windows: list[float] = []
    calls, started = 1, time.perf_counter()
    while len(windows) < least or time.perf_counter() - started < seconds:
        windows.append(time_window(call, calls, device))
        calls = max(1, round(seconds / WINDOWS / windows[-1]))
    return Timing(min(windows), statistics.median(windows))


def time_window(call: Callable[[], object], calls: int, device: torch.device) -> float:
    """Mean seconds of so many calls; a GPU is waited for only at their end."""
    started = time.perf_counter()
    for _ in range(calls):
        call()
    synchronize(device)
    return (time.perf_counter() - started) / calls


def make_trainer(run: RunConfig, operation: OperationConfig, threads: int, precision: str) -> Trainer:
    """A training of `run` on the made-up scene, in `precision`, at its start."""
    values = run.model_dump()
    values["train"]["precision"] = precision
    values["data"].pop("box", None)  # which is somewhere else
    return Trainer.create(RunConfig.model_validate(values), operation, made_up_scene(), threads)


def train_once(trainer: Trainer) -> None:
    """Take one step, as training does."""
    trainer.step += 1
    trainer.take_step(trainer.run.train.lr_init)


def random_rays(trainer: Trainer, count: int) -> Rays:
    """Rays through random pixels of the scene."""
    return next(RayBatcher(made_up_scene(), count, trainer.run.data, trainer.device)).rays


def render_once(trainer: Trainer, rays: Rays) -> None:
    """Render `rays`, as evaluation does."""
    render_rays(
        trainer.model,
        rays,
        trainer.run.data.white_bkgd,
        trainer.precision,
        trainer.operation.render_rays,
        trainer.workers,
    )


def time_training(trainer: Trainer, seconds: float, least: int = 3) -> Timing:
    """Seconds a ray takes in training."""
    timing = time_calls(lambda: train_once(trainer), seconds, trainer.device, least)
    return Timing(*(value / trainer.run.train.batch_size for value in timing))


def time_rendering(trainer: Trainer, seconds: float) -> Timing:
    """Seconds a ray takes in rendering, of a number of rays that fills the device."""
    suitable = suitable_chunk(trainer.run.model, trainer.device, trainer.precision)
    chunk = trainer.operation.render_rays or suitable
    rays = random_rays(trainer, CHUNKS_PER_WORKER * trainer.workers.count * chunk)
    timing = time_calls(lambda: render_once(trainer, rays), seconds, trainer.device)
    return Timing(*(value / len(rays) for value in timing))


class PeakMemory:
    """The most memory that was ever taken: on a GPU by tensors, else by the process."""

    def __init__(self, device: torch.device):
        self.device = device
        self.before = self._peak()

    def growth(self) -> float:
        """MB by which it has grown since this was made."""
        return (self._peak() - self.before) / 1e6

    def _peak(self) -> int:
        """Bytes."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        status = Path("/proc/self/status")
        lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
        peak = next((line.split()[1] for line in lines if line.startswith("VmHWM")), None)
        # getrusage comes second: on Linux a process takes over the peak of the one that started it.
        return 1024 * int(peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
