"""Everything that `python -m mipnerf check` tries and measures: what works here, how fast it is, and what it learns."""

import logging
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mipnerf.bench.checks import CHECKS, CheckFailed, NotHere, make_bench
from mipnerf.bench.report import format_table, measure
from mipnerf.bench.speed import PeakMemory, make_trainer, train_once
from mipnerf.cameras import Cameras
from mipnerf.config import ModelConfig, OperationConfig, RunConfig
from mipnerf.config.runs import run_from_settings
from mipnerf.datasets.bricks import render_bricks
from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.datasets.load import load_scene
from mipnerf.devices import resolve_device
from mipnerf.evaluation.metrics import mse_to_psnr
from mipnerf.network.rendering import render_image
from mipnerf.pixels import true_rgb
from mipnerf.training.loop import Trainer
from mipnerf.training.schedule import learning_rate_decay

log = logging.getLogger(__name__)
PAPER_RAYS = 1_000_000 * 4096  # steps and batch of the paper
BRICKS_SIZE, BRICKS_LEVELS = 64, 2


def check(
    settings: Sequence[str],
    operation: OperationConfig,
    threads: int = 0,
    seconds: float = 3.0,
    training_seconds: float = 120.0,
) -> dict[str, Any]:
    """Try what has to work, measure, and train on the bricks.

    Args:
        settings: differences of the network and batch that are measured, and trained, from the reference's.
        seconds: of each measurement, at least.
        training_seconds: on the bricks.

    Returns:
        What `mipnerf.bench.report.measure` gives, with `checks`, `hours_of_the_paper`, `memory_mb_at_4096`, `bricks`
        and `check_seconds`.
    """
    device = resolve_device(operation.device)
    batch = 4096 if device.type == "cuda" else 256
    run = run_from_settings("bench", "bench", "bench", [f"train.batch_size={batch}", *settings])
    started = time.monotonic()
    result: dict[str, Any] = {"checks": try_all(device)}
    # No project: its runs are what `plan` is for.
    with tempfile.TemporaryDirectory() as nowhere:
        result |= measure(run, operation, threads, seconds, project=Path(nowhere))
    speed = result["train_rays_per_s_median"][result["precision"]]
    is_paper = run.model == ModelConfig()
    result["hours_of_the_paper"] = PAPER_RAYS / speed / 3600 if is_paper else None
    result["memory_mb_at_4096"] = memory_at(run, operation, threads) if device.type == "cuda" else None
    result["bricks"] = train_on_bricks(run, operation, threads, training_seconds)
    return result | {"check_seconds": time.monotonic() - started}


def try_all(device: torch.device) -> list[dict[str, str]]:
    """What came of every check: `name`, `outcome` (works, fails, not here) and `detail`."""
    rows = []
    for name, call in CHECKS.items():
        log.info("checking: %s", name)
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcome, detail = "works", call(make_bench(device, Path(folder), **_size(device)))
            except CheckFailed as error:
                outcome, detail = "fails", str(error)
            except NotHere as error:
                outcome, detail = "not here", str(error)
            except Exception as error:  # one that fails must not hide the others
                log.exception("the check %r has failed", name)
                outcome, detail = "fails", f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        rows.append({"name": name, "outcome": outcome, "detail": detail})
    return rows


def _size(device: torch.device) -> dict[str, Any]:
    """Of the network that is checked: a CPU's is small."""
    if device.type == "cuda":
        return {"net_width": 256, "net_width_condition": 128, "max_deg_point": 16}
    return {"net_depth": 2, "net_width": 16, "net_width_condition": 16, "num_samples": 4}


def memory_at(run: RunConfig, operation: OperationConfig, threads: int, batch_size: int = 4096) -> float:
    """MB of a GPU's memory that steps of this batch take."""
    larger = run.model_copy(update={"train": run.train.model_copy(update={"batch_size": batch_size})})
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    memory = PeakMemory(resolve_device(operation.device))
    trainer = make_trainer(larger, operation, threads, run.train.precision)
    for _ in range(6):
        train_once(trainer)
    return memory.growth()


