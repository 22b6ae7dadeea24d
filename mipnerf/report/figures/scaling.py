"""The figure of how speed changes with batch, samples, width and image size."""

from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, StrMethodFormatter

from mipnerf.report.figures.plots import COLORS, DASHES, MARKERS, STYLE

SIZE = (7, 5)  # inches
# What is varied -> label of its axis, column that is drawn, label of that.
PANELS = {
    "batch_size": ("rays a step (training) or a call (rendering)", "rays_per_s", "rays/s"),
    "num_samples": ("samples a level", "rays_per_s", "rays/s"),
    "net_width": ("width of the layers", "rays_per_s", "rays/s"),
    "image_size": ("pixels along a side of the image", "seconds", "seconds an image"),
}
PHASES, PRECISIONS = ("training", "rendering"), ("float32", "bfloat16")
MOST_TICKS = 5


def plot_scaling(points: pd.DataFrame, machine: str) -> Figure:
    """A panel for each thing that is varied, a curve for each phase and precision, all on logarithmic axes.

    Args:
        points: columns varied, value, phase, precision, seconds, rays_per_s and note; one without `seconds` was left
            out for the reason in its note.
        machine: what was measured, for the title.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        for axes, varied in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
            _draw_panel(axes, points[points["varied"] == varied], varied)
        handles = [
            Line2D([], [], label=f"{phase}, {precision}", **_style(phase, precision))
            for phase in PHASES
            for precision in PRECISIONS
        ]
        figure.suptitle(machine + _left_out(points), fontsize=9)
        figure.legend(handles=handles, loc="outside lower center", ncols=2, handlelength=3.2)
    return figure


def _draw_panel(axes: Axes, points: pd.DataFrame, varied: str) -> None:
    x_label, column, y_label = PANELS[varied]
    for (phase, precision), curve in points.groupby(["phase", "precision"]):
        axes.plot(curve["value"], curve[column], **_style(phase, precision))
    values = sorted(points["value"].unique())
    axes.set(xscale="log", yscale="log", xlabel=x_label, ylabel=y_label)
    axes.set_xticks(values[:: -(-len(values) // MOST_TICKS)])
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _style(phase: str, precision: str) -> dict[str, Any]:
    """Colour and marker tell the phase, dashes the precision."""
    i, j = PHASES.index(phase), PRECISIONS.index(precision)
    return {"color": COLORS[i], "marker": MARKERS[i], "linestyle": DASHES[j], "markerfacecolor": ("white", None)[j]}


def _left_out(points: pd.DataFrame) -> str:
    reasons = points[points["seconds"].isna()]["note"].value_counts(sort=False)
    return "".join(f"; {count} points left out: {reason}" for reason, count in reasons.items())
