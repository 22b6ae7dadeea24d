"""Figures of one dataset: metrics against resolution level, and training curves. The same runs give the same bytes."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from mipnerf.files import atomic_path
from mipnerf.report.frame import Run, level_name, only_name, ordered_names, read_history
from mipnerf.report.names import title_of
from mipnerf.report.reference import MEAN, Reference
from mipnerf.report.rows import METRICS
from mipnerf.report.summary import ordered_metrics, summarise
from mipnerf.training.history import read_validation

STYLE = seaborn.axes_style("whitegrid") | {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "savefig.dpi": 200,
    "savefig.facecolor": "white",
    "svg.hashsalt": "mipnerf",  # else identifiers in the SVG are random
}
SIZE = (7, 3.2)  # inches
SMOOTHED_SHARE = 0.05
# Colours tell apart for all eyes, markers and dashes in grey. Dots are for what is published.
PALE = {"#fbafe4": "#00a0c6", "#ece133": "#202020", "#56b4e9": "#7a5195"}  # on white, by what replaces them
COLORS = [PALE.get(color, color) for color in seaborn.color_palette("colorblind").as_hex()]
LEGEND_HANDLE, LEGEND_LETTER = 0.6, 0.057  # inches of an entry: without its text, and a letter of it
LEGEND_ROW = 0.18  # inches
Style = dict[str, Any]  # keyword arguments of a line
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">"]
DASHES = ["-", (0, (5, 1.5)), (0, (6, 1.5, 1.5, 1.5)), (0, (9, 2)), (0, (6, 1.5, 1.5, 1.5, 1.5, 1.5)), (0, (3, 1))]
PUBLISHED: Style = {"linestyle": ":", "linewidth": 1.6, "marker": ""}
VALIDATION: Style = {
    "linestyle": "",
    "marker": "o",
    "markersize": 3.5,
    "markerfacecolor": "white",
    "markeredgewidth": 1.2,
}
PUBLISHED_BAR: Style = {"linestyle": "", "marker": "_", "markersize": 14, "markeredgewidth": 1.6}


def plot_levels(runs: list[Run], reference: Reference) -> Figure:
    """PSNR, SSIM and LPIPS of each variant against the level: thick the mean over the scenes, thin each scene.

    With a single level, against the scene instead. Bands, or error bars, are the standard deviation over seeds.
    Dotted (or bars) is what was published for the same.
    """
    dataset, styles = only_name(runs, "dataset"), variant_styles(runs)
    results = summarise(runs, reference)
    results = results[results["level"] != MEAN].astype({"level": int})
    is_multiscale = results["level"].max() > 0
    draw = _draw_against_level if is_multiscale else _draw_against_scene
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        metrics = [metric for metric in ordered_metrics(results) if metric in ("psnr", "ssim", "lpips")]
        for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
            for variant, style in styles.items():
                rows = results[(results["metric"] == metric) & (results["variant"] == variant)]
                if not rows.empty:
                    draw(axes, rows, style)
            axes.set_ylabel(METRICS[metric].title + (" (dB)" if metric == "psnr" else ""))
        line = {} if is_multiscale else {"linestyle": ""}
        handles = [Line2D([], [], label=title_of(variant), **(style | line)) for variant, style in styles.items()]
        if results["jax"].notna().any():
            published = PUBLISHED if is_multiscale else PUBLISHED_BAR
            handles.append(Line2D([], [], label="Jax, as published", color="0.3", **published))
        _finish(figure, handles, dataset, _scenes_note(runs) if is_multiscale else "")
    return figure


def plot_history(runs: list[Run], _: Reference | None = None) -> Figure:
    """Training PSNR of each variant against step and time, smoothed by a centred running mean over 5 % of the log.

    One scene: faint what was logged. Several: thin each scene, thick their mean at the steps that all of them logged.
    Dots are the PSNR of validation views, where there were any, averaged over scenes. A run without a log (its model
    was trained elsewhere) is left out.
    """
    dataset, styles = only_name(runs, "dataset"), variant_styles(runs, marker="")
    has_scenes = len(_scenes(runs)) > 1
    all_logs = [(run.method, log) for run in runs if not (log := _smoothed_log(run)).empty]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        if not all_logs:
            figure.text(0.5, 0.5, f"{dataset}: no training was logged, all models come from elsewhere", ha="center")
            return figure
        by_step, by_time = figure.subplots(1, 2, sharey=True)
        levels = {row.level for run in runs for row in read_validation(run.folder / "validation.csv")}
        styles = {variant: style for variant, style in styles.items() if variant in dict(all_logs)}
        for variant, style in styles.items():
            logs = [log for name, log in all_logs if name == variant]
            for axes, x in ((by_step, "step"), (by_time, "minutes")):
                for log in logs:
                    _draw_faint(axes, log[x], log["smoothed" if has_scenes else "psnr"], style)
                mean = _mean_log(logs)
                axes.plot(mean[x], mean["smoothed"], **style)
                seen = _mean_validation([run for run in runs if run.method == variant])
                if not seen.empty:
                    axes.plot(seen[x], seen["psnr"], color=style["color"], **VALIDATION)
        by_step.set(xlabel="step", ylabel="PSNR (dB)" if levels else "training PSNR (dB)")
        by_step.xaxis.set_major_formatter(EngFormatter(sep=""))
        by_time.set(xlabel="training time (minutes)")
        handles = [Line2D([], [], label=title_of(variant), **style) for variant, style in styles.items()]
        if levels:
            label = f"validation at {', '.join(map(level_name, sorted(levels)))}"
            handles.append(Line2D([], [], label=label, color="0.3", **VALIDATION))
        note = _scenes_note(runs) if has_scenes else "faint: as logged"
        _finish(figure, handles, dataset, f"running mean over {SMOOTHED_SHARE:.0%} of the log; {note}")
    return figure


def save_figure(figure: Figure, *paths: Path) -> None:
    """Atomically write `figure` to each path, in the format that its ending names, without date and version."""
    for path in paths:
        metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": None}
        with mpl.rc_context(STYLE), atomic_path(path) as temporary:
            figure.savefig(temporary, metadata=metadata)


def variant_styles(runs: list[Run], **fixed: Any) -> dict[str, Style]:
    """Colour, marker and dashes of each variant, whose seeds look alike."""
    return {
        variant: {
            "color": COLORS[i % len(COLORS)],
            "marker": MARKERS[i % len(MARKERS)],
            "linestyle": DASHES[i % len(DASHES)],
        }
        | fixed
        for i, variant in enumerate(ordered_names(runs, "method"))
    }


def _draw_against_level(axes: Axes, rows: pd.DataFrame, style: Style) -> None:
    scenes = list(rows.groupby("scene", sort=False))
    for scene, values in scenes:
        if scene == MEAN or len(scenes) == 1:
            axes.plot(values["level"], values["value"], **style)
            low, high = values["value"] - values["spread"], values["value"] + values["spread"]
            axes.fill_between(values["level"], low, high, color=style["color"], alpha=0.2, linewidth=0)
        else:
            _draw_faint(axes, values["level"], values["value"], style)
        axes.plot(values["level"], values["jax"], color=style["color"], **PUBLISHED)
    levels = range(rows["level"].max() + 1)
    axes.set_xticks(levels, map(level_name, levels))
    axes.set_xlabel("resolution")


def _draw_against_scene(axes: Axes, rows: pd.DataFrame, style: Style) -> None:
    axes.errorbar(rows["scene"], rows["value"], yerr=rows["spread"], **(style | {"linestyle": ""}))
    axes.plot(rows["scene"], rows["jax"], color=style["color"], **PUBLISHED_BAR)
    axes.set_xticks(range(rows["scene"].nunique()), rows["scene"], rotation=45, ha="right", rotation_mode="anchor")


def _draw_faint(axes: Axes, x: pd.Series, y: pd.Series, style: Style) -> None:
    axes.plot(x, y, color=style["color"], alpha=0.35, linewidth=0.7)


def _smoothed_log(run: Run) -> pd.DataFrame:
    log = read_history(run.folder / "history.csv")
    window = max(1, round(SMOOTHED_SHARE * len(log)))
    smoothed = log["psnr"].rolling(window, center=True, min_periods=1).mean()
    return log.assign(minutes=log["seconds"] / 60, smoothed=smoothed)


def _mean_validation(runs: list[Run]) -> pd.DataFrame:
    """Step, minutes and PSNR of the validation views, averaged over views and runs at the steps that all runs have."""
    rows = [
        {"run": run.folder, "step": row.step, "minutes": row.seconds / 60, "psnr": row.psnr}
        for run in runs
        for row in read_validation(run.folder / "validation.csv")
    ]
    if not rows:
        return pd.DataFrame(columns=["step", "minutes", "psnr"])
    means = pd.DataFrame(rows).groupby(["run", "step"], as_index=False).mean()
    return _mean_log([log.drop(columns="run") for _, log in means.groupby("run")])


def _mean_log(logs: list[pd.DataFrame]) -> pd.DataFrame:
    rows = pd.concat(logs)
    is_common = rows.groupby("step")["step"].transform("size") == len(logs)
    return rows[is_common].groupby("step", as_index=False).mean()


def _scenes(runs: list[Run]) -> list[str]:
    return ordered_names(runs, "scene")


def _scenes_note(runs: list[Run]) -> str:
    count = len(_scenes(runs))
    return f"thick: mean over {count} scenes, thin: each scene" if count > 1 else ""


def _finish(figure: Figure, handles: list[Line2D], dataset: str, note: str) -> None:
    figure.suptitle(f"{dataset} ({note})" if note else dataset, fontsize=9)
    legend_below(figure, handles)


def legend_below(figure: Figure, handles: list[Line2D]) -> None:
    """A legend below the axes, in as many columns as its longest entry allows."""
    widest = max(len(str(handle.get_label())) for handle in handles)
    ncols = max(1, min(4, len(handles), int(SIZE[0] / (LEGEND_HANDLE + LEGEND_LETTER * widest))))
    rows = -(-len(handles) // ncols)
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * max(0, rows - 2))
    figure.legend(handles=handles, loc="outside lower center", ncols=ncols, handlelength=3.2, fontsize=8)
