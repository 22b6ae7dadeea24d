"""The configuration that Snakemake was given, on top of the workflow's own."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mipnerf.config.files import default_files, merged, read_values
from mipnerf.config.runs import retyped
from mipnerf.files import write_text

# In a file that holds all values, so that nothing is put under them.
COMPLETE = "is_complete"


def complete(given: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """`given` on top of the defaults: those in `folder`, and of the workflow where it has none, or where it is None."""
    if given.get(COMPLETE):
        return {key: value for key, value in given.items() if key != COMPLETE}
    return merged(read_values(default_files(folder)), given)


def typed_part(given: Mapping[str, Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """`typed` of a module's configuration, which may be any part of that of its workflow, to which `words` belong."""
    result = typed(given, words)
    for part in words.values():
        if isinstance(part, Mapping):
            result = typed_part(result, part)
    return result


def typed(given: Mapping[str, Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """`given`, where what `--config` said is numbers; Snakemake leaves them as `words` within `key={...}`."""
    result = dict(given)
    for key, word in words.items():
        if key not in given:
            continue
        if given[key] == word:
            result[key] = retyped(word)
        elif isinstance(given[key], Mapping) and isinstance(word, Mapping):
            result[key] = typed(given[key], word)
    return result


def write_complete(values: Mapping[str, Any], folder: Path) -> Path:
    """Write a file that means `values`, whatever becomes of those that they came from; other values have another."""
    text = json.dumps({COMPLETE: True, **values}, indent=2) + "\n"
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    write_text(path, text)
    return path
