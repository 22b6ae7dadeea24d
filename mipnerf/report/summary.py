"""Means of the metrics of all runs, averaged in the order of the reference, beside what was published."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mipnerf.report.frame import AVG_ERROR, SHOWN, Run, ordered_names
from mipnerf.report.reference import MEAN, Reference

PUBLISHED_LEVELS = 4
Numbers = Any  # a number, or an array or column of them
INDEX = ["scene", "variant", "metric"]
SEED_COLUMNS = ["spread", "seeds"]


def summarise(runs: list[Run], reference: Reference, asked: Sequence[str] = ()) -> pd.DataFrame:
    """A frame with dataset, scene, variant, metric, level (0, 1, ... or "mean"), value, jax, delta, spread and seeds.

    As in the reference's summary, values are means over images, then over scenes (the scene "mean", where a dataset has
    several), then over levels; `avg_error` is computed from the last. What is incomplete (a level without all views, an
    average without all levels, a mean without all scenes) is missing, not averaged over the rest. Where a method was
    trained with several seeds, `variant` is the method, `value` the mean over the `seeds` that have one, and `spread`
    their sample standard deviation. `delta` is value − jax. The metrics in `asked` have rows also where no run
    measured them.
    """
    rows = []
    for dataset in ordered_names(runs, "dataset"):
        members = [run for run in runs if run.dataset == dataset]
        scenes = ordered_names(members, "scene")
        levels = expected_levels(members)
        values = _with_rows(_level_values(members, levels), asked)
        if len(scenes) > 1:
            values = pd.concat([values, _scene_means(values, scenes)])
        values, spreads, counts = _over_seeds(_with_averages(values, levels), members)
        order = [*scenes, MEAN], ordered_names(members, "method"), ordered_metrics(values.reset_index())
        for key in (key for key in _product(*order) if key in values.index):
            jax = _published(reference, dataset, key, scenes, len(levels), values.loc[key])
            shown: list[int | str] = [MEAN] if key[2] == AVG_ERROR else [*levels, MEAN]
            for level in shown:
                numbers = values.loc[key][level], jax.get(level), spreads.loc[key][level], counts.loc[key][level]
                rows.append((dataset, *key, str(level), *numbers))
    tidy = pd.DataFrame(rows, columns=["dataset", *INDEX, "level", "value", "jax", *SEED_COLUMNS])
    tidy["jax"] = tidy["jax"].astype("float64")
    tidy.insert(tidy.columns.get_loc("jax") + 1, "delta", tidy["value"] - tidy["jax"])
    return tidy


def method_means(runs: list[Run]) -> pd.DataFrame:
    """What the rows of the paper's tables are made of, for runs of one dataset.

    A frame indexed by method, metric and level (0, 1, ... or "mean") with value, spread, seeds and scenes: the mean
    over the scenes that there are, then over seeds, in the order of `summarise`. Of seeds with different scenes, those
    count that have the same as the one with most.
    """
    values, parts = _level_values(runs, levels := expected_levels(runs)), {}
    for method in ordered_names(runs, "method"):
        members = [run for run in runs if run.method == method]
        scenes = {run.variant: {other.scene for other in members if other.variant == run.variant} for run in members}
        most = max(scenes.values(), key=len)
        seeds = [variant for variant in scenes if scenes[variant] == most]
        chosen = values[values.index.get_level_values("variant").isin(seeds)]
        means = _with_averages(_scene_means(chosen, sorted(most)), levels).rename_axis(columns="level")
        groups = means.stack(future_stack=True).groupby(level=["metric", "level"], sort=False)
        is_whole = groups.count() == len(seeds)
        part = groups.mean().where(is_whole).to_frame("value")
        part["spread"] = groups.std(ddof=1).where(is_whole)
        parts[method] = part.assign(seeds=len(seeds), scenes=[tuple(sorted(most))] * len(part))
    return pd.concat(parts, names=["method", "metric", "level"])


def count_seeds(runs: list[Run]) -> dict[str, int]:
    """With how many seeds each method was trained."""
    variants = {run.variant: run.method for run in runs}
    return Counter(variants.values())


def average_error(psnr: Numbers, ssim: Numbers, lpips: Numbers) -> Numbers:
    """The paper's "Avg.": geometric mean of the MSE, √(1 − SSIM) and LPIPS; of numbers or arrays."""
    return np.cbrt(10 ** (-psnr / 10) * np.sqrt(1 - ssim) * lpips)


def expected_levels(runs: list[Run]) -> list[int]:
    """The levels that all runs of one dataset should have: those of any of them, and those that the paper averages."""
    least = PUBLISHED_LEVELS if runs[0].dataset == "multiscale_blender" else 1
    return list(range(max(least, *(1 + run.metrics["level"].max() for run in runs))))


def ordered_metrics(frame: pd.DataFrame) -> list[str]:
    """The metrics that occur in `frame`, in the order in which they are always shown."""
    return [metric for metric in SHOWN if metric in set(frame["metric"])]


def _level_values(runs: list[Run], levels: list[int]) -> pd.DataFrame:
    return pd.concat([run.level_means for run in runs]).reindex(columns=levels)


def _with_rows(values: pd.DataFrame, asked: Sequence[str]) -> pd.DataFrame:
    runs = values.index.droplevel("metric").unique()
    keys = [*values.index, *((*run, metric) for metric in asked for run in runs)]
    return values.reindex(pd.MultiIndex.from_tuples(dict.fromkeys(keys), names=INDEX))


def _with_averages(values: pd.DataFrame, levels: list[int]) -> pd.DataFrame:
    """`values` with the column of the mean over levels, and the rows of `avg_error` that are computed from it."""
    values = values.assign(**{MEAN: values[levels].mean(axis=1, skipna=False)})
    return pd.concat([values, _average_errors(values)])


def _average_errors(values: pd.DataFrame) -> pd.DataFrame:
    """Rows of `avg_error`, in the column of the mean over levels; none where nothing has LPIPS."""
    means = values[MEAN].unstack("metric")
    if "lpips" not in means:
        return values.iloc[:0]
    means = means.reindex(columns=["psnr", "ssim", "lpips"])
    errors = average_error(*(means[metric] for metric in means)).to_frame(MEAN)
    return pd.concat({AVG_ERROR: errors}, names=["metric"]).reorder_levels(INDEX)


def _over_seeds(values: pd.DataFrame, runs: list[Run]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Mean, sample standard deviation and number of the seeds of each method, in rows as those of `values`."""
    methods = {run.variant: run.method for run in runs}
    groups = values.rename(index=methods, level="variant").groupby(level=INDEX, sort=False)
    return groups.mean(), groups.std(ddof=1), groups.count()


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
    if average is None:
        return {}
    levels = reference.jax_levels(dataset, variant, metric) if scene == MEAN else None
    if num_levels == 1:
        levels = [average]
    published: list[tuple[int | str, float]] = [*enumerate(levels or []), (MEAN, average)]
    return {level: jax for level, jax in published if pd.notna(values[level])}
