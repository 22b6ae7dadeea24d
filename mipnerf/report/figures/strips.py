"""A strip of images of one scene: the truth, the renderings and their errors at every level."""

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mipnerf.config import DataConfig
from mipnerf.datasets.images import decode_png
from mipnerf.datasets.load import load_scene
from mipnerf.datasets.scene import Scene, read_bytes
from mipnerf.errors import DataError
from mipnerf.report.figures.plots import STYLE
from mipnerf.report.frame import Run, format_value, level_name, only_name
from mipnerf.report.names import title_of
from mipnerf.report.rows import METRICS
from mipnerf.report.sweeps import pictured_runs

CELL = 1.75  # inches
MAX_BESIDE = 3  # variants beside one another; more are laid out in blocks, one below the other
Result = tuple[np.ndarray, np.ndarray]  # rendering [H, W, 3] and its error [H, W]
ERROR_COLORS = "magma"  # perceptually uniform
CLIPPED_SHARE = 0.005  # of the pixels, whose error may exceed the colour scale
MASKED_GREY = 0.5
MAX_PSNR = 45.0  # dB, above which the rounding of an image to 8 bits matters
PSNR_TOLERANCE = 1.0  # dB, of an image with and without rounding and clipping


def plot_strip(data_folder: Path, runs: list[Run], view: int | None = None) -> Figure:
    """Rows are levels; columns are the truth and, for each run, its rendering with PSNR and SSIM, and its error.

    More than `MAX_BESIDE` runs stand in blocks of about as many each, one below the other, all beside the truth.
    The error is the absolute difference, averaged over the channels, on one colour scale for the whole strip. `view` is
    the index in the test split; default: the middle one of those that all runs evaluated. All runs share one scene.
    """
    scene = f"{only_name(runs, 'dataset')}/{only_name(runs, 'scene')}"
    runs = pictured_runs(runs)
    view = choose_view(runs, view)
    levels = sorted({int(level) for run in runs for level in run.metrics["level"]})
    rows = [_read_row(data_folder, runs, level, view) for level in levels]
    largest = max(float(np.nanquantile(error, 1 - CLIPPED_SHARE)) for _, results in rows for _, error in results)
    size = height, width = rows[0][0].shape[:2]
    num_blocks = math.ceil(len(runs) / MAX_BESIDE)
    beside = math.ceil(len(runs) / num_blocks)
    num_columns, num_rows = 1 + 2 * beside, num_blocks * len(levels)
    shape = (CELL * num_columns + 0.8, (CELL * height / width + 0.1) * num_rows + 0.3 * num_blocks + 0.2)

    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=shape, layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.06, wspace=0.01, hspace=0))
        grid = figure.subplots(num_rows, num_columns, squeeze=False)
        for block in range(num_blocks):
            members = slice(block * beside, (block + 1) * beside)
            part = grid[block * len(levels) : (block + 1) * len(levels)]
            for cells, level, (truth, results) in zip(part, levels, rows, strict=True):
                show(cells[0], truth, size)
                cells[0].set_ylabel(level_name(level))
                for axes in cells[1 + 2 * len(runs[members]) :]:
                    axes.axis("off")
                pairs = zip(runs[members], results[members], cells[1::2], cells[2::2], strict=False)
                for run, (rendering, error), left, right in pairs:
                    show(left, rendering, size)
                    left.set_xlabel(_scores(run, level, view))
                    mappable = show(right, error, size, cmap=ERROR_COLORS, vmin=0, vmax=largest or 1)
            titles = ["truth", *(title for run in runs[members] for title in (title_of(run.variant), "error"))]
            for axes, title in zip(part[0], titles, strict=False):
                axes.set_title("\n" * (block > 0) + title)  # apart from the scores above
        label = "error: mean absolute difference of RGB"
        figure.colorbar(mappable, ax=grid, aspect=40 * num_blocks, shrink=0.6, pad=0.01, extend="max", label=label)
        figure.suptitle(f"{scene}, test view {view}\n", fontsize=9, linespacing=0.5)  # the line end keeps a distance
    return figure


