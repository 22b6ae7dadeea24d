"""The figure of trainings at equal time: quality of views that are not trained on, against minutes."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mipnerf.report.figures.plots import SIZE, STYLE, legend_below, variant_styles
from mipnerf.report.frame import Run, level_name, only_name
from mipnerf.report.names import title_of
from mipnerf.report.reference import Reference
from mipnerf.training.history import read_validation

POINTS = 100  # of a curve


def plot_minutes(runs: list[Run], _: Reference | None = None) -> Figure:
    """Validation PSNR of each method against minutes of training; a band is the spread over scenes and seeds.

    Time counts training alone. Runs take their steps at speeds of their own, so each is interpolated linearly between
    its validations, over the time that all runs of the method have.
    """
    dataset, styles = only_name(runs, "dataset"), variant_styles(runs, marker="")
    curves = {
        method: frame
        for method in styles
        if not (frame := minutes_frame([run for run in runs if run.method == method])).empty
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(SIZE[0], SIZE[1] + 0.6), layout="constrained")
        if not curves:
            figure.text(0.5, 0.5, f"{dataset}: no view was validated while training", ha="center")
            return figure
        axes = figure.subplots()
        for method, frame in curves.items():
            has_spread = frame["run"].nunique() > 1
            seaborn.lineplot(
                frame,
                x="minutes",
                y="psnr",
                ax=axes,
                errorbar="sd" if has_spread else None,
                legend=False,
                **styles[method],
            )
        levels = sorted({row.level for run in runs for row in read_validation(run.folder / "validation.csv")})
        where = ", ".join(map(level_name, levels))
        axes.set(xlabel="training time (minutes)", ylabel=f"validation PSNR at {where} (dB)")
        handles = [Line2D([], [], label=title_of(method), **styles[method]) for method in curves]
        figure.suptitle(f"{dataset}: means over seeds and scenes; bands: standard deviation", fontsize=9)
        legend_below(figure, handles)
    return figure


def minutes_frame(runs: list[Run]) -> pd.DataFrame:
    """Columns run, minutes and psnr (in dB): `POINTS` rows for each run of one method, at the same minutes for all."""
    curves = {}
    for run in runs:
        rows = read_validation(run.folder / "validation.csv")
        means = pd.DataFrame(
            [(row.step, row.seconds / 60, row.psnr) for row in rows], columns=["step", "minutes", "psnr"]
        )
        if not means.empty:
            curves[run.folder] = means.groupby("step").mean()
    if not curves:
        return pd.DataFrame(columns=["run", "minutes", "psnr"])
    first = max(curve["minutes"].iloc[0] for curve in curves.values())
    last = min(curve["minutes"].iloc[-1] for curve in curves.values())
    minutes = np.linspace(first, max(first, last), POINTS)
    parts = [
        pd.DataFrame({"run": i, "minutes": minutes, "psnr": np.interp(minutes, curve["minutes"], curve["psnr"])})
        for i, curve in enumerate(curves.values())
    ]
    return pd.concat(parts, ignore_index=True)
