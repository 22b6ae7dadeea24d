"""Details of one scene at every level: crops of the truth and of all variants, where these differ most.

After Figure 5 of Barron et al. (ICCV 2021).
"""

from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from mipnerf.config.sections import CropConfig
from mipnerf.errors import DataError
from mipnerf.report.figures.plots import COLORS, STYLE
from mipnerf.report.figures.strips import metrics_of, read_rendering, show, truth_of
from mipnerf.report.frame import Run, format_value, level_name, only_name
from mipnerf.report.names import title_of
from mipnerf.report.sweeps import pictured_runs

WIDTH = 7.2  # inches
MAX_CELL, WHOLE = 1.15, 1.5  # inches of a crop, and of the whole view
SHARE, LEAST = 4, 8  # a crop is this share of the shorter side, but so many pixels at the coarsest level
ENLARGED = 256  # pixels of a crop as it is drawn, at least
FRAME = COLORS[3]


def plot_pyramid(data_folder: Path, runs: list[Run], crop: CropConfig | None = None) -> Figure:
    """The whole view, and a crop of it by truth and variants (columns) and levels (rows), with SSIM of the view.

    `crop` is in pixels of full resolution; by default it is where the variants differ most, in the view where they do.
    """
    scene = f"{only_name(runs, 'dataset')}/{only_name(runs, 'scene')}"
    runs = pictured_runs(runs)
    levels = sorted(set.intersection(*(set(map(int, run.metrics["level"])) for run in runs)))
    view = choose_differing_view(runs) if crop is None else crop.view
    truths = [truth_of(data_folder, runs[0], level, view) for level in levels]
    renderings = [
        [read_rendering(run, level, view, truth) for run in runs] for level, truth in zip(levels, truths, strict=True)
    ]
    if crop is None:
        x, y, size = choose_crop(truths, renderings)
    else:
        x, y, size = check_crop(crop, truths[0].shape, 2 ** max(levels), scene)
    columns = 1 + len(runs)
    cell = min(MAX_CELL, (WIDTH - WHOLE) / columns)
    height, width = truths[0].shape[:2]
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        shape = (WHOLE + cell * columns + 0.5, max((cell + 0.17) * len(levels) + 0.7, WHOLE * height / width + 0.8))
        figure = Figure(figsize=shape, layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0))
        halves = figure.add_gridspec(1, 2, width_ratios=[WHOLE, cell * columns])
        whole = figure.add_subplot(halves[0])
        show(whole, truths[0], (height, width))
        whole.add_patch(Rectangle((x - 0.5, y - 0.5), size, size, fill=False, edgecolor=FRAME, linewidth=1.4))
        whole.set_xlabel(f"test view {view}")
        grid = halves[1].subgridspec(len(levels), columns).subplots(squeeze=False)
        for cells, level, truth, images in zip(grid, levels, truths, renderings, strict=True):
            for axes, image in zip(cells, [truth, *images], strict=True):
                _show_crop(axes, image, x >> level, y >> level, size >> level)
            cells[0].set_ylabel(level_name(level))
            _mark_scores(cells[1:], [metrics_of(run, level, view).get("ssim") for run in runs])
        small = {"fontsize": 9 if cell > 1 else 6.5}
        for axes, title in zip(grid[0], ["truth", *(title_of(run.variant) for run in runs)], strict=True):
            axes.set_title(_wrapped(title, int(cell / (small["fontsize"] * 0.0078))), **small)
        figure.suptitle(f"{scene}; below each crop the SSIM of its whole view, best in bold", fontsize=9)
    return figure


def choose_differing_view(runs: Sequence[Run]) -> int:
    """The view whose PSNR, averaged over the levels, differs most among variants; of a single run the middle one."""
    psnr = {run.variant: run.metrics[run.metrics["metric"] == "psnr"].groupby("view")["value"].mean() for run in runs}
    views = sorted(set.intersection(*(set(values.index) for values in psnr.values())))
    if not views:
        raise DataError("the runs evaluated no common test view; evaluate them on the same number of views")
    if len(runs) == 1:
        return int(views[len(views) // 2])
    spreads = np.std([values.loc[views].to_numpy() for values in psnr.values()], axis=0)
    return int(views[int(spreads.argmax())])


def choose_crop(truths: Sequence[np.ndarray], renderings: Sequence[Sequence[np.ndarray]]) -> tuple[int, int, int]:
    """x, y and size, in pixels of full resolution, of the square where the renderings differ most.

    `truths` are [H, W, 3] at each level, `renderings` those of each variant at each level. Measured is the standard
    deviation over the variants (the error of a single one), of which each level counts alike. Edges fall between pixels
    at all levels.
    """
    height, width = truths[0].shape[:2]
    step = round(height / truths[-1].shape[0])
    pairs = zip(truths, renderings, strict=True)
    difference = reduce(np.add, (_enlarged(_difference(*pair), (height, width)) for pair in pairs))
    size = max(min(height, width) // SHARE, LEAST * step)
    size = max(min(size, height, width) // step, 1) * step
    sums = np.pad(difference.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    boxes = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    boxes = boxes[::step, ::step]
    row, column = np.unravel_index(boxes.argmax(), boxes.shape)
    return int(column) * step, int(row) * step, size


def check_crop(crop: CropConfig, shape: tuple[int, ...], step: int, scene: str) -> tuple[int, int, int]:
    """x, y and size of `crop`, moved to where coarsest pixels begin; `DataError` if it leaves the image."""
    x, y, size = crop.x // step * step, crop.y // step * step, max(crop.size // step, 1) * step
    if x + size > shape[1] or y + size > shape[0]:
        raise DataError(
            f"crops of {scene}: the square of {size} pixels at x {x}, y {y} leaves the image of {shape[1]} x "
            f"{shape[0]}; x, y and size are in pixels of full resolution"
        )
    return x, y, size


def _difference(truth: np.ndarray, renderings: Sequence[np.ndarray]) -> np.ndarray:
    """[H, W]"""
    difference = np.abs(renderings[0] - truth) if len(renderings) == 1 else np.std(renderings, axis=0)
    return np.nan_to_num(difference.mean(-1))  # nothing where a mask hides the truth


def _enlarged(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows, columns = (np.arange(n) * small // n for n, small in zip(size, image.shape[:2], strict=True))
    return image[np.ix_(rows, columns)]


def _show_crop(axes: Axes, image: np.ndarray, x: int, y: int, size: int) -> None:
    pixels = max(size, ENLARGED // max(size, 1) * size)
    show(axes, image[y : y + size, x : x + size], (pixels, pixels))


def _mark_scores(cells: Sequence[Axes], scores: Sequence[float | None]) -> None:
    """SSIM below each cell; the best, as it is shown, in bold."""
    texts = [format_value("ssim", score) for score in scores]
    best = max((text for score, text in zip(scores, texts, strict=True) if score is not None), default=None)
    for axes, text in zip(cells, texts, strict=True):
        is_best = text == best and len(texts) > 1
        axes.set_xlabel(text, fontsize=7.5, labelpad=2, fontweight="bold" if is_best else "normal")


def _wrapped(title: str, width: int) -> str:
    lines = [""]
    for word in title.split():
        joined = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], joined] if len(joined) <= width or not lines[-1] else [*lines, word]
    return "\n".join(lines)
