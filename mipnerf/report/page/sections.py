"""What the page says of each dataset: its tables, the best variant, and its figures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mipnerf.report.figures.kinds import FIGURES
from mipnerf.report.frame import Run, format_value
from mipnerf.report.page.images import ENCODED
from mipnerf.report.reference import MEAN, Reference
from mipnerf.report.tables.paper import paper_report
from mipnerf.report.tables.short import dataset_tables
from mipnerf.report.tables.table import Table
from mipnerf.report.tables.verdict import Comparison

FIGURE_BYTES = 12 << 20  # of all figures, as they stand in the page
OPEN_ROWS = 40  # of all tables that can be folded, above which they are


@dataclass(frozen=True)
class Figure:
    """A picture of a dataset in a file, PNG or SVG, what it shows, and whether there was room for it."""

    path: Path
    dataset: str
    title: str
    caption: str
    is_shown: bool = True


@dataclass(frozen=True)
class Dataset:
    """The part of the page that one dataset has: the main tables, those of single metrics, of costs and of runs."""

    name: str
    summary: str
    tables: Sequence[Table]
    metrics: Sequence[Table]
    costs: Sequence[Table]
    runs: Sequence[Table]
    comparisons: Sequence[Comparison]
    figures: Sequence[Figure]

    @property
    def is_short(self) -> bool:
        """Whether the tables of single metrics can be shown at once."""
        return sum(len(table.rows) for table in self.metrics) <= OPEN_ROWS


def dataset_section(
    name: str, runs: list[Run], tidy: pd.DataFrame, reference: Reference, figures: Sequence[Figure], reason: str | None
) -> Dataset:
    """The part of dataset `name`, whose `runs` and `figures` these are.

    `tidy` is what `summarise` gives for all runs, `reason` why LPIPS could not be measured.
    """
    tables, comparisons = paper_report(runs, reference)
    others = dataset_tables(runs, tidy, name, reference, reason)
    metrics = [table for table in others if table.name not in (f"{name}_runs", f"{name}_cost")]
    return Dataset(
        name=name,
        summary=summary_of(name, tidy[tidy["dataset"] == name]),
        tables=tables,
        metrics=metrics,
        costs=[table for table in others if table.name == f"{name}_cost"],
        runs=[table for table in others if table.name == f"{name}_runs"],
        comparisons=comparisons,
        figures=figures,
    )


def choose_figures(paths: Iterable[Path], datasets: Sequence[str], max_bytes: float = FIGURE_BYTES) -> list[Figure]:
    """The pictures with their captions, as the SVG beside a PNG where there is one; shown as far as there is room."""
    figures, left = [], max_bytes
    for path in paths:
        drawing = path.with_suffix(".svg")
        chosen = drawing if drawing.exists() else path
        num_bytes = ENCODED * chosen.stat().st_size if chosen.exists() else 0
        is_shown = num_bytes <= left
        left -= num_bytes * is_shown
        dataset = dataset_of(path, datasets)
        figures.append(Figure(chosen, dataset, *titles_of(path, dataset), is_shown))
    return figures


def dataset_of(path: Path, datasets: Sequence[str]) -> str:
    """The dataset that the file name begins with: the longest, as one name may begin with another."""
    return max((dataset for dataset in datasets if path.name.startswith(f"{dataset}_")), key=len, default="")


def titles_of(path: Path, dataset: str) -> tuple[str, str]:
    """The title and the caption of a picture, by the kind that ends its name; the title says of which scene it is."""
    scene, _, name = path.stem.removeprefix(f"{dataset}_").rpartition("_")
    kind = FIGURES.get(name)
    if kind is None:
        return path.stem, ""
    return kind.title + (f": {scene}" if scene else ""), kind.caption


def summary_of(dataset: str, results: pd.DataFrame) -> str:
    """Which variant has the best average PSNR, and which comes after it, as one sentence."""
    averages = results[(results["metric"] == "psnr") & (results["level"] == MEAN)]
    if (averages["scene"] == MEAN).any():
        averages = averages[averages["scene"] == MEAN]
    means = averages.set_index("variant")["value"].dropna().sort_values(ascending=False, kind="stable")
    if means.empty:
        return f"On {dataset}, no variant has an average PSNR yet."
    named = [f"{variant} ({format_value('psnr', value)} dB)" for variant, value in means.items()]
    if len(named) == 1:
        return f"On {dataset}, the average PSNR is that of {named[0]}."
    return f"On {dataset}, {named[0]} has the best average PSNR of {len(named)} variants, before {named[1]}."
