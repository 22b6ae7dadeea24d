"""What the page says of each dataset: its tables, the best variant, and its figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mipnerf.report.figures.kinds import FIGURES
from mipnerf.report.frame import Run, format_value, level_name, ordered_names
from mipnerf.report.names import title_of
from mipnerf.report.page.budget import ENCODED, FIGURE_BYTES, fitting
from mipnerf.report.page.data import contrast_of, mean_psnr
from mipnerf.report.reference import MEAN, Reference
from mipnerf.report.tables.paper import paper_report
from mipnerf.report.tables.short import dataset_tables
from mipnerf.report.tables.table import Cell, Column, Table, ranked
from mipnerf.report.tables.verdict import Comparison

AVERAGE = "Average"


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
    """The part of the page that one dataset has: the main tables, those of single metrics, of costs and of runs.

    `means` is the small table of the first screen.
    """

    name: str
    summary: str
    means: Table
    tables: Sequence[Table]
    metrics: Sequence[Table]
    costs: Sequence[Table]
    runs: Sequence[Table]
    comparisons: Sequence[Comparison]
    figures: Sequence[Figure]


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
        means=means_table(name, tidy[tidy["dataset"] == name], ordered_names(runs, "method")),
        tables=tables,
        metrics=metrics,
        costs=[table for table in others if table.name == f"{name}_cost"],
        runs=[table for table in others if table.name == f"{name}_runs"],
        comparisons=comparisons,
        figures=figures,
    )


def choose_figures(paths: Sequence[Path], datasets: Sequence[str], max_bytes: float = FIGURE_BYTES) -> list[Figure]:
    """The pictures with their captions, as the SVG beside a PNG where there is one; shown as far as there is room."""
    drawings = [drawing if (drawing := path.with_suffix(".svg")).exists() else path for path in paths]
    kept = fitting((ENCODED * file.stat().st_size if file.exists() else 0 for file in drawings), max_bytes)
    names = [dataset_of(path, datasets) for path in paths]
    return [
        Figure(file, name, *titles_of(path, name), i in kept)
        for i, (path, file, name) in enumerate(zip(paths, drawings, names, strict=True))
    ]


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


def means_table(name: str, results: pd.DataFrame, methods: Sequence[str]) -> Table:
    """PSNR by method and level, the mean over the scenes where there are several, and the published average."""
    psnr = mean_psnr(results).reindex(methods)
    levels = [level for level in psnr.columns if level != MEAN]
    is_mean = (results["scene"] == MEAN).any()
    jax = results[(results["metric"] == "psnr") & (results["level"] == MEAN)]
    jax = jax[jax["scene"] == MEAN] if is_mean else jax
    published = jax.drop_duplicates("variant").set_index("variant")["jax"].reindex(methods)
    titles = [*(level_name(int(level)) for level in levels), *[AVERAGE] * (len(levels) > 1)]
    columns = [Column(title, better="higher") for title in titles]
    shown = [*levels, MEAN][: len(columns)]
    cells = [[_psnr_cell(value) for value in psnr.loc[method, shown]] for method in methods]
    rows = [
        [Cell(title_of(method)), *numbers] for method, numbers in zip(methods, ranked(cells, columns, 1), strict=True)
    ]
    heads = [Column("Variant", align="left"), *columns]
    if published.notna().any():
        heads.append(Column("Average (Jax)"))
        rows = [[*row, _psnr_cell(published[method])] for row, method in zip(rows, methods, strict=True)]
    over = f", mean over {results['scene'].nunique() - 1} scenes" if is_mean else " by resolution"
    return Table(f"{name}_means", f"{name}: PSNR{over}", heads, rows)


def _psnr_cell(value: float) -> Cell:
    return Cell(format_value("psnr", value), None if pd.isna(value) else float(value))


def summary_of(dataset: str, results: pd.DataFrame) -> str:
    """Which method has the best average PSNR, and its lead at the finest and the coarsest level, as one sentence."""
    psnr = mean_psnr(results)
    contrast = [method for method in contrast_of(results, list(psnr.index)) if method in psnr.index]
    if psnr[MEAN].isna().all():
        return f"On {dataset}, no variant has an average PSNR yet."
    means = psnr[MEAN].dropna()
    best = f"{title_of(contrast[0])} ({format_value('psnr', means[contrast[0]])} dB)"
    if len(contrast) == 1:
        return f"On {dataset}, the average PSNR is that of {best}."
    levels = [level for level in psnr.columns if level != MEAN]
    # As the table shows them, so that whoever subtracts finds the same.
    best_psnr, other_psnr = (psnr.loc[method, levels].round(2) for method in contrast[:2])
    gaps = best_psnr - other_psnr
    lead = f"On {dataset}, {best} has the best average PSNR of {len(means)} variants"
    other = title_of(contrast[1])
    if gaps.isna().any():
        return f"{lead}."
    if len(levels) == 1:
        return _sentence(f"{lead}, {_decibels(gaps.iloc[0])} than {other}")
    fine, coarse = (f"{_decibels(gaps[i])} at {level_name(int(i))}" for i in (levels[0], levels[-1]))
    return _sentence(f"{lead}; it has {fine} and {coarse} than {other}")


def _sentence(words: str) -> str:
    """With one full stop, also after an abbreviation."""
    return words.removesuffix(".") + "."


def _decibels(gap: float) -> str:
    return f"{format_value('psnr', abs(gap))} dB {'more' if gap >= 0 else 'less'}"
