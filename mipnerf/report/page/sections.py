"""What the page says of each dataset: its tables, what limits them, and its figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mipnerf.report.conditions import departures, unofficial
from mipnerf.report.frame import SHOWN, Run, format_value, level_name
from mipnerf.report.reference import MEAN
from mipnerf.report.summary import ordered_metrics
from mipnerf.report.table import MISSING, Cell, Column, Table, ranked

CAPTIONS = {
    "levels": "Quality at each resolution: solid what was measured here, dotted what was published.",
    "history": "Training: the PSNR of the batches against steps and against time.",
    "strip": "One test view: the truth, each variant's rendering and its error, a row for each resolution.",
}


@dataclass(frozen=True)
class Figure:
    """A picture in a file, PNG or SVG, and what it shows."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Dataset:
    """The part of the page that one dataset has."""

    name: str
    summary: str
    tables: Sequence[Table]
    warnings: Sequence[str]
    figures: Sequence[Figure]


def dataset_section(name: str, runs: Sequence[Run], tidy: pd.DataFrame, figures: Sequence[Figure]) -> Dataset:
    """The part of dataset `name`, whose `runs` and `figures` these are; `tidy` as `summarise` gives it, of all."""
    results = tidy[tidy["dataset"] == name]
    tables = [metric_table(name, results[results["metric"] == metric], metric) for metric in ordered_metrics(results)]
    return Dataset(name, summary_of(name, results), tables, warnings_of(list(runs), results), figures)


def warnings_of(runs: list[Run], results: pd.DataFrame) -> list[str]:
    """What limits the comparison with published numbers, a sentence each."""
    differing = departures(runs) if results["jax"].notna().any() else None
    comparison = f"Published numbers are not directly comparable: {differing}" if differing else None
    return [sentence.replace("**", "") for sentence in (unofficial(runs), comparison) if sentence]


def metric_table(dataset: str, results: pd.DataFrame, metric: str) -> Table:
    """One metric of all scenes and variants at every level, their average and the published one."""
    shown, levels = SHOWN[metric], sorted(set(results["level"]) - {MEAN})
    better = "higher" if shown.higher_is_better else "lower"
    columns = [
        *(Column(title, align="left") for title in ("Scene", "Variant")),
        *(Column(level_name(int(level)), better=better) for level in levels),
        Column("Average", better=better),
        *(Column(title, group="Published (JAX)") for title in ("average", "difference")),
    ]
    if results["jax"].isna().all():
        columns = columns[:-2]
    rows: list[list[Cell]] = []
    breaks = []
    for scene, of_scene in results.groupby("scene", sort=False):
        breaks.append(len(rows))
        block = []
        for variant, values in of_scene.groupby("variant", sort=False):
            by_level = values.set_index("level")
            cells = [value_cell(metric, by_level.at[level, "value"]) for level in [*levels, MEAN]]
            published = [value_cell(metric, by_level.at[MEAN, "jax"]), delta_cell(metric, by_level.at[MEAN, "delta"])]
            block.append([Cell(str(scene)), Cell(str(variant)), *cells, *published][: len(columns)])
        rows += ranked(block, columns)
    unit = " (dB)" if metric == "psnr" else ""
    return Table(f"{dataset}_{metric}", f"{shown.title}{unit}, {better} is better", columns, rows, (), breaks)


def value_cell(metric: str, value: float) -> Cell:
    """A value as the tables show it, or a dash."""
    return Cell(format_value(metric, value), None if pd.isna(value) else float(value))


def delta_cell(metric: str, value: float) -> Cell:
    """A signed difference, or a dash."""
    return Cell(MISSING) if pd.isna(value) else Cell(f"{value:+.{SHOWN[metric].decimals}f}", float(value))


def summary_of(dataset: str, results: pd.DataFrame) -> str:
    """Which variant has the best average PSNR, and by how much, as one sentence."""
    averages = results[(results["metric"] == "psnr") & (results["level"] == MEAN)]
    if (averages["scene"] == MEAN).any():
        averages = averages[averages["scene"] == MEAN]
    means = averages.groupby("variant", sort=False)["value"].mean().dropna().sort_values(ascending=False)
    if means.empty:
        return f"On {dataset}, no variant is complete."
    best, *others = means.items()
    text = f"On {dataset}, {best[0]} reaches an average PSNR of {format_value('psnr', best[1])} dB"
    if not others:
        return text + "."
    second = f"{others[0][0]} ({format_value('psnr', others[0][1])} dB)"
    return f"{text}, the best of {1 + len(others)} variants, before {second}."
