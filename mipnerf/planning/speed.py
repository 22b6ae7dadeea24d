"""How fast a device is: said, taken from a measurement, or measured here."""

import json
from collections import Counter
from pathlib import Path

from mipnerf.bench.operations import backward_share, rendering_flops, training_flops
from mipnerf.bench.plan import measure_run
from mipnerf.bench.speed import make_trainer, time_rendering
from mipnerf.config import ModelConfig, RunConfig, SuiteConfig
from mipnerf.config.runs import network_of
from mipnerf.devices import describe_device, resolve_device, resolve_precision
from mipnerf.errors import ConfigError
from mipnerf.planning.costs import Speed


def said_speed(rays_per_s: float) -> Speed:
    """The speed that trains the reference's network at so many rays a second; rendering does as many operations."""
    flops = rays_per_s * training_flops(ModelConfig())
    return Speed(flops, flops, "cuda", f"{rays_per_s:,.0f} rays/s in training of the reference's network, as said")


def benched_speed(path: Path) -> tuple[Speed, float]:
    """The speed in a file that `python -m mipnerf bench --json` printed, and the peak memory there in bytes."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        precision = result["precision"]
        training, rendering = (
            float(result[f"{phase}_rays_per_s_median"][precision]) * float(result[f"{flops}_flops_per_ray"])
            for phase, flops in (("train", "training"), ("render", "rendering"))
        )
        origin = f"measured on {result['device']} in {precision} ({path})"
        device = "cuda" if result["cuda"] else "cpu"
        peak = 1e6 * float(result["peak_memory_mb"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not what `python -m mipnerf bench --json` prints ({type(error).__name__}: {error}); "
            f"make it by `python -m mipnerf bench --json > {path.name}` on the machine that shall train"
        ) from None
    if not (training > 0 and rendering > 0):
        raise ConfigError(f"{path} has a speed that is not positive; measure again")
    return Speed(training, rendering, device, origin), peak


def measured_speed(suite: SuiteConfig, runs: dict[str, RunConfig], threads: int, seconds: float) -> Speed:
    """The speed of this machine with the network on which most operations are spent."""
    trained = [run for run in runs.values() if not network_of(suite, run.variant)]
    spent: Counter[tuple[ModelConfig, float]] = Counter()
    operation, device = suite.operation, resolve_device(suite.operation.device)
    shares = {run.name: backward_share(run, device.type) for run in trained}
    for run in trained:
        network, rays = (run.model, shares[run.name]), run.train.max_steps * run.train.batch_size
        spent[network] += int(rays * training_flops(*network))
    network = spent.most_common(1)[0][0]
    run = next(run for run in trained if (run.model, shares[run.name]) == network)
    precision = str(resolve_precision(run.train.precision, device)).removeprefix("torch.")
    training = measure_run(run, operation, threads, precision, seconds) * training_flops(*network)
    one_ray = run.model_copy(update={"train": run.train.model_copy(update={"batch_size": 1})})
    timing = time_rendering(make_trainer(one_ray, operation, threads, precision), seconds)
    origin = f"measured here, {describe_device(device)}, in {precision} with the network of {run.name}"
    return Speed(training, rendering_flops(run.model) / timing.median, device.type, origin)
