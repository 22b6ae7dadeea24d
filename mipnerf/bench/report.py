"""Everything that `python -m mipnerf bench` measures, as one mapping and as text."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from mipnerf.bench.bandwidth import copy_bandwidth, training_bytes
from mipnerf.bench.operations import backward_share, layer_shapes, level_shapes, rendering_flops, training_flops
from mipnerf.bench.parts import time_parts
from mipnerf.bench.plan import estimate_runs
from mipnerf.bench.products import product_bound
from mipnerf.bench.speed import PeakMemory, make_trainer, time_rendering, time_training
from mipnerf.config import OperationConfig, RunConfig
from mipnerf.config.files import missing_files, read_suite
from mipnerf.devices import describe_device, has_bfloat16_products, resolve_device, resolve_precision
from mipnerf.threads import available_cpus
from mipnerf.training.history import format_duration
from mipnerf.training.provenance import driver_version

log = logging.getLogger(__name__)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SHARE = 0.25  # of the time of a measurement, for those of which there are many


def measure(
    run: RunConfig,
    operation: OperationConfig,
    threads: int = 0,
    seconds: float = 3.0,
    configfiles: Sequence[Path] = (),
    project: Path = Path(),
    rows: Sequence[int] = (),
) -> dict[str, Any]:
    """Measure this machine with the network and batch of `run`, and estimate the runs of the configuration.

    Args:
        threads: of the CPU; 0 takes all.
        seconds: that a measurement takes, at least.
        project: the folder in which `config` is.
        rows: samples computed at a time to find the bound; none takes those that suit the device.

    Returns:
        What JSON can hold. Speeds are in rays a second, and of the best window where they are no medians.
    """
    device = resolve_device(operation.device)
    own = str(resolve_precision(run.train.precision, device)).removeprefix("torch.")
    memory = PeakMemory(device)
    # The precision that training takes is first, so that no other adds to its memory.
    speeds = {own: measure_speed(run, operation, threads, own, seconds)}
    result: dict[str, Any] = {
        "device": describe_device(device),
        "threads": threads or available_cpus(),
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "driver": driver_version() if device.type == "cuda" else None,
        "bfloat16_in_hardware": has_bfloat16_products(device),
        "model": run.model.model_dump(),
        "batch_size": run.train.batch_size,
        "precision": own,
        "peak_memory_mb": memory.growth(),
        "training_flops_per_ray": training_flops(run.model, backward_share(run, device.type)),
        "rendering_flops_per_ray": rendering_flops(run.model),
    }
    for precision in PRECISIONS.keys() - speeds.keys():
        speeds[precision] = measure_speed(run, operation, threads, precision, seconds)
    result |= {key: {name: speeds[name][key] for name in PRECISIONS} for key in speeds[own]}
    result |= measure_bounds(run, operation, threads, SHARE * seconds, rows)
    copied = copy_bandwidth(device, SHARE * seconds)
    result["copy_gb_per_s"] = copied / 1e9
    result["memory_bound_rays_per_s"] = {
        name: copied / training_bytes(run.model, dtype) for name, dtype in PRECISIONS.items()
    }
    result["train_fraction_of_memory_bound"] = {
        name: result["train_rays_per_s"][name] / result["memory_bound_rays_per_s"][name] for name in PRECISIONS
    }
    for phase, flops in (("train", "training_flops_per_ray"), ("render", "rendering_flops_per_ray")):
        result[f"{phase}_fraction_of_bound"] = {
            name: result[flops] * result[f"{phase}_rays_per_s"][name] / 1e9 / result[bound_key(phase)][name]
            for name in PRECISIONS
        }
    log.info("measuring the parts of a step")
    trainer = make_trainer(run, operation, threads, own)
    result["parts_ms"] = time_parts(trainer, seconds)
    result["network"] = trainer.network
    return result | measure_runs(project, configfiles, operation, threads, SHARE * seconds)


def measure_speed(
    run: RunConfig, operation: OperationConfig, threads: int, precision: str, seconds: float
) -> dict[str, float]:
    """Rays a second of training and rendering in one precision."""
    log.info("measuring training and rendering in %s", precision)
    trainer = make_trainer(run, operation, threads, precision)
    training, rendering = time_training(trainer, seconds), time_rendering(trainer, seconds)
    return {
        "train_rays_per_s": 1 / training.best,
        "train_rays_per_s_median": 1 / training.median,
        "render_rays_per_s": 1 / rendering.best,
        "render_rays_per_s_median": 1 / rendering.median,
        "seconds_per_megapixel": 1e6 * rendering.best,
    }


def bound_key(phase: str) -> str:
    """Where the bound of `train` or `render` is."""
    return "bound_gflops" if phase == "train" else "render_bound_gflops"


def measure_bounds(
    run: RunConfig, operation: OperationConfig, threads: int, seconds: float, rows: Sequence[int]
) -> dict[str, dict[str, float]]:
    """GFLOP/s of the network's matrix products alone, in each precision."""
    log.info("measuring matrix products")
    trainer = make_trainer(run, operation, threads, "float32")
    shapes = layer_shapes(run.model)
    if run.model.proposal_depth:  # of which each level has as many samples
        shapes = [shape for level in level_shapes(run.model) for shape in level]
    return {
        bound_key(phase): {
            name: product_bound(shapes, phase == "train", dtype, trainer.workers, trainer.device, seconds, rows)
            for name, dtype in PRECISIONS.items()
        }
        for phase in ("train", "render")
    }


