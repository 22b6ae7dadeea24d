"""The result table, beside the published JAX averages, and what a reader must know about the runs to judge it."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd
from tabulate import tabulate

from mipnerf.history import format_duration
from mipnerf.report.frame import METRICS, Run, format_value, level_name, ordered_names, read_runs
from mipnerf.report.reference import MEAN, Reference, load_reference

AVERAGE, JAX = "Average (PyTorch)", "Average (Jax)"
PUBLISHED_LEVELS = 4
PUBLISHED_RAYS = 1_000_000 * 4096
PUBLISHED_NETWORK = "8×256, 2×128 samples"
PUBLISHED_IMAGES = {"resolution": "800×800", "training views": 100, "test views": 200}


def build_tables(
    run_folders: list[Path], reference_folder: Path, figures: Sequence[str] = ()
) -> tuple[str, pd.DataFrame]:
    """The Markdown text of all datasets, and the same numbers unrounded as a tidy frame (see `summarise`).

    `figures` are links to pictures, each shown with the dataset that its file name begins with.
    """
    runs, reference = read_runs(run_folders), load_reference(reference_folder)
    tidy = summarise(runs, reference)
    datasets = ordered_names(runs, "dataset")
    sections = []
    for dataset in datasets:
        members = [run for run in runs if run.dataset == dataset]
        results = tidy[tidy["dataset"] == dataset]
        parts = [f"## {dataset}"]
        for metric in ordered_metrics(results):
            parts += [f"### {METRICS[metric].title}", _metric_table(results[results["metric"] == metric], metric)]
        parts.append(_legend(results))
        parts += ["### Runs", _runs_table(members), *_caveat(members, results)]
        parts += [
            f"![{PurePosixPath(link).stem}]({link})" for link in figures if _dataset_of(link, datasets) == dataset
        ]
        sections.append("\n\n".join(parts))
    return "\n\n".join(sections) + "\n", tidy


def summarise(runs: list[Run], reference: Reference) -> pd.DataFrame:
    """A frame with dataset, scene, variant, metric, level (0, 1, ... or "mean"), value, jax and delta = value − jax.

    As in the reference's summary, values are means over images, then over scenes (the scene "mean", where a dataset has
    several), then over levels. What is incomplete (a level without all views, an average without all levels, a mean
    without all scenes) is missing, not averaged over the rest.
    """
    rows = []
    for dataset in ordered_names(runs, "dataset"):
        members = [run for run in runs if run.dataset == dataset]
        scenes = ordered_names(members, "scene")
        levels = expected_levels(members)
        values = pd.concat([level_means(run) for run in members]).reindex(columns=levels)
        if len(scenes) > 1:
            values = pd.concat([values, _scene_means(values, scenes)])
        values[MEAN] = values[levels].mean(axis=1, skipna=False)
        order = [*scenes, MEAN], ordered_names(members, "variant"), ordered_metrics(values.reset_index())
        for key in (key for key in _product(*order) if key in values.index):
            jax = _published(reference, dataset, key, scenes, len(levels), values.loc[key])
            rows += [(dataset, *key, str(level), value, jax.get(level)) for level, value in values.loc[key].items()]
    tidy = pd.DataFrame(rows, columns=["dataset", "scene", "variant", "metric", "level", "value", "jax"])
    tidy["jax"] = tidy["jax"].astype("float64")
    return tidy.assign(delta=tidy["value"] - tidy["jax"])


def level_means(run: Run) -> pd.DataFrame:
    """Means over the views: a row per (scene, variant, metric), a column per level; NaN where a view is missing."""
    groups = run.metrics.groupby(["scene", "variant", "metric", "level"], sort=False)["value"].agg(["mean", "size"])
    return groups["mean"].where(groups["size"] == len(run.views)).unstack()


def expected_levels(runs: list[Run]) -> list[int]:
    """The levels that all runs of one dataset should have: those of any of them, and those that the paper averages."""
    least = PUBLISHED_LEVELS if runs[0].dataset == "multiscale_blender" else 1
    return list(range(max(least, *(1 + run.metrics["level"].max() for run in runs))))


def ordered_metrics(frame: pd.DataFrame) -> list[str]:
    """The metrics that occur in `frame`, in the order in which they are always shown."""
    return [metric for metric in METRICS if metric in set(frame["metric"])]


def _dataset_of(link: str, datasets: list[str]) -> str:
    """The dataset that the file name begins with: the longest, as one name may begin with another."""
    name = PurePosixPath(link).name
    return max((dataset for dataset in datasets if name.startswith(f"{dataset}_")), key=len, default="")


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
    levels = reference.jax_levels(dataset, variant, metric) if scene == MEAN and average is not None else []
    if num_levels == 1:
        levels = [average]
    return {level: jax for level, jax in [*enumerate(levels), (MEAN, average)] if pd.notna(values[level])}


def _metric_table(results: pd.DataFrame, metric: str) -> str:
    levels = range(max(PUBLISHED_LEVELS, results["level"].nunique() - 1))
    values = results.pivot(index=["scene", "variant"], columns="level", values="value")
    values = values.reindex(columns=[*map(str, levels), MEAN])
    jax = results[results["level"] == MEAN].set_index(["scene", "variant"])["jax"]
    cells = values.map(lambda value: format_value(metric, value))
    rows = [
        [scene, variant, *_bold_best(cells.loc[scene], variant, metric), format_value(metric, jax[scene, variant])]
        for scene, variant in jax.index
    ]
    return _markdown(rows, ["Scene", "Variant", *map(level_name, levels), AVERAGE, JAX], left=2)


def _bold_best(cells: pd.DataFrame, variant: str, metric: str) -> list[str]:
    """The row of `variant`, bold where it is the best of at least two; equal digits are equally good."""
    numbers = cells.apply(pd.to_numeric, errors="coerce")
    best = numbers.max() if METRICS[metric].higher_is_better else numbers.min()
    is_best = (numbers.loc[variant] == best) & (numbers.notna().sum() > 1)
    return [f"**{cell}**" if bold else cell for cell, bold in zip(cells.loc[variant], is_best, strict=True)]


def _legend(results: pd.DataFrame) -> str:
    sentences = [f"{AVERAGE}: mean over the levels of the mean over the test views. —: no such value."]
    if results["jax"].notna().any():
        sentences.append(f"{JAX}: as published, where SSIM of single scenes has three decimals.")
    if (levels := results["level"].nunique() - 1) not in (1, PUBLISHED_LEVELS):
        sentences.append(f"The average here is over {levels} levels: {', '.join(map(level_name, range(levels)))}.")
    if results["scene"].eq(MEAN).any():
        sentences.append("The scene “mean” is the mean over the scenes above, where a variant has them all.")
    if results["variant"].nunique() > 1:
        sentences.append("Bold: the best variant of a scene.")
    return " ".join(sentences)


def _facts(run: Run) -> dict[str, str | int]:
    """What a reader must know about a run, as it is shown."""
    depth, width, levels, samples = (
        run.setting("model", key) for key in ("net_depth", "net_width", "num_levels", "num_samples")
    )
    return {
        "scene": run.scene,
        "variant": run.variant,
        "resolution": f"{run.setting('record', 'width')}×{run.setting('record', 'height')}",
        "training views": run.setting("record", "train_views"),
        "test views": len(run.views),
        "steps × batch": f"{run.setting('train', 'max_steps'):,} × {run.setting('train', 'batch_size'):,}",
        "network": f"{depth}×{width}, {levels}×{samples} samples",
        "parameters": f"{run.setting('record', 'num_parameters'):,}",
        "training time": format_duration(run.setting("record", "train_seconds")),
        "device": run.setting("record", "device"),
    }


def _runs_table(runs: list[Run]) -> str:
    facts = [_facts(run) for scene in ordered_names(runs, "scene") for run in runs if run.scene == scene]
    return _markdown([list(fact.values()) for fact in facts], [name.capitalize() for name in facts[0]], left=2)


def _caveat(runs: list[Run], results: pd.DataFrame) -> list[str]:
    """One sentence when the published numbers that are shown were made under other conditions."""
    if results["jax"].isna().all():
        return []
    facts = [_facts(run) for run in runs]
    differing = [name for name, value in PUBLISHED_IMAGES.items() if any(fact[name] != value for fact in facts)]
    if any(run.setting("train", "max_steps") * run.setting("train", "batch_size") != PUBLISHED_RAYS for run in runs):
        differing.insert(0, "training budget")
    if any(f["network"] != PUBLISHED_NETWORK for f in facts if f["variant"].startswith("mipnerf")):
        differing.append("network")
    if not differing:
        return []
    return [
        f"**{JAX} is not directly comparable:** it was published for 1,000,000 × 4,096 rays, images of 800×800, 100 "
        f"training and 200 test views, and a network of {PUBLISHED_NETWORK}; the runs differ in {', '.join(differing)}."
    ]


def _markdown(rows: list[list], headers: list[str], left: int) -> str:
    align = ["left"] * left + ["right"] * (len(headers) - left)
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True, colalign=align)
