"""The configuration that Snakemake was given, on top of the workflow's own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mipnerf.configfiles import default_files, merged, read_mapping
from mipnerf.files import write_text

# In a file that holds all values, so that nothing is put under them.
COMPLETE = "is_complete"


def complete(given: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """`given` on top of the defaults: those in `folder`, and of the workflow where it has none, or where it is None."""
    if given.get(COMPLETE):
        return {key: value for key, value in given.items() if key != COMPLETE}
    values: dict[str, Any] = {}
    for path in default_files(folder):
        values = merged(values, read_mapping(path))
    return merged(values, given)


def write_complete(values: Mapping[str, Any], path: Path) -> None:
    """Write a configuration file that means `values`, whatever becomes of the files that they came from."""
    write_text(path, json.dumps({COMPLETE: True, **values}, indent=2) + "\n")
