"""Depth, accumulated opacity and error of one view of a scene, by every variant."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from mipnerf.config import DataConfig
from mipnerf.datasets.images import read_gray
from mipnerf.datasets.load import load_scene
from mipnerf.errors import DataError
from mipnerf.report.figures.plots import STYLE
from mipnerf.report.figures.strips import CLIPPED_SHARE, ERROR_COLORS, choose_view, read_result, show
from mipnerf.report.frame import Run, only_name
from mipnerf.report.names import title_of
from mipnerf.report.sweeps import pictured_runs

CELL, BAR = 1.7, 0.09  # inches of an image, and of a colour bar
DEPTH_COLORS, ACC_COLORS = "viridis", "gray"  # as their lightness grows, they are read in grey, too
LEAST_ACC = 0.5  # below, what a ray meets is no surface
OLDER = "evaluated by an older version,\nhave it again by `snakemake --forcerun evaluate -- figures`"

log = logging.getLogger(__name__)


class Maps(NamedTuple):
    """What one run makes of a view."""

    rendering: np.ndarray  # [H, W, 3] in [0, 1]
    depth: np.ndarray  # [H, W], NaN where a ray is less than half opaque
    acc: np.ndarray  # [H, W] in [0, 1], NaN where it was not written
    error: np.ndarray  # [H, W]
    ndc: bool  # whether depth is in normalised device coordinates
    unbounded: bool  # whether far stands for infinity


def plot_depth(data_folder: Path, runs: list[Run], view: int | None = None) -> Figure:
    """Rows are runs; columns the rendering at full resolution, its depth, opacity and error, on scales that all share.

    `view` is the index in the test split; default: that of the strip. What an older version evaluated has neither depth
    nor opacity: these stay empty, and the picture says so.
    """
    scene = f"{only_name(runs, 'dataset')}/{only_name(runs, 'scene')}"
    runs = pictured_runs(runs)
    view = choose_view(runs, view)
    maps = [read_maps(data_folder, run, view) for run in runs]
    height, width = maps[0].acc.shape
    # Far away, distances would leave no colours for what is near.
    is_inverse = any(each.unbounded for each in maps)
    depths = [1 / each.depth if is_inverse else each.depth for each in maps]
    near, far = depth_limits(depths)
    older = [run.variant for run, each in zip(runs, maps, strict=True) if np.isnan(each.acc).all()]
    if older:
        log.warning("%s: no depth of %s: %s", scene, ", ".join(older), OLDER.replace("\n", " "))
    largest = max(float(np.nanquantile(each.error, 1 - CLIPPED_SHARE)) for each in maps) or 1
    scales: list[dict[str, Any]] = [
        {},
        {"cmap": DEPTH_COLORS, "vmin": near, "vmax": far},
        {"cmap": ACC_COLORS, "vmin": 0, "vmax": 1},
        {"cmap": ERROR_COLORS, "vmin": 0, "vmax": largest},
    ]
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        ratios = [CELL * height / width] * len(runs) + [BAR]
        shape = 4 * CELL + 0.4, sum(ratios) + 0.04 * len(runs) + 0.8
        figure = Figure(figsize=shape, layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0))
        *grid, bars = figure.subplots(len(runs) + 1, 4, squeeze=False, height_ratios=ratios)
        for cells, run, images, depth in zip(grid, runs, maps, depths, strict=True):
            pictures = (images.rendering, depth, images.acc, images.error)
            drawn = [
                show(axes, picture, (height, width), **scale)
                for axes, picture, scale in zip(cells, pictures, scales, strict=True)
            ]
            cells[0].set_ylabel(title_of(run.variant).replace(" w/o", "\nw/o").replace(" +", "\n+"), fontsize=8)
        titles = ("rendering", "disparity" if is_inverse else "depth", "opacity", "error")
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(title)
        bars[0].axis("off")
        unit = "normalised device coordinates" if maps[0].ndc else "units of the scene"
        unit = f"1 / {unit}" if is_inverse else unit
        labels = {1: ("both", unit), 2: ("neither", "accumulated weight"), 3: ("max", "mean |difference| of RGB")}
        for column, (extend, label) in labels.items():
            bar = figure.colorbar(drawn[column], cax=bars[column], orientation="horizontal", extend=extend)
            bar.set_label(label, fontsize=8)
            bar.ax.tick_params(labelsize=7.5)
            bar.locator = MaxNLocator(2 if column == 2 else 4)
        note = f"\n(empty cells: {OLDER})" if older else ""
        figure.suptitle(f"{scene}, test view {view}{note}", fontsize=9)
    return figure


def read_maps(data_folder: Path, run: Run, view: int) -> Maps:
    """What evaluation wrote of a view at full resolution.

    Raises `DataError` where the rendering is not there, or something does not fit the data.
    """
    rendering, error = read_result(data_folder, run, 0, view)
    scene = load_scene(
        data_folder, "test", run.setting("levels"), DataConfig(**run.setting("data")), level=0, view=view
    )
    near, far = float(scene.nears[0]), float(scene.fars[0])
    depth, acc = (_read_map(run, view, name, rendering.shape[:2]) for name in ("depth", "acc"))
    acc = acc / 255
    share = depth / 65535
    depth = 1 / (1 / near - share * (1 / near - 1 / far)) if scene.unbounded else near + share * (far - near)
    return Maps(rendering, np.where(acc < LEAST_ACC, np.nan, depth), acc, error, scene.ndc, scene.unbounded)


def depth_limits(depths: list[np.ndarray]) -> tuple[float, float]:
    """The scale of all `depths`: what lies between, but for the outermost pixels; 0 and 1 where nothing is opaque."""
    values = np.concatenate([depth[np.isfinite(depth)] for depth in depths])
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.quantile(values, [2 * CLIPPED_SHARE, 1 - 2 * CLIPPED_SHARE])
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1)


def _read_map(run: Run, view: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    path = run.folder / "level_0" / "renderings" / f"{view:03d}_{name}.png"
    if not path.exists():
        return np.full(shape, np.nan)
    image = read_gray(path)
    if image.shape != shape:
        raise DataError(f"{path}: has shape {image.shape}, but the rendering {shape}; evaluate this run again")
    return image
