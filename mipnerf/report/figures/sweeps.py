"""The figure of a sweep: quality against each swept hyper-parameter."""

import matplotlib as mpl
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from mipnerf.config.sweeps import Value, text_of
from mipnerf.report.figures.plots import COLORS, DASHES, MARKERS, SIZE, STYLE
from mipnerf.report.frame import Run, only_name
from mipnerf.report.names import TITLES
from mipnerf.report.reference import Reference
from mipnerf.report.sweeps import sweep_frame

BESIDE = 3  # panels beside one another
COLORED = 6  # lines of a panel that eyes and greys can tell apart
ROW_HEIGHT, LEGEND_LINE = 2.6, 0.16  # inches
LOGARITHMIC = 8  # largest over smallest value, from which on the axis is


def plot_sweep(runs: list[Run], _: Reference | None = None) -> Figure:
    """Mean PSNR against the values of each swept key, a panel each; a line for each combination of the others.

    Bands are the standard deviation over seeds. Where the values of a list go together, so that no two runs differ in
    one key alone, there is one line for each variant. Of more lines than `COLORED`, those with the highest PSNR have
    colours.
    """
    dataset, frame = only_name(runs, "dataset"), sweep_frame(runs)
    keys = list(frame.columns[4:])
    num_rows = -(-len(keys) // BESIDE)
    with mpl.rc_context(STYLE):
        figure = Figure(layout="constrained")
        panels = figure.subplots(num_rows, min(BESIDE, len(keys)), sharey=True, squeeze=False)
        legends = [_draw_panel(axes, frame, key) for axes, key in zip(panels.flat, keys, strict=False)]
        for axes in panels.flat[len(keys) :]:
            axes.set_axis_off()
        figure.set_size_inches(SIZE[0], num_rows * (ROW_HEIGHT + LEGEND_LINE * max(legends)))
        for axes in panels[:, 0]:
            axes.set_ylabel("test PSNR (dB)")
        has_seeds = frame["method"].duplicated().any()
        note = "; bands: standard deviation over seeds" if has_seeds else ""
        figure.suptitle(f"{dataset}: means over resolutions and scenes{note}", fontsize=9)
    return figure


def _draw_panel(axes: Axes, frame: pd.DataFrame, key: str) -> int:
    """The lines over one key; returns the number of entries of their legend."""
    part = frame[frame[key].map(lambda value: value is not None)].dropna(subset=key)
    lines = _lines(part, key)
    places, is_logarithmic = _places(part[key])
    order = sorted(lines, key=lambda label: -lines[label].groupby("method")["psnr"].mean().max())
    colored = [label for label in lines if label in order[:COLORED]]
    for label in sorted(lines, key=lambda label: label in colored):
        style = {"color": "0.75", "linewidth": 0.8, "linestyle": "-", "marker": ""}
        if label in colored:
            i = colored.index(label)
            style = {"color": COLORS[i], "marker": MARKERS[i], "linestyle": DASHES[i], "label": label}
        data = lines[label].assign(place=lines[label][key].map(places))
        has_seeds = data["place"].duplicated().any() and label in colored
        seaborn.lineplot(
            data, x="place", y="psnr", ax=axes, errorbar="sd" if has_seeds else None, legend=False, **style
        )
    if len(lines) > len(colored):
        axes.plot([], [], color="0.75", linewidth=0.8, label=f"{len(lines) - len(colored)} others")
    if is_logarithmic:
        axes.set_xscale("log")
    axes.set_xticks(list(places.values()), [text_of(value) for value in places])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel=key, ylabel="")
    entries = [label for label in axes.get_legend_handles_labels()[1] if label]
    if entries:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), fontsize=7, handlelength=3)
    return len(entries)


def _lines(frame: pd.DataFrame, key: str) -> dict[str, pd.DataFrame]:
    """The rows of each line by its label: variant, where there are several, and the values of all keys but `key`."""
    others = [name for name in frame.columns[4:] if name != key]
    several = frame["variant"].nunique() > 1
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, row in frame.iterrows():
        values = tuple(f"{name}={text_of(row[name])}" for name in others if not _is_missing(row[name]))
        groups.setdefault((row["variant"], *values), []).append(i)
    if others and all(frame.loc[rows, key].nunique() == 1 for rows in groups.values()):
        by_variant: dict[tuple[str, ...], list[int]] = {}
        for (variant, *_), rows in groups.items():
            by_variant.setdefault((variant, f"changing with {', '.join(others)}"), []).extend(rows)
        groups = by_variant
    lines = {}
    for (variant, *fixed), rows in groups.items():
        names = [TITLES.get(variant, variant)] if several or not fixed else []
        lines[", ".join([*names, *fixed])] = frame.loc[rows]
    return lines


def _places(values: pd.Series) -> tuple[dict[Value, float], bool]:
    """Where each value stands on the axis, and whether that is logarithmic; words stand in their order."""
    distinct = list(dict.fromkeys(values))
    if any(isinstance(value, bool | str) for value in distinct):
        return {value: float(i) for i, value in enumerate(distinct)}, False
    ordered = sorted(distinct)
    is_logarithmic = ordered[0] > 0 and ordered[-1] / ordered[0] >= LOGARITHMIC
    return {value: float(value) for value in ordered}, is_logarithmic


def _is_missing(value: object) -> bool:
    return value is None or value != value