def train_on_bricks(
    run: RunConfig, operation: OperationConfig, threads: int, seconds: float = 0.0, steps: int = 0
) -> dict[str, Any]:
    """Train on a small embedded scene for so long, or so many `steps`, and score a view.

    Gives `steps`, `rays_per_s`, `psnr_before` and `psnr`.
    """
    log.info("training on the bricks")
    with tempfile.TemporaryDirectory() as folder:
        source, scene = Path(folder) / "source", Path(folder) / "scene"
        render_bricks(source, BRICKS_SIZE, num_train=20, num_val=1, num_test=1, samples=2, workers=1)
        convert_to_multiscale(source, scene, BRICKS_LEVELS)
        train_scene, test_scene = (load_scene(scene, split, BRICKS_LEVELS, run.data) for split in ("train", "test"))
    values = run.model_dump() | {"levels": BRICKS_LEVELS}
    run = RunConfig.model_validate(values)
    trainer = Trainer.create(run, operation, train_scene, threads)
    cameras = Cameras.from_scene(test_scene, trainer.device, run.data)

    def psnr() -> float:
        truth = true_rgb(test_scene, 0, run.data.white_bkgd, trainer.device)
        height, width = truth.shape[:2]
        rgb = render_image(
            trainer.model, cameras, 0, height, width, run.data.white_bkgd, trainer.precision, workers=trainer.workers
        ).rgb
        return float(mse_to_psnr(((rgb - truth) ** 2).mean()))

    before, started = psnr(), time.monotonic()
    share = 0.0
    while share < 1:
        trainer.step += 1
        # The rate of the paper at this share of the training, after a short warm-up.
        rate = learning_rate_decay(round(1000 * share), 2e-3, 2e-5, 1000, 30, 0.01)
        losses = trainer.take_step(rate)
        if trainer.step % 50 == 0:
            losses.sum().item()  # the host must not run ahead of the clock
        share = trainer.step / steps if steps else (time.monotonic() - started) / seconds
    elapsed = time.monotonic() - started
    after = psnr()
    return {
        "seconds": elapsed,
        "steps": trainer.step,
        "network": trainer.network,
        "rays_per_s": trainer.step * run.train.batch_size / elapsed,
        "psnr_before": before,
        "psnr": after,
    }


def format_check(result: dict[str, Any]) -> str:
    """One page of what `check` gave."""
    checks = "\n".join(f"{row['outcome']:<9} {row['name']:<37} {row['detail']}" for row in result["checks"])
    own, bricks = result["precision"], result["bricks"]
    hours, memory = result["hours_of_the_paper"], result["memory_mb_at_4096"]
    rows = [
        ("device", result["device"]),
        ("driver, CUDA, PyTorch", ", ".join(str(result[key] or "none") for key in ("driver", "cuda", "torch"))),
        ("network", f"{result['network']}, in {own}, {result['batch_size']:,} rays a step"),
        ("training", f"{result['train_rays_per_s_median'][own]:,.0f} rays/s"),
        ("share of the bound of products", f"{result['train_fraction_of_bound'][own]:.1%}"),
        ("share of the bound of memory", f"{result['train_fraction_of_memory_bound'][own]:.1%}"),
        ("rendering", f"{result['render_rays_per_s_median'][own]:,.0f} rays/s"),
        ("products, copies", f"{result['bound_gflops'][own]:,.0f} GFLOP/s, {result['copy_gb_per_s']:,.0f} GB/s"),
        ("1,000,000 steps of 4096 rays", "another network" if hours is None else f"{hours:,.1f} hours"),
        ("memory at 4096 rays", "not measured on a CPU" if memory is None else f"{memory:,.0f} MB"),
        (
            "bricks",
            f"{bricks['psnr_before']:.1f} to {bricks['psnr']:.1f} dB by {bricks['steps']:,} steps in "
            f"{bricks['seconds']:.0f} s",
        ),
    ]
    return f"{checks}\n\n{format_table(rows)}"
