"""How the speed of training and rendering changes with batch, samples, width and image size."""

import logging
import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import torch

from mipnerf.bench.speed import make_trainer, random_rays, render_once, time_calls, train_once
from mipnerf.config import OperationConfig, RunConfig
from mipnerf.devices import describe_device, resolve_device

log = logging.getLogger(__name__)
PRECISIONS = ("float32", "bfloat16")
# What is varied, and its values; all else is as in the run.
VALUES = {
    "batch_size": (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384),
    "num_samples": (32, 64, 128, 256),
    "net_width": (64, 128, 256, 512),
    "image_size": (50, 100, 200, 400, 800),
}


class Point(NamedTuple):
    """One measurement; without `seconds` it was left out, for the reason in `note`."""

    varied: str  # a key of VALUES
    value: int  # rays, samples of a level, width of the layers, or pixels along a side
    phase: str  # training or rendering
    precision: str
    seconds: float  # of a step, or of a call that renders as many rays, or an image
    rays_per_s: float
    note: str


def measure_scaling(
    run: RunConfig, operation: OperationConfig, threads: int, seconds: float, limit: float
) -> Iterator[Point]:
    """Every point, in about `seconds` each, but none whose step, call or image takes more than `limit` seconds."""
    for varied, precision, phase in product(VALUES, PRECISIONS, ("training", "rendering")):
        if varied != "image_size" or phase == "rendering":
            log.info("measuring %s in %s against %s", phase, precision, varied)
            yield from measure_curve(varied, precision, phase, run, operation, threads, seconds, limit)


def measure_curve(
    varied: str,
    precision: str,
    phase: str,
    run: RunConfig,
    operation: OperationConfig,
    threads: int,
    seconds: float,
    limit: float,
) -> Iterator[Point]:
    """The points of one curve; it ends where the next would take too long, judged by the last, or too much memory."""
    growth = 2 if varied == "image_size" else 1
    note, last_value, last_seconds = "", 1, 0.0
    for value in VALUES[varied]:
        taken = rays_per_s = math.nan
        if last_seconds * (value / last_value) ** growth > limit:
            note = note or f"over {limit:g} s"
        if not note:
            try:
                call, rays, device = _prepare(varied, value, precision, phase, run, operation, threads)
                taken = time_calls(call, seconds, device, least=1).median
                rays_per_s = rays / taken
                last_value, last_seconds = value, taken
            except torch.cuda.OutOfMemoryError:
                note = "out of memory"
        yield Point(varied, value, phase, precision, taken, rays_per_s, note)


def _prepare(
    varied: str, value: int, precision: str, phase: str, run: RunConfig, operation: OperationConfig, threads: int
) -> tuple[Callable[[], None], int, torch.device]:
    """What is to be timed, the rays that it computes, and where it does."""
    changed = with_value(run, varied, value)
    trainer = make_trainer(changed, operation, threads, precision)
    if phase == "training":
        return lambda: train_once(trainer), changed.train.batch_size, trainer.device
    rays = random_rays(trainer, value**2 if varied == "image_size" else changed.train.batch_size)
    return lambda: render_once(trainer, rays), len(rays), trainer.device


def with_value(run: RunConfig, varied: str, value: int) -> RunConfig:
    """`run` with another batch, number of samples or width; the layer that sees the direction is half as wide."""
    values = run.model_dump()
    changes = {
        "batch_size": {"train": {"batch_size": value}},
        "num_samples": {"model": {"num_samples": value}},
        "net_width": {"model": {"net_width": value, "net_width_condition": value // 2}},
        "image_size": {},
    }
    for section, change in changes[varied].items():
        values[section] |= change
    return RunConfig.model_validate(values)


def describe_machine(operation: OperationConfig, threads: int) -> str:
    """Where this is measured: the device, the threads of a CPU, and PyTorch."""
    device = resolve_device(operation.device)
    share = f", {threads} threads" if device.type == "cpu" else ""
    return f"{describe_device(device)}{share}, PyTorch {torch.__version__}"
