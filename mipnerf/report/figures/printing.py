"""Figures for a paper: PDF as wide as a column or a page of it, with embedded fonts and without a title."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from mipnerf.files import atomic_path
from mipnerf.report.figures.kinds import PRINT_WIDTHS
from mipnerf.report.figures.plots import LEGEND_ROW, STYLE

STACKED_BELOW = 4.0  # inches, where panels stand below one another
PANEL_HEIGHT = 1.9
PRINT_STYLE = STYLE | {"pdf.fonttype": 42}  # TrueType, which is embedded and can be searched


def fit_to_width(figure: Figure, inches: float) -> None:
    """Give a figure that stands in `SIZE` another width: its panels below one another where that is narrow."""
    figure.suptitle("")  # the caption says it
    panels = figure.axes
    height = figure.get_figheight() * min(1, inches / figure.get_figwidth() * 1.1)
    if inches < STACKED_BELOW and len(panels) > 1:
        grid = GridSpec(len(panels), 1, figure=figure)
        for i, axes in enumerate(panels):
            axes.set_subplotspec(grid[i])
            axes.tick_params(labelleft=True)
            axes.set_ylabel(axes.get_ylabel() or panels[0].get_ylabel())
        height = PANEL_HEIGHT * len(panels)
    for legend in figure.legends:
        handles = [handle for handle in legend.legend_handles if handle is not None]
        labels = [text.get_text() for text in legend.get_texts()]
        legend.remove()
        columns = max(1, min(len(labels), int(inches / (0.65 + 0.06 * max(map(len, labels))))))
        height += LEGEND_ROW * -(-len(labels) // columns) * (inches < STACKED_BELOW)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=3.2, fontsize=7)
    figure.set_size_inches(inches, height)


def save_for_print(figure: Figure, path: Path, width: str) -> None:
    """Atomically write `figure` as a PDF of the `width` `column` or `page`; the same runs give the same bytes."""
    with mpl.rc_context(PRINT_STYLE), atomic_path(path) as temporary:
        fit_to_width(figure, PRINT_WIDTHS[width])
        figure.savefig(temporary, metadata={"CreationDate": None, "Creator": None, "Producer": None})
