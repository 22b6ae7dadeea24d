"""Where the time of a training step goes."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from mipnerf.bench.speed import train_once
from mipnerf.devices import synchronize
from mipnerf.network import fused, mip, nerf
from mipnerf.network.model import MLP
from mipnerf.training.batching import RayBatcher
from mipnerf.training.loop import Trainer

LEAST_STEPS = 3
REST = "rest"  # loss, sums of gradients, activations of samples, threads that wait for one another
# The functions that a part consists of; none of them calls another.
IN_WORKERS: dict[str, list[tuple[Any, str]]] = {
    "sampling": [
        (mip, "sample_along_rays"),
        (mip, "resample_along_rays"),
        (nerf, "sample_along_rays"),
        (nerf, "sample_pdf"),
    ],
    "encoding": [(mip, "pos_enc"), (mip, "integrated_pos_enc")],
    "network": [(MLP, "evaluate"), (fused, "fused_network")],
    "compositing": [(mip, "volumetric_rendering"), (nerf, "volumetric_rendering")],
    "backward": [(torch.autograd, "grad")],
}
DATA, OPTIMISER = "data", "optimiser"  # parts of the process itself


def time_parts(trainer: Trainer, seconds: float) -> dict[str, float]:
    """Milliseconds of a step by its parts, which add up to the step.

    The functions are timed one by one within steps that are taken for about `seconds`. Of parts that threads compute
    beside one another, it is the time of all threads over their number.
    """
    trainer.can_capture = False  # a graph has no functions to be timed
    train_once(trainer)
    by_itself: dict[str, list[tuple[Any, str]]] = {
        DATA: [(RayBatcher, "__next__")],
        OPTIMISER: [(type(trainer.optimizer), "step")],
    }
    durations: dict[str, list[float]] = {name: [] for name in by_itself | IN_WORKERS}
    with ExitStack() as stack:
        for name, functions in (by_itself | IN_WORKERS).items():
            for owner, function in functions:
                stack.enter_context(_timed(owner, function, durations[name], trainer.device))
        steps, started = 0, time.perf_counter()
        while steps < LEAST_STEPS or time.perf_counter() - started < seconds:
            train_once(trainer)
            steps += 1
        synchronize(trainer.device)
        elapsed = time.perf_counter() - started
    microbatches = -(-trainer.run.train.batch_size // trainer.microbatch_rays)
    # Processes beside this one time nothing here, and take as long.
    beside = 1 if trainer.forks else min(trainer.workers.count, microbatches)
    parts = {
        DATA: sum(durations[DATA]),
        **{name: sum(durations[name]) / beside for name in IN_WORKERS},
        OPTIMISER: sum(durations[OPTIMISER]),
    }
    parts[REST] = elapsed - sum(parts.values())
    return {name: 1000 * value / steps for name, value in parts.items()}


@contextmanager
def _timed(owner: Any, name: str, durations: list[float], device: torch.device) -> Iterator[None]:
    """Have every call of `owner.name` add its seconds to `durations`."""
    original: Callable[..., Any] = getattr(owner, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        synchronize(device)
        started = time.perf_counter()
        result = original(*args, **kwargs)
        synchronize(device)
        durations.append(time.perf_counter() - started)
        return result

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, original)