def choose_view(runs: list[Run], view: int | None) -> int:
    """`view`, or the middle one of those that all runs evaluated; `DataError` where there is no such view."""
    common = sorted(set.intersection(*(set(run.views) for run in runs)))
    if not common or view not in (None, *common):
        wanted = "a common test view" if view is None else f"test view {view}"
        raise DataError(f"the runs did not all evaluate {wanted}; all of them have {common or 'no view'}")
    return common[len(common) // 2] if view is None else view


def read_truth(folder: Path, level: int, view: int, num_levels: int = 4, data: DataConfig = DataConfig()) -> np.ndarray:
    """A test image of a scene, [H, W, 3] in [0, 1], as the evaluation of a run with `data` takes it.

    What a mask hides is NaN.

    Raises `DataError` or `ConfigError` where there is no such image.
    """
    return true_image(load_scene(folder, "test", num_levels, data, level=level, view=view), data)


def true_image(scene: Scene, data: DataConfig) -> np.ndarray:
    """The first image of a scene, [H, W, 3] in [0, 1], on white where `data` says so; what a mask hides is NaN."""
    image = scene.images[0] / scene.max_value
    if image.shape[-1] == 4 and data.white_bkgd:
        image = image[..., :3] * image[..., 3:] + 1 - image[..., 3:]
    image = image[..., :3]
    return image if scene.masks is None else np.where(scene.masks[0][..., None], image, np.nan)


def read_rendering(run: Run, level: int, view: int, truth: np.ndarray) -> np.ndarray:
    """The rendering of `run`, [H, W, 3] in [0, 1], NaN where `truth` is; `DataError` if it has another shape."""
    path = run.folder / f"level_{level}" / "renderings" / f"{view:03d}.png"
    image = decode_png(read_bytes(path), path, modes=("RGB",)) / 255.0
    if image.shape != truth.shape:
        raise DataError(
            f"{path}: has shape {image.shape}, but the test image {truth.shape}; is this the data of the run?"
        )
    return np.where(np.isnan(truth), np.nan, image)


def _read_row(data_folder: Path, runs: list[Run], level: int, view: int) -> tuple[np.ndarray, list[Result]]:
    """The truth, and for each run its rendering and error [H, W]."""
    return truth_of(data_folder, runs[0], level, view), [read_result(data_folder, run, level, view) for run in runs]


def truth_of(data_folder: Path, run: Run, level: int, view: int) -> np.ndarray:
    """The test image [H, W, 3] in [0, 1] as `run` was evaluated on it."""
    return read_truth(data_folder, level, view, run.setting("levels"), DataConfig(**run.setting("data")))


def read_result(data_folder: Path, run: Run, level: int, view: int) -> Result:
    """The rendering of `run` and its error against the truth as that run was evaluated."""
    truth = truth_of(data_folder, run, level, view)
    rendering = read_rendering(run, level, view, truth)
    _check_psnr(run, level, view, float(np.nanmean(np.square(rendering - truth))))
    return rendering, np.abs(rendering - truth).mean(axis=-1)


def _check_psnr(run: Run, level: int, view: int, mse: float) -> None:
    """`DataError` if the images do not have the error that was evaluated: truth and rendering are then of two views."""
    psnr = -10 * math.log10(mse or 1e-10)
    evaluated = metrics_of(run, level, view).get("psnr", psnr)
    if abs(min(psnr, MAX_PSNR) - min(evaluated, MAX_PSNR)) > PSNR_TOLERANCE:
        raise DataError(
            f"{run.folder}: view {view} at level {level} has a PSNR of {evaluated:.2f} in metrics.csv, but {psnr:.2f} "
            "against this data folder; give the data that the run was evaluated on, or evaluate it again"
        )


def show(axes: Axes, image: np.ndarray, size: tuple[int, int], **scale: Any) -> AxesImage:
    """Draw `image`, enlarged to `size` by repeating its pixels, in a frame without ticks; colours that are NaN grey."""
    if image.ndim == 3:
        image = without_nan(image)
    rows, columns = (np.arange(n) * small // n for n, small in zip(size, image.shape[:2], strict=True))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color="0.8", linewidth=0.5)
    return axes.imshow(image[np.ix_(rows, columns)], **scale)


def without_nan(image: np.ndarray) -> np.ndarray:
    """Colours, with grey where they are NaN."""
    return np.nan_to_num(image, nan=MASKED_GREY)


def _scores(run: Run, level: int, view: int) -> str:
    values = metrics_of(run, level, view)
    return ", ".join(
        f"{METRICS[metric].title} {format_value(metric, values.get(metric))}" for metric in ("psnr", "ssim")
    )


def metrics_of(run: Run, level: int, view: int) -> pd.Series:
    """The values of one image, by metric."""
    here = run.metrics[(run.metrics["level"] == level) & (run.metrics["view"] == view)]
    return here.set_index("metric")["value"]
