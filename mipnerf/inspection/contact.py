"""A contact sheet: the images of a scene with all their levels, and the numbers of the views."""

import math
from collections.abc import Collection, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mipnerf.datasets.scene import evenly_spread
from mipnerf.inspection.images import Split
from mipnerf.report.figures.plots import STYLE

WIDTH = 7.2  # inches
MAX_SHOWN = {"train": 24, "val": 6, "test": 12}
COLUMNS = 6
GAP, LABEL = 8, 18  # pixels of the small copies: between them, and for the number above each
HEADING, SIDE = 0.25, 0.01  # inches for a title; share of the width that is left free
SEAM = 3  # pixels between levels
FLAGGED = "#d00000"


def plot_contact_sheet(name: str, splits: Sequence[Split], flagged: Collection[tuple[str, int]] = ()) -> Figure:
    """Views of each split, evenly spread, the levels of a view beside each other.

    `flagged`, pairs of a split's name and a view, are framed and come before others.
    """
    chosen = [choose_views(split, {view for of, view in flagged if of == split.name}) for split in splits]
    cells = [[pyramid(split.thumbnails[view]) for view in views] for split, views in zip(splits, chosen, strict=True)]
    largest = np.max([image.shape[:2] for images in cells for image in images], axis=0)
    cell = largest[0] + LABEL + GAP, largest[1] + GAP
    # Inches, so that the pixels of all splits have one size.
    heights = [math.ceil(len(images) / COLUMNS) * cell[0] * WIDTH / (COLUMNS * cell[1]) for images in cells]
    total = HEADING * (1 + len(splits)) + sum(heights)
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(WIDTH, total))
        figure.text(0.5, 1 - 0.4 * HEADING / total, name, fontsize=9, ha="center", va="center")
        bottom = total - HEADING
        for split, views, images, height in zip(splits, chosen, cells, heights, strict=True):
            bottom -= HEADING + height
            axes = figure.add_axes((SIDE, bottom / total, 1 - 2 * SIDE, height / total))
            draw_split(axes, split, views, images, cell, flagged)
    return figure


def choose_views(split: Split, flagged: set[int]) -> list[int]:
    """The views that are shown: first of all those that are flagged."""
    count, most = len(split.thumbnails), MAX_SHOWN[split.name]
    chosen = set(sorted(flagged)[:most])
    for view in evenly_spread(count, most).tolist():
        if len(chosen) < min(count, most):
            chosen.add(view)
    return sorted(chosen)


def pyramid(levels: Sequence[np.ndarray]) -> np.ndarray:
    """uint8 [h, w, 3]: the first level, and right of it the others below each other, on white."""
    first, *others = levels
    left = first.shape[1] + SEAM
    height = max(first.shape[0], sum(level.shape[0] + SEAM for level in others) - SEAM)
    width = left + max(level.shape[1] for level in others) if others else first.shape[1]
    canvas = np.full((height, width, 3), 255, dtype=np.uint8)
    canvas[: first.shape[0], : first.shape[1]] = first
    top = 0
    for level in others:
        canvas[top : top + level.shape[0], left : left + level.shape[1]] = level
        top += level.shape[0] + SEAM
    return canvas


def draw_split(
    axes: Axes,
    split: Split,
    views: Sequence[int],
    images: Sequence[np.ndarray],
    cell: tuple[int, int],
    flagged: Collection[tuple[str, int]],
) -> None:
    """The images in rows, each with the number of its view."""
    rows = math.ceil(len(images) / COLUMNS)
    canvas = np.full((rows * cell[0], COLUMNS * cell[1], 3), 255, dtype=np.uint8)
    for i, (view, image) in enumerate(zip(views, images, strict=True)):
        row, column = divmod(i, COLUMNS)
        top, left = row * cell[0] + LABEL, column * cell[1]
        height, width = image.shape[:2]
        canvas[top : top + height, left : left + width] = image
        is_flagged = (split.name, view) in flagged
        name, ink = (f"{view} !", FLAGGED) if is_flagged else (str(view), "0.25")
        axes.text(left, top - 2, name, fontsize=6, va="bottom", ha="left", color=ink)
        edge, line = (FLAGGED, 1.5) if is_flagged else ("0.75", 0.4)
        corner = left - 0.5, top - 0.5
        axes.add_patch(Rectangle(corner, width, height, facecolor="none", edgecolor=edge, linewidth=line))
    axes.imshow(canvas, aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    count = len(split.thumbnails)
    axes.set_title(f"{split.name}: {count if len(views) == count else f'{len(views)} of {count}'} views", loc="left")
