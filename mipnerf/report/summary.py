"""Means of the metrics of all runs, averaged in the order of the reference, beside what was published."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mipnerf.report.frame import AVG_ERROR, SHOWN, Run, ordered_names
from mipnerf.report.reference import MEAN, Reference

PUBLISHED_LEVELS = 4
INDEX = ["scene", "variant", "metric"]


def summarise(runs: list[Run], reference: Reference, asked: Sequence[str] = ()) -> pd.DataFrame:
    """A frame with dataset, scene, variant, metric, level (0, 1, ... or "mean"), value, jax and delta = value − jax.

    As in the reference's summary, values are means over images, then over scenes (the scene "mean", where a dataset has
    several), then over levels; `avg_error` is computed from the last. What is incomplete (a level without all views, an
    average without all levels, a mean without all scenes) is missing, not averaged over the rest. The metrics in
    `asked` have rows also where no run measured them.
    """
    rows = []
    for dataset in ordered_names(runs, "dataset"):
        members = [run for run in runs if run.dataset == dataset]
        scenes = ordered_names(members, "scene")
        levels = expected_levels(members)
        values = _with_rows(pd.concat([level_means(run) for run in members]).reindex(columns=levels), asked)
        if len(scenes) > 1:
            values = pd.concat([values, _scene_means(values, scenes)])
        values[MEAN] = values[levels].mean(axis=1, skipna=False)
        values = pd.concat([values, _average_errors(values)])
        order = [*scenes, MEAN], ordered_names(members, "variant"), ordered_metrics(values.reset_index())
        for key in (key for key in _product(*order) if key in values.index):
            jax = _published(reference, dataset, key, scenes, len(levels), values.loc[key])
            shown = [MEAN] if key[2] == AVG_ERROR else [*levels, MEAN]
            rows += [(dataset, *key, str(level), values.loc[key][level], jax.get(level)) for level in shown]
    tidy = pd.DataFrame(rows, columns=["dataset", *INDEX, "level", "value", "jax"])
    tidy["jax"] = tidy["jax"].astype("float64")
    return tidy.assign(delta=tidy["value"] - tidy["jax"])


def average_error(psnr, ssim, lpips):
    """The paper's "Avg.": geometric mean of the MSE, √(1 − SSIM) and LPIPS; of numbers or arrays."""
    return np.cbrt(10 ** (-psnr / 10) * np.sqrt(1 - ssim) * lpips)


def level_means(run: Run) -> pd.DataFrame:
    """Means over the views: a row per (scene, variant, metric), a column per level; NaN where a view is missing."""
    groups = run.metrics.groupby([*INDEX, "level"], sort=False)["value"].agg(["mean", "size"])
    return groups["mean"].where(groups["size"] == len(run.views)).unstack()


def expected_levels(runs: list[Run]) -> list[int]:
    """The levels that all runs of one dataset should have: those of any of them, and those that the paper averages."""
    least = PUBLISHED_LEVELS if runs[0].dataset == "multiscale_blender" else 1
    return list(range(max(least, *(1 + run.metrics["level"].max() for run in runs))))


def ordered_metrics(frame: pd.DataFrame) -> list[str]:
    """The metrics that occur in `frame`, in the order in which they are always shown."""
    return [metric for metric in SHOWN if metric in set(frame["metric"])]


def _with_rows(values: pd.DataFrame, asked: Sequence[str]) -> pd.DataFrame:
    runs = values.index.droplevel("metric").unique()
    keys = [*values.index, *((*run, metric) for metric in asked for run in runs)]
    return values.reindex(pd.MultiIndex.from_tuples(dict.fromkeys(keys), names=INDEX))


def _average_errors(values: pd.DataFrame) -> pd.DataFrame:
    """Rows of `avg_error`, in the column of the mean over levels; none where nothing has LPIPS."""
    means = values[MEAN].unstack("metric")
    if "lpips" not in means:
        return values.iloc[:0]
    means = means.reindex(columns=["psnr", "ssim", "lpips"])
    errors = average_error(*(means[metric] for metric in means)).to_frame(MEAN)
    return pd.concat({AVG_ERROR: errors}, names=["metric"]).reorder_levels(INDEX)


def _product(scenes: list[str], variants: list[str], metrics: list[str]) -> list[tuple[str, str, str]]:
    return [(scene, variant, metric) for metric in metrics for scene in scenes for variant in variants]


def _scene_means(values: pd.DataFrame, scenes: list[str]) -> pd.DataFrame:
    groups = values.groupby(level=["variant", "metric"], sort=False)
    means = groups.agg(lambda column: column.mean(skipna=False) if len(column) == len(scenes) else float("nan"))
    return pd.concat({MEAN: means}, names=["scene"])


def _published(
    reference: Reference, dataset: str, key: tuple[str, str, str], scenes: list[str], num_levels: int, values: pd.Series
) -> dict[int | str, float]:
    """The published numbers by level, of those that have a counterpart in `values`."""
    scene, variant, metric = key
    if scene == MEAN and set(scenes) != reference.scenes(dataset):
        return {}
    average = reference.jax_average(dataset, variant, scene, metric, num_levels)
    levels = reference.jax_levels(dataset, variant, metric) if scene == MEAN and average is not None else None
    if num_levels == 1:
        levels = [average]
    return {level: jax for level, jax in [*enumerate(levels or []), (MEAN, average)] if pd.notna(values[level])}
