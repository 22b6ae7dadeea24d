"""`metrics.csv` and its like, row by row and strict; without pandas, which evaluations would wait for.

`metrics.csv` is long form, one number a row: dataset, variant, scene, level (0 = full resolution, each further one half
of the last), view (index in the test split), metric, value.
"""

import csv
import io
import logging
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mipnerf.errors import DataError
from mipnerf.files import write_text

log = logging.getLogger(__name__)
COLUMNS = ["dataset", "variant", "scene", "level", "view", "metric", "value"]
MAX_LEVELS = 8
Cell = str | int | float


@dataclass(frozen=True)
class Metric:
    """How a metric is titled, rounded and compared."""

    title: str
    decimals: int
    higher_is_better: bool

    @property
    def better(self) -> Literal["higher", "lower"]:
        """Which of two values is the better one."""
        return "higher" if self.higher_is_better else "lower"


QUALITY = ("psnr", "ssim", "lpips")  # what the paper tells of images
METRICS = {
    "psnr": Metric("PSNR", 2, True),
    "ssim": Metric("SSIM", 4, True),
    "lpips": Metric("LPIPS", 4, False),
    "seconds_per_megapixel": Metric("Seconds per megapixel", 2, False),
}


def collect_metrics(files: Sequence[Path], output: Path, older_than: Path) -> None:
    """Write all rows of `files` to `output`; for whoever goes by their age, `files` become older than another file."""
    rows = parse_metrics((file, read_text(file)) for file in files)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *rows])
    write_text(output, stream.getvalue())
    log.info("wrote %s: %d values of %d files", output, len(rows), len(files))
    seconds = older_than.stat().st_mtime - 1
    for file in files:
        os.utime(file, (seconds, seconds))


def parse_metrics(sources: Iterable[tuple[Path, str]]) -> list[tuple[Cell, ...]]:
    """The rows of files, by their texts.

    Raises `DataError`, naming file and line, for another header, a mistyped, missing or non-finite cell, an unknown
    metric, or a second value of the same thing.
    """
    records: dict[tuple[str | int, ...], tuple[str, float]] = {}
    for path, text in sources:
        for where, cells in rows_below(path, text, COLUMNS):
            key, value = _metric_key(where, cells), finite(where, "value", cells[-1])
            if key in records:
                raise DataError(
                    f"{where}: repeats {', '.join(map(str, key))} of {records[key][0]}; keep one of the two"
                )
            records[key] = (where, value)
    return [(*key, value) for key, (_, value) in records.items()]


def _metric_key(where: str, cells: list[str]) -> tuple[str | int, ...]:
    for column, name in zip(COLUMNS[:3], cells, strict=False):
        if not name.strip():
            raise DataError(f"{where}: the {column} is empty; every row must name its dataset, variant and scene")
    level, view = integer(where, "level", cells[3]), integer(where, "view", cells[4])
    if level >= MAX_LEVELS:
        raise DataError(f"{where}: level {level} is unknown; allowed are 0 (full resolution) to {MAX_LEVELS - 1}")
    if cells[5] not in METRICS:
        raise DataError(f"{where}: metric {cells[5]!r} is unknown; allowed are {', '.join(METRICS)}")
    return (*cells[:3], level, view, cells[5])


def read_text(path: Path) -> str:
    """The text of a file, or a `DataError`."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run the step that writes it") from error


def rows_below(
    path: Path, text: str, columns: list[str], may_be_empty: bool = False
) -> Iterator[tuple[str, list[str]]]:
    """Yield (file:line, cells) below a header that must be `columns`."""
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader, [])
    if header != columns:
        raise DataError(f"{path}:1: the header is {','.join(header)!r}, but must be {','.join(columns)!r}")
    cells = None
    for cells in reader:
        where = f"{path}:{reader.line_num}"
        if len(cells) != len(columns):
            raise DataError(f"{where}: has {len(cells)} cells instead of {len(columns)}; is the file cut off?")
        yield where, cells
    if cells is None and not may_be_empty:
        raise DataError(f"{path}:1: holds a header and no rows; run the step that writes it again")


def integer(where: str, column: str, text: str) -> int:
    """A cell as a whole number, or a `DataError`."""
    if not (text.isascii() and text.isdigit()):
        raise DataError(f"{where}: {column} is {text!r}, but must be an integer of at least 0")
    return int(text)


def finite(where: str, column: str, text: str) -> float:
    """A cell as a finite number, or a `DataError`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {column} is {text!r}, but must be a finite number")
    return value
