"""Which implementation of the network computes here: the fastest of those that agree, by trying them."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mipnerf.cameras import Rays
from mipnerf.config import ModelConfig, OperationConfig
from mipnerf.devices import autocast, keep_kernels, synchronize
from mipnerf.errors import ConfigError
from mipnerf.network.fused import launches_on, obstacle
from mipnerf.network.model import MipNerf
from mipnerf.network.packing import Launch

log = logging.getLogger(__name__)
# How far the results of an implementation may be from those of the plain one, relative to their norm: gradients of
# another rounding, some of which is amplified by high degrees of the encoding.
TOLERANCES = {torch.float32: 1e-2, torch.bfloat16: 1e-1}
LEAST_CALLS = 3
TRIAL_RAYS = 4096


def candidates(model: ModelConfig, operation: OperationConfig, device: torch.device) -> list[str]:
    """The implementations that `operation.network` leaves to choose from; raises ConfigError where it leaves none.

    `auto` takes the plain one on a CPU, which has been the fastest on each that was tried.
    """
    reason = obstacle(model, device)
    if operation.network == "fused" and reason:
        raise ConfigError(
            f"operation.network is 'fused', whose kernels cannot compute this here: {reason}; use 'auto', 'compiled' "
            "or 'plain'"
        )
    if operation.network != "auto":
        return [operation.network]
    if device.type == "cpu":
        return ["plain"]
    return ["plain", "compiled", *([] if reason else ["fused"])]


def fastest(
    trials: Mapping[str, Callable[[], Sequence[Tensor]]], device: torch.device, tolerance: float, seconds: float
) -> str:
    """The name of the fastest of `trials` whose results are those of the first; the others need not work at all.

    Each is called once to compare, and then for `seconds`, after which the log has what they took.
    """
    first, *_ = trials
    expected: Tensor | None = None
    times: dict[str, float] = {}
    for name, call in trials.items():
        try:
            result = torch.cat([value.detach().flatten().double() for value in call()])
            if expected is None:
                expected = result
            deviation = float((result - expected).norm() / expected.norm().clamp_min(1e-30))
            if not deviation <= tolerance:
                log.warning("the %s network is not taken: its results are off by %.2g", name, deviation)
                continue
            times[name] = _time(call, device, seconds)
        except Exception as error:
            if name == first:
                raise
            log.warning("the %s network is not taken: %s", name, str(error).partition("\n")[0] or type(error).__name__)
    chosen = min(times, key=times.__getitem__)
    if seconds > 0:
        described = ", ".join(f"{name} {1000 * value:.2f} ms" for name, value in times.items())
        log.info("the network is computed %s (%s)", chosen, described)
    return chosen


def _time(call: Callable[[], object], device: torch.device, seconds: float) -> float:
    synchronize(device)
    calls, started = 0, time.perf_counter()
    while calls < LEAST_CALLS or time.perf_counter() - started < seconds:
        call()
        synchronize(device)
        calls += 1
    return (time.perf_counter() - started) / calls


def choose_for_rendering(
    model: MipNerf, operation: OperationConfig, device: torch.device, precision: torch.dtype, seconds: float = 0.3
) -> str:
    """Have a trained network rendered by the implementation that `operation.network` asks for; gives its name.

    Rendering is not compiled: what else may be chosen is plain, or on a GPU the kernels where they are faster.
    """
    keep_kernels(device)
    names = [name for name in candidates(model.config, operation, device) if name != "compiled"] or ["plain"]
    if len(names) == 1:
        model.fused = launches_on(device)[0] if names == ["fused"] else None
        return names[0]
    rays = _random_rays(TRIAL_RAYS, device)
    launches: dict[str, Launch | None] = {"plain": None}
    launches |= {f"fused {launch.block} {launch.warps}": launch for launch in launches_on(device)}

    def trial(launch: Launch | None) -> Callable[[], list[Tensor]]:
        def call() -> list[Tensor]:
            model.fused = launch
            with torch.inference_mode(), autocast(device, precision):
                return list(model(rays, randomized=False, white_bkgd=True)[-1])

        return call

    chosen = fastest({name: trial(launch) for name, launch in launches.items()}, device, TOLERANCES[precision], seconds)
    model.fused = launches[chosen]
    return chosen.partition(" ")[0]


def _random_rays(count: int, device: torch.device) -> Rays:
    """Rays towards the origin from a distance of 4."""
    generator = torch.Generator().manual_seed(0)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    jitter = 0.2 * torch.randn(count, 3, generator=generator)
    directions = torch.nn.functional.normalize(jitter - origins, dim=-1)
    one = torch.ones(count, 1)
    values = (4 * origins, directions, directions, 1e-3 * one, one, 2 * one, 6 * one)
    return Rays(*(value.to(device) for value in values))
