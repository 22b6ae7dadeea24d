"""The result tables, beside the published JAX averages, and what a reader must know about the runs to judge them."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd
from tabulate import tabulate

from mipnerf.report.conditions import HARDWARE, PUBLISHED_BUDGET, costs_of, departures, facts_of, unofficial
from mipnerf.report.frame import AVG_ERROR, SHOWN, Run, format_value, level_name, ordered_names, read_runs
from mipnerf.report.reference import MEAN, Reference, load_reference
from mipnerf.report.summary import PUBLISHED_LEVELS, ordered_metrics, summarise

AVERAGE, JAX = "Average (PyTorch)", "Average (Jax)"


def build_tables(
    run_folders: list[Path], reference_folder: Path, figures: Sequence[str] = (), lpips_reason: str | None = None
) -> tuple[str, pd.DataFrame]:
    """The Markdown text of all datasets, and the same numbers unrounded as a tidy frame (see `summarise`).

    `figures` are links to pictures, each shown with the dataset that its file name begins with. `lpips_reason` says why
    LPIPS was asked for and could not be measured.
    """
    runs, reference = read_runs(run_folders), load_reference(reference_folder)
    tidy = summarise(runs, reference, asked=["lpips"] if lpips_reason else [])
    datasets = ordered_names(runs, "dataset")
    sections = []
    for dataset in datasets:
        members = [run for run in runs if run.dataset == dataset]
        results = tidy[tidy["dataset"] == dataset]
        parts = [f"## {dataset}"]
        for metric in ordered_metrics(results):
            parts += [f"### {SHOWN[metric].title}", _metric_table(results[results["metric"] == metric], metric)]
        parts.append(_legend(results, lpips_reason))
        parts += ["### Runs", _runs_table(members), *_caveat(members, results), *_cost_table(members, reference)]
        parts += [
            f"![{PurePosixPath(link).stem}]({link})" for link in figures if _dataset_of(link, datasets) == dataset
        ]
        sections.append("\n\n".join(parts))
    return "\n\n".join(sections) + "\n", tidy


def _dataset_of(link: str, datasets: list[str]) -> str:
    """The dataset that the file name begins with: the longest, as one name may begin with another."""
    name = PurePosixPath(link).name
    return max((dataset for dataset in datasets if name.startswith(f"{dataset}_")), key=len, default="")


def _metric_table(results: pd.DataFrame, metric: str) -> str:
    num_levels = results["level"].nunique() - 1
    levels = range(max(PUBLISHED_LEVELS, num_levels) if num_levels else 0)
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
    best = numbers.max() if SHOWN[metric].higher_is_better else numbers.min()
    is_best = (numbers.loc[variant] == best) & (numbers.notna().sum() > 1)
    return [f"**{cell}**" if bold else cell for cell, bold in zip(cells.loc[variant], is_best, strict=True)]


def _legend(results: pd.DataFrame, lpips_reason: str | None) -> str:
    sentences = [f"{AVERAGE}: mean over the levels of the mean over the test views. —: no such value."]
    if results["jax"].notna().any():
        sentences.append(f"{JAX}: as published, where SSIM of single scenes has three decimals.")
    if (levels := results["level"].nunique() - 1) not in (1, PUBLISHED_LEVELS):
        sentences.append(f"The average here is over {levels} levels: {', '.join(map(level_name, range(levels)))}.")
    if results["scene"].eq(MEAN).any():
        sentences.append("The scene “mean” is the mean over the scenes above, where a variant has them all.")
    if results["variant"].nunique() > 1:
        sentences.append("Bold: the best variant of a scene.")
    if results["metric"].eq(AVG_ERROR).any():
        sentences.append("Average error: geometric mean of 10^(−PSNR/10), √(1 − SSIM) and LPIPS, each averaged first.")
    if results.loc[results["metric"] == "seconds_per_megapixel", "jax"].notna().any():
        sentences.append(f"The published seconds are those of {HARDWARE}.")
    if lpips_reason and results.loc[results["metric"] == "lpips", "value"].isna().any():
        sentences.append(f"LPIPS could not be measured: {lpips_reason}.")
    return " ".join(sentences)


def _runs_table(runs: list[Run]) -> str:
    facts = [facts_of(run) for scene in ordered_names(runs, "scene") for run in runs if run.scene == scene]
    return _markdown([list(fact.values()) for fact in facts], [name.capitalize() for name in facts[0]], left=2)


def _caveat(runs: list[Run], results: pd.DataFrame) -> list[str]:
    """A sentence each if data are not the official ones, and if published numbers had other conditions."""
    differing = departures(runs) if results["jax"].notna().any() else None
    comparison = f"**{JAX} is not directly comparable:** {differing}" if differing else None
    return [sentence for sentence in (unofficial(runs), comparison) if sentence]


def _cost_table(runs: list[Run], reference: Reference) -> list[str]:
    """What training took here and in the paper, where the paper says so."""
    rows = costs_of(runs, reference)
    headers = [
        "Variant",
        "Training hours (PyTorch)",
        "Training hours (Jax)",
        "Parameters (PyTorch)",
        "Parameters (Jax)",
    ]
    note = f"Hours per scene; the published ones are of {PUBLISHED_BUDGET} on {HARDWARE}."
    return ["### Cost", _markdown(rows, headers, left=1), note] if rows else []


def _markdown(rows: list[list], headers: list[str], left: int) -> str:
    align = ["left"] * left + ["right"] * (len(headers) - left)
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True, colalign=align)
