"""Figures of one dataset that compare its runs with what was published, and quality with what it cost."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from mipnerf.report.figures.plots import SIZE, STYLE, legend_below, variant_styles
from mipnerf.report.frame import SHOWN, Run, only_name, ordered_names
from mipnerf.report.names import title_of
from mipnerf.report.reference import MEAN, Reference
from mipnerf.report.summary import method_means, ordered_metrics, summarise

ROW = 0.26  # inches of a scene
APART = 0.55  # rows between the variants of a scene
QUALITY = ("psnr", "ssim", "lpips")
MAX_LABELLED = 2  # published points; of more, marker and colour tell which they are
SHORT = 2  # hours, below which minutes are shown
LEAST_RANGE = 8  # of an axis of cost
LABEL_GAP = 0.062  # between labels, of the height of the axes
PUBLISHED_STEPS, PUBLISHED_RAYS = 1_000_000, 4096
PUBLISHED_SAMPLES_PER_RAY = 256  # 2 x 128 of mip-NeRF, 64 + (64 + 128) of NeRF


def plot_deltas(runs: list[Run], reference: Reference) -> Figure:
    """Ours minus the published number, both averaged over the levels, of each scene and variant that has one."""
    dataset, styles = only_name(runs, "dataset"), variant_styles(runs)
    results = summarise(runs, reference).query("level == @MEAN and metric in @QUALITY").dropna(subset="delta")
    with mpl.rc_context(STYLE | {"axes.grid.axis": "x"}):
        if results.empty:
            return _words(f"{dataset}: nothing that was published is complete here")
        metrics, scenes = ordered_metrics(results), list(dict.fromkeys(results["scene"]))
        styles = {name: style for name, style in styles.items() if name in set(results["variant"])}
        # Of several variants of a scene, which is the mean, one stands below the other.
        counts = results.groupby("scene")["variant"].nunique()[scenes]
        tops = (1 + APART * (counts - 1)).cumsum().shift(fill_value=0)
        bottom = tops.iloc[-1] + APART * (counts.iloc[-1] - 1)
        figure = Figure(figsize=(SIZE[0], 1.4 + ROW * max(2, bottom + 1)), layout="constrained")
        for axes, metric in zip(figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0], metrics, strict=True):
            axes.axvline(0, color="0.3", linewidth=0.8)
            rows = results[results["metric"] == metric]
            for name, style in styles.items():
                own = rows[rows["variant"] == name]
                order = {scene: list(dict.fromkeys(group["variant"])) for scene, group in results.groupby("scene")}
                places = [tops[scene] + APART * order[scene].index(name) for scene in own["scene"]]
                error = own["spread"] if own["spread"].notna().any() else None
                axes.errorbar(own["delta"], places, xerr=error, **(style | {"linestyle": ""}))
            unit = " (dB)" if metric == "psnr" else ""
            better = "higher" if SHOWN[metric].higher_is_better else "lower"
            axes.set(xlabel=f"Δ {SHOWN[metric].title}{unit}, {better} is better")
            axes.margins(x=0.12)
            axes.set_ylim(bottom + 0.6, -0.6)
            axes.set_yticks(tops + APART * (counts - 1) / 2, ["mean" if scene == MEAN else scene for scene in scenes])
            axes.locator_params(axis="x", nbins=5)
        handles = [
            Line2D([], [], label=title_of(name), **(style | {"linestyle": ""})) for name, style in styles.items()
        ]
        figure.suptitle(f"{dataset}: ours − published", fontsize=9)
        legend_below(figure, handles)
    return figure


def plot_cost(runs: list[Run], reference: Reference) -> Figure:
    """PSNR, averaged over levels and scenes, against hours of training and samples of its rays, a point a variant.

    Hollow is what was published for the same, where it was. A variant without a known cost or a complete mean has no
    point.
    """
    dataset, styles = only_name(runs, "dataset"), variant_styles(runs)
    points = costs_and_quality(runs, reference)
    with mpl.rc_context(STYLE):
        if points.loc[~points["published"], ["hours", "samples"]].dropna(how="all").empty:
            return _words(f"{dataset}: no run says what it cost")
        figure = Figure(figsize=SIZE, layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        is_short = points["hours"].max() < SHORT
        points["time"] = points["hours"] * (60 if is_short else 1)
        ours, published = points[~points["published"]], points[points["published"]]
        titles = {"time": f"training time ({'minutes' if is_short else 'hours'})", "samples": "samples in training"}
        for axes, (column, title) in zip(panels, titles.items(), strict=True):
            for points_here, changes in ((ours, {}), (published, {"markerfacecolor": "white"})):
                for point in points_here.dropna(subset=column).itertuples():
                    style = styles[point.method] | {"linestyle": "", "markersize": 7} | changes
                    spread = point.spread if np.isfinite(point.spread) else None
                    axes.errorbar([getattr(point, column)], [point.psnr], yerr=spread, **style)
            axes.set(xscale="log", xlabel=title)
            axes.margins(x=0.15, y=0.1)
            _few_ticks(axes)
        panels[0].set_ylabel("test PSNR (dB)")
        labelled = points if len(published) <= MAX_LABELLED else points[~points["published"]]
        names = {i: title_of(row.method) + ", published" * row.published for i, row in labelled.iterrows()}
        colors = {i: styles[method]["color"] for i, method in points["method"].items()}
        _label_at_right(panels[1], labelled, names, colors)
        note = "; hollow: published, on 32 TPU cores" if len(published) else ""
        figure.suptitle(f"{dataset}: means over resolutions and scenes{note}", fontsize=9)
    return figure


def costs_and_quality(runs: list[Run], reference: Reference) -> pd.DataFrame:
    """A row for each method, and for each that was published: method, psnr, spread, hours, samples, published.

    Costs are means over the runs of a method; NaN where a run does not tell.
    """
    dataset, levels = only_name(runs, "dataset"), int(max(run.metrics["level"].max() for run in runs)) + 1
    quality, scenes = method_means(runs).xs(("psnr", MEAN), level=("metric", "level")), ordered_names(runs, "scene")
    place = MEAN if set(scenes) == reference.scenes(dataset) else scenes[0] if len(scenes) == 1 else None
    rows = []
    for method in ordered_names(runs, "method"):
        if set(quality.at[method, "scenes"]) != set(scenes):
            continue  # a mean over other scenes than that of the others
        members = [run for run in runs if run.method == method]
        hours = float(np.mean([training_hours(run) for run in members]))
        samples = float(np.mean([training_samples(run) for run in members]))
        rows.append((method, *quality.loc[method, ["value", "spread"]], hours, samples, False))
        average = reference.jax_average(dataset, method, place, "psnr", levels) if place else None
        if average is not None:
            samples = float(PUBLISHED_STEPS * PUBLISHED_RAYS * PUBLISHED_SAMPLES_PER_RAY)
            hours = reference.train_hours(dataset, method) or np.nan
            rows.append((method, average, np.nan, hours, samples, True))
    points = pd.DataFrame(rows, columns=["method", "psnr", "spread", "hours", "samples", "published"])
    return points.dropna(subset="psnr").reset_index(drop=True)


def training_hours(run: Run) -> float:
    """Hours of its training, NaN where it was trained elsewhere."""
    return (run.config.get("record", {}).get("train_seconds") or np.nan) / 3600


def training_samples(run: Run) -> float:
    """Points or volumes that the network saw in training: steps x rays x samples of a ray at all levels.

    NaN where an imported network does not tell its steps.
    """
    record = run.config.get("record", {})
    if "imported_from" in record and record["imported_step"] is None:
        return np.nan
    model: Mapping[str, Any] = run.setting("model")
    coarse, fine = model["num_samples"], model.get("num_fine_samples", 0)
    # A further level of points keeps those before it and adds its own.
    per_ray = sum(coarse + level * fine for level in range(model["num_levels"]))
    return float(run.setting("train", "max_steps") * run.setting("train", "batch_size") * per_ray)


def spread_apart(places: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """The [N] sorted `places`, moved so that they are `gap` apart (or as far as there is room) in [low, high]."""
    gap = min(gap, (high - low) / max(len(places) - 1, 1))
    offsets = gap * np.arange(len(places))
    upwards = np.maximum.accumulate(places - offsets)
    downwards = np.minimum.accumulate((places - offsets)[::-1])[::-1]
    apart = (upwards + downwards) / 2 + offsets  # both are apart, and so is what lies between
    return np.clip(apart, low + offsets, high - offsets[::-1])


def _label_at_right(axes: Axes, points: pd.DataFrame, names: Mapping[int, str], colors: Mapping[int, str]) -> None:
    """A column of names beside the axes, each tied to its point by a thin line."""
    low, high = axes.get_ylim()
    order = points["psnr"].sort_values(kind="stable").index
    heights = (points.loc[order, "psnr"].to_numpy() - low) / (high - low)
    for i, height in zip(order, spread_apart(heights, LABEL_GAP, 0.02, 0.98), strict=True):
        axes.annotate(
            names[i],
            (points.at[i, "samples"], points.at[i, "psnr"]),
            xytext=(1.06, height),
            textcoords="axes fraction",
            va="center",
            fontsize=7.5,
            arrowprops={
                "arrowstyle": "-",
                "color": colors[i],
                "linewidth": 0.6,
                "shrinkA": 1,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
            annotation_clip=False,
        )


def _few_ticks(axes: Axes) -> None:
    """Round numbers, of which there is more than one."""
    low, high = axes.get_xlim()
    if high / low < LEAST_RANGE:
        middle = np.sqrt(low * high)
        low, high = axes.set_xlim(middle / LEAST_RANGE**0.5, middle * LEAST_RANGE**0.5)
    if high / low < 30:  # less than one and a half powers of ten
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(EngFormatter(sep="") if high > 1e4 else "{x:g}")


def _words(text: str) -> Figure:
    figure = Figure(figsize=SIZE, layout="constrained")
    figure.text(0.5, 0.5, text, ha="center")
    return figure
