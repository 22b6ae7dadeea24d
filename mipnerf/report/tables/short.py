"""The result tables, beside the published JAX averages, and what a reader must know about the runs to judge them."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import pandas as pd

from mipnerf.report.conditions import HARDWARE, PUBLISHED_BUDGET, costs_of, departures, facts_of, masked, unofficial
from mipnerf.report.frame import AVG_ERROR, SHOWN, Run, format_value, level_name, ordered_names
from mipnerf.report.reference import MEAN, Reference
from mipnerf.report.summary import PUBLISHED_LEVELS, SEED_COLUMNS, count_seeds, ordered_metrics
from mipnerf.report.tables.formats import to_markdown
from mipnerf.report.tables.table import Cell, Column, Table, ranked, seeds_cell

AVERAGE, JAX = "Average (PyTorch)", "Average (Jax)"


def tidy_tables(tidy: pd.DataFrame) -> pd.DataFrame:
    """The frame as it is written: where nothing has several seeds, there is nothing to say of them."""
    return tidy if (tidy["seeds"] > 1).any() else tidy.drop(columns=SEED_COLUMNS)


def markdown_tables(
    runs: list[Run],
    tidy: pd.DataFrame,
    reference: Reference,
    figures: Sequence[str] = (),
    lpips_reason: str | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The Markdown text of all datasets, with `notes` at its end.

    `figures` are links to pictures, each shown with the dataset that its file name begins with. `lpips_reason` says why
    LPIPS was asked for and could not be measured.
    """
    datasets = ordered_names(runs, "dataset")
    sections = []
    for dataset in datasets:
        links = [link for link in figures if _dataset_of(link, datasets) == dataset]
        parts = [f"## {dataset}"]
        for table in dataset_tables(runs, tidy, dataset, reference, lpips_reason):
            parts += [f"### {table.title.removeprefix(f'{dataset}: ')}", to_markdown(table), *table.notes]
        sections.append("\n\n".join(parts + [f"![{PurePosixPath(link).stem}]({link})" for link in links]))
    return "\n\n".join([*sections, *notes]) + "\n"


def dataset_tables(
    runs: list[Run], tidy: pd.DataFrame, dataset: str, reference: Reference, lpips_reason: str | None = None
) -> list[Table]:
    """A table for each metric, one of the runs, and one of what they cost, from the frame of `summarise`."""
    members = [run for run in runs if run.dataset == dataset]
    results = tidy[tidy["dataset"] == dataset]
    *metrics, last = ordered_metrics(results)
    tables = [_metric_table(members, results, metric) for metric in metrics]
    tables.append(_metric_table(members, results, last, [_legend(results, lpips_reason)]))
    return [*tables, _runs_table(members, _caveat(members, results)), *_cost_table(members, reference)]


def _dataset_of(link: str, datasets: list[str]) -> str:
    """The dataset that the file name begins with: the longest, as one name may begin with another."""
    name = PurePosixPath(link).name
    return max((dataset for dataset in datasets if name.startswith(f"{dataset}_")), key=len, default="")


def _metric_table(runs: list[Run], results: pd.DataFrame, metric: str, notes: Sequence[str] = ()) -> Table:
    results = results[results["metric"] == metric]
    num_levels = results["level"].nunique() - 1
    levels = [*map(str, range(max(PUBLISHED_LEVELS, num_levels) if num_levels else 0)), MEAN]
    better = SHOWN[metric].better
    columns = [Column(level_name(int(level)), better=better) for level in levels[:-1]] + [
        Column(AVERAGE, better=better)
    ]
    decimals, seeds = SHOWN[metric].decimals, count_seeds(runs)
    rows = []
    for scene, group in results.groupby("scene", sort=False):
        cells = []
        for variant, values in group.groupby("variant", sort=False):
            found = values.set_index("level").reindex(levels).itertuples()
            cells.append([seeds_cell(row.value, row.spread, row.seeds, seeds[variant], decimals) for row in found])
        jax = group[group["level"] == MEAN].set_index("variant")["jax"]
        for variant, numbers in zip(jax.index, ranked(cells, columns, places=1), strict=True):
            published = Cell(format_value(metric, jax[variant]), None if pd.isna(jax[variant]) else jax[variant])
            rows.append([Cell(scene), Cell(variant), *numbers, published])
    title = f"{runs[0].dataset}: {SHOWN[metric].title}"
    return Table(f"{runs[0].dataset}_{metric}", title, [*_left("Scene", "Variant"), *columns, Column(JAX)], rows, notes)


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
    if (most := results["seeds"].max()) > 1:
        sentences.append(f"Means over {most:.0f} seeds ± their standard deviation, where a variant has several.")
    if results["metric"].eq(AVG_ERROR).any():
        sentences.append("Average error: geometric mean of 10^(−PSNR/10), √(1 − SSIM) and LPIPS, each averaged first.")
    if results.loc[results["metric"] == "seconds_per_megapixel", "jax"].notna().any():
        sentences.append(f"The published seconds are those of {HARDWARE}.")
    if lpips_reason and results.loc[results["metric"] == "lpips", "value"].isna().any():
        sentences.append(f"LPIPS could not be measured: {lpips_reason}.")
    return " ".join(sentences)


def _runs_table(runs: list[Run], notes: Sequence[str]) -> Table:
    facts = [facts_of(run) for scene in ordered_names(runs, "scene") for run in runs if run.scene == scene]
    names = [name.capitalize() for name in facts[0]]
    rows = [[Cell(str(value)) for value in fact.values()] for fact in facts]
    columns = [*_left(*names[:2]), *map(Column, names[2:])]
    return Table(f"{runs[0].dataset}_runs", f"{runs[0].dataset}: Runs", columns, rows, notes)


def _caveat(runs: list[Run], results: pd.DataFrame) -> list[str]:
    """A sentence each if data are not the official ones, are masked, and if published numbers had other conditions."""
    differing = departures(runs) if results["jax"].notna().any() else None
    comparison = f"**{JAX} is not directly comparable:** {differing}" if differing else None
    return [sentence for sentence in (unofficial(runs), masked(runs), comparison) if sentence]


def _cost_table(runs: list[Run], reference: Reference) -> list[Table]:
    """What training took here and in the paper, where the paper says so."""
    rows = [[Cell(text) for text in row] for row in costs_of(runs, reference)]
    titles = ["Training hours (PyTorch)", "Training hours (Jax)", "Parameters (PyTorch)", "Parameters (Jax)"]
    columns = [*_left("Variant"), *map(Column, titles)]
    note = f"Hours per scene; the published ones are of {PUBLISHED_BUDGET} on {HARDWARE}."
    return [Table(f"{runs[0].dataset}_cost", f"{runs[0].dataset}: Cost", columns, rows, [note])] if rows else []


def _left(*titles: str) -> list[Column]:
    return [Column(title, align="left") for title in titles]
