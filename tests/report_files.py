"""Which files the tables of a report are, below the folder of results."""

from collections.abc import Iterable

from mipnerf.report.names import table_names

FORMATS = ("md", "csv", "tex", "html")


def table_files(datasets: Iterable[str]) -> list[str]:
    """Every file of the tables of some datasets."""
    files = [f"tables/{name}.{ending}" for dataset in datasets for name in table_names(dataset) for ending in FORMATS]
    return [*[f"table.{ending}" for ending in FORMATS], *files, "verdict.md", "verdict.csv"]
