"""Scoring a trained model: every view of one resolution level."""

import csv
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import imageio.v3 as iio
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mipnerf.batching import integer_tensor, to_rgb
from mipnerf.cameras import Cameras
from mipnerf.checkpoint import load_model
from mipnerf.config import OperationConfig, RunConfig
from mipnerf.datasets.scene import Scene
from mipnerf.devices import resolve_device, resolve_precision, synchronize
from mipnerf.errors import CheckpointError, DataError
from mipnerf.files import atomic_folder, atomic_path
from mipnerf.metrics import compute_ssim, mse_to_psnr
from mipnerf.model import MipNerf
from mipnerf.rendering import render_image
from mipnerf.threads import available_cpus
from mipnerf.workers import Workers

log = logging.getLogger(__name__)
SSIM_WINDOW = 11
Lpips = Callable[[Tensor, Tensor], float | None]


class Score(NamedTuple):
    """One metric of one view, counted as in the whole split."""

    view: int
    metric: str
    value: float


class Trained(NamedTuple):
    """A network and the run that made it."""

    model: MipNerf
    run: RunConfig


def load_trained(path: Path, device: torch.device) -> Trained:
    """The content of a `model.pt`; `CheckpointError` if it is none."""
    content = load_model(path, device)
    run = RunConfig.model_validate(content["run"])
    model = MipNerf(run.model).to(device)
    try:
        model.load_state_dict(content["parameters"])
    except RuntimeError as error:
        raise CheckpointError(f"the parameters in {path} are not those of its network: {error}") from None
    return Trained(model, run)


def evaluate_level(
    trained: Trained,
    scene: Scene,
    level: int,
    operation: OperationConfig,
    folder: Path,
    threads: int = 0,
    supersample: bool = False,
    lpips: Lpips | None = None,
) -> None:
    """Render all views of `level` of `scene`; write `metrics.csv` and `renderings/<view>.png` to `folder`.

    The metrics are those of the float images; the PNG files are rounded to 8 bits. Beside each are `<view>_depth.png`,
    the distance in 16 bits (0 is near, 65535 far), and `<view>_acc.png`, the accumulated opacity in 8. `supersample`
    renders full resolution and averages down ("SS" in Table 3).
    """
    model, run = trained
    device = resolve_device(operation.device)
    workers = Workers(threads or available_cpus(), device)
    precision = resolve_precision(run.train.precision, device)
    scene = scene.at_level(level)
    if scene.num_views == 0:
        raise DataError(f"the dataset has no view of level {level}; its levels are 0 to {run.levels - 1}")
    # Rays along each side of a pixel.
    grid = 2**level if supersample else 1
    cameras = Cameras.from_scene(scene, device, run.data).supersampled(grid)
    scores: list[Score] = []
    writes: list[Future] = []
    with atomic_folder(folder / "renderings") as images, ThreadPoolExecutor(1) as writer:
        for i in tqdm(range(scene.num_views), desc=f"{run.name} level {level}", unit="view", mininterval=5):
            view = int(scene.views[i])
            truth = to_rgb(integer_tensor(scene.images[i]).to(device), run.data.white_bkgd, scene.max_value)
            height, width = truth.shape[:2]
            started = time.perf_counter()
            rendering = render_image(
                model,
                cameras,
                i,
                height * grid,
                width * grid,
                run.data.white_bkgd,
                precision,
                operation.render_rays,
                workers,
            )
            rgb = box_mean(rendering.rgb, grid)
            synchronize(device)
            seconds = time.perf_counter() - started
            scores += score_view(view, rgb, truth, lpips)
            scores.append(Score(view, "seconds_per_megapixel", seconds * 1e6 / (height * width)))
            depth = to_uint16(box_mean(rendering.distance[..., None], grid), scene.nears[i], scene.fars[i])
            acc = to_uint8(box_mean(rendering.acc[..., None], grid))
            for suffix, pixels in (("", to_uint8(rgb)), ("_depth", depth[..., 0]), ("_acc", acc[..., 0])):
                writes.append(writer.submit(iio.imwrite, images / f"{view:03d}{suffix}.png", pixels))
        for write in writes:
            write.result()
    write_scores(folder / "metrics.csv", run, level, scores)
    mean = np.mean([score.value for score in scores if score.metric == "psnr"])
    log.info("%s level %d: %d views, mean PSNR %.2f dB", run.name, level, scene.num_views, mean)


def box_mean(image: Tensor, grid: int) -> Tensor:
    """[H, W, C]: the means of squares of `grid` x `grid` pixels of [H grid, W grid, C]."""
    height, width, channels = image.shape
    return image.view(height // grid, grid, width // grid, grid, channels).mean((1, 3))


def score_view(view: int, rgb: Tensor, truth: Tensor, lpips: Lpips | None = None) -> list[Score]:
    """PSNR, SSIM and LPIPS of an image [H, W, 3]; a metric is left out where it cannot be measured."""
    scores = [Score(view, "psnr", mse_to_psnr(((rgb - truth) ** 2).mean()).item())]
    if min(rgb.shape[:2]) >= SSIM_WINDOW:
        scores.append(Score(view, "ssim", compute_ssim(rgb, truth, max_val=1.0).item()))
    if lpips and (distance := lpips(rgb, truth)) is not None:
        scores.append(Score(view, "lpips", distance))
    return scores


def to_uint8(rgb: Tensor) -> np.ndarray:
    """[0, 1] to 0 ... 255, rounded (the reference truncates)."""
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def to_uint16(distance: Tensor, near: float, far: float) -> np.ndarray:
    """Distances from near to far to 0 ... 65535, rounded."""
    share = (distance.double().cpu() - near) / (far - near)
    return (share.clamp(0, 1) * 65535).round().numpy().astype(np.uint16)


def write_scores(path: Path, run: RunConfig, level: int, scores: list[Score]) -> None:
    """Atomically write scores in long form."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["dataset", "variant", "scene", "level", "view", "metric", "value"])
        for score in scores:
            writer.writerow([run.dataset, run.variant, run.scene, level, score.view, score.metric, score.value])