def measure_runs(
    project: Path, configfiles: Sequence[Path], operation: OperationConfig, threads: int, seconds: float
) -> dict[str, Any]:
    """The estimates of all runs and their sum, or why there are none."""
    missing = missing_files(project)
    if missing:
        note = f"no runs are estimated: {missing[0]} is not here; call this in the project's folder"
        log.warning(note)
        return {"runs": [], "runs_hours": 0.0, "runs_note": note}
    estimates = estimate_runs(read_suite(project, configfiles), operation, threads, seconds)
    hours = sum(estimate.hours for estimate in estimates)
    return {"runs": [estimate._asdict() for estimate in estimates], "runs_hours": hours, "runs_note": None}


def format_result(result: dict[str, Any]) -> str:
    """What `measure` gave, as tables."""
    return "\n\n".join([_machine(result), _speeds(result), _parts(result), _runs(result)])


def _machine(result: dict[str, Any]) -> str:
    model = result["model"]
    in_hardware = "in hardware" if result["bfloat16_in_hardware"] else "emulated: measured, but no use for training"
    rows = [
        ("device", result["device"]),
        ("threads", result["threads"]),
        ("PyTorch", result["torch"]),
        ("copies in memory", f"{result['copy_gb_per_s']:,.1f} GB/s"),
        ("computed", result["network"]),
        ("bfloat16 products", in_hardware),
        ("network", f"{model['net_depth']} layers of {model['net_width']}, {model['num_samples']} samples a level"),
        ("batch", f"{result['batch_size']:,} rays, in {result['precision']} unless said otherwise"),
        ("peak memory", f"{result['peak_memory_mb']:,.0f} MB more than at the start"),
    ]
    return format_table(rows)


def _speeds(result: dict[str, Any]) -> str:
    rows = [
        ("matrix products of training", "bound_gflops", "{:,.1f} GFLOP/s"),
        ("training, best window", "train_rays_per_s", "{:,.0f} rays/s"),
        ("training, median window", "train_rays_per_s_median", "{:,.0f} rays/s"),
        ("training, share of the bound", "train_fraction_of_bound", "{:.1%}"),
        ("training, share of memory's bound", "train_fraction_of_memory_bound", "{:.1%}"),
        ("matrix products of rendering", "render_bound_gflops", "{:,.1f} GFLOP/s"),
        ("rendering, best window", "render_rays_per_s", "{:,.0f} rays/s"),
        ("rendering, median window", "render_rays_per_s_median", "{:,.0f} rays/s"),
        ("rendering, share of the bound", "render_fraction_of_bound", "{:.1%}"),
        ("seconds per megapixel", "seconds_per_megapixel", "{:,.2f}"),
    ]
    table = format_table(
        ((title, *(text.format(result[key][name]) for name in PRECISIONS)) for title, key, text in rows),
        ["", *PRECISIONS],
    )
    training, rendering = (result[f"{phase}_flops_per_ray"] / 1e9 for phase in ("training", "rendering"))
    return (
        f"{table}\n\n"
        f"The bound is the speed of the layers' matrix products alone. Its share counts the operations of all layers\n"
        f"as they are, {training:.3g} GFLOP a ray in training and {rendering:.3g} in rendering. Folding the bottleneck "
        f"needs fewer,\nso a share may be more than could be reached without it. Memory's bound is "
        f"the speed of copies, where what\na layer gives is written once and read once; the caches of a CPU are faster."
    )


def _parts(result: dict[str, Any]) -> str:
    total = sum(result["parts_ms"].values())
    rows = [(name, f"{value:,.2f}", f"{value / total:.1%}") for name, value in result["parts_ms"].items()]
    return format_table([*rows, ("step", f"{total:,.2f}", "")], [f"part, {result['precision']}", "ms", "share"])


def _runs(result: dict[str, Any]) -> str:
    if result["runs_note"]:
        return result["runs_note"]
    rows = [
        (
            run["run"],
            f"{run['steps']:,}",
            f"{run['batch_size']:,}",
            run["precision"],
            f"{run['rays_per_s']:,.0f}",
            format_duration(3600 * run["hours"]),
        )
        for run in result["runs"]
    ]
    total = ("all, one after another", "", "", "", "", format_duration(3600 * result["runs_hours"]))
    return format_table([*rows, total], ["training of", "steps", "batch", "precision", "rays/s", "time"])


def format_table(rows: Iterable[Sequence[Any]], headers: Sequence[str] = ()) -> str:
    """Rows of cells, the first column to the left; without headers, all of them."""
    align = ["left", *["right" if headers else "left"] * (len(headers) - 1 if headers else 1)]
    return tabulate(
        list(rows), headers, tablefmt="simple" if headers else "plain", disable_numparse=True, colalign=align
    )
