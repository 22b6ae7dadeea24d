"""All tables of some runs as files, below one folder."""

from collections.abc import Sequence
from pathlib import Path

from mipnerf.files import write_text
from mipnerf.report.frame import Run, ordered_names
from mipnerf.report.progress import Progress
from mipnerf.report.reference import Reference
from mipnerf.report.summary import summarise
from mipnerf.report.tables.formats import html_page, latex_page, markdown_page, to_csv
from mipnerf.report.tables.paper import paper_report
from mipnerf.report.tables.short import dataset_tables, markdown_tables, tidy_tables
from mipnerf.report.tables.table import Table
from mipnerf.report.tables.verdict import Comparison, overall, verdict_frame, verdict_page


def write_tables(folder: Path, runs: list[Run], reference: Reference, progress: Sequence[Progress] = ()) -> str:
    """Write every table, the short one and the verdict; returns the overall verdict.

    `progress` is of runs that have no metrics yet: the tables say so.
    """
    report = paper_report(runs, reference, progress)
    for table in report[0]:
        write_table(folder / "tables", table)
    return _write_overview(folder, runs, reference, report, progress)


def write_table(folder: Path, table: Table) -> None:
    """Write one table in all formats."""
    write_formats(folder / table.name, [table], to_csv(table))


def write_overview(
    folder: Path, runs: list[Run], reference: Reference, figures: Sequence[str], lpips_reason: str | None
) -> str:
    """Write the short table and the verdict, with links to the tables, and return the overall verdict.

    `figures` are links, relative to `folder`.
    """
    return _write_overview(folder, runs, reference, paper_report(runs, reference), (), figures, lpips_reason)


def _write_overview(
    folder: Path,
    runs: list[Run],
    reference: Reference,
    report: tuple[list[Table], list[Comparison]],
    progress: Sequence[Progress],
    figures: Sequence[str] = (),
    lpips_reason: str | None = None,
) -> str:
    tables, comparisons = report
    write_text(folder / "verdict.csv", verdict_frame(comparisons).to_csv(index=False, lineterminator="\n"))
    write_text(folder / "verdict.md", verdict_page(comparisons, _waiting(progress)))
    tidy = summarise(runs, reference, asked=["lpips"] if lpips_reason else [])
    datasets = ordered_names(runs, "dataset")
    parts = [table for name in datasets for table in dataset_tables(runs, tidy, name, reference, lpips_reason)]
    links = [f"tables/{table.name}.md" for table in tables]
    text = markdown_tables(runs, tidy, reference, figures, lpips_reason, [*_waiting(progress), _pointer(links)])
    write_formats(folder / "table", parts, tidy_tables(tidy).to_csv(index=False, lineterminator="\n"), text)
    return overall(comparisons)


def write_formats(path: Path, tables: list[Table], csv: str, markdown: str | None = None) -> None:
    """Write `tables` to `path`.md, .csv, .tex and .html; `markdown` where that is not their plain sequence."""
    write_text(path.with_name(f"{path.name}.md"), markdown or markdown_page(tables))
    write_text(path.with_name(f"{path.name}.csv"), csv)
    write_text(path.with_name(f"{path.name}.tex"), latex_page(tables))
    write_text(path.with_name(f"{path.name}.html"), html_page(path.name, tables))


def _waiting(progress: Sequence[Progress]) -> list[str]:
    """What to say of runs that are not there yet."""
    if not progress:
        return []
    steps, planned = sum(run.step for run in progress), sum(run.max_steps for run in progress)
    return [
        f"**Not all runs are there:** {len(progress):,} have no metrics yet, with {steps:,} of {planned:,} steps done."
    ]


def _pointer(links: Sequence[str]) -> str:
    names = ", ".join(f"[{Path(link).stem}]({link})" for link in links)
    return f"More tables (each also as .csv, .tex and .html): {names}. Against the paper: [verdict](verdict.md)."
