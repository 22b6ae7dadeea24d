"""The parts of an evaluation that are on the disk."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mipnerf.evaluation.shards import shard_names


def finished_shards(folder: Path, levels: Sequence[int], preferred: int = 1) -> list[str]:
    """The names of all parts of a run's evaluation where every part of every level is there, else none.

    Of several numbers of parts, the preferred is taken, or the largest.
    """
    # A run that one job evaluated costs one look, of which there may be thousands.
    if not (folder / f"level_{levels[0]}" / "shards").is_dir():
        return []
    found: dict[int, int] = defaultdict(int)
    for level in levels:
        for path in (folder / f"level_{level}" / "shards").glob("*_of_*.csv"):
            if match := re.fullmatch(r"\d+_of_(\d+)", path.stem):
                found[int(match[1])] += 1
    complete = [count for count, parts in found.items() if parts == count * len(levels)]
    return shard_names(preferred if preferred in complete else max(complete)) if complete else []
