"""A table as it is shown, whatever the format: `mipnerf.report.tables.formats` writes it, other modules fill it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

MISSING = "—"
# A row says in this column whose numbers it has: ours, published ones under their name, or how ours differ from them.
SOURCE, OURS, JAX, DELTA = "Source", "ours", "Jax", "delta"
RANKS = "Bold, underlined, italic: the best, second and third"


def rounded(value: float | None, decimals: int, signed: bool = False) -> str:
    """`value` with so many decimals, a dash for none: the only place that rounds."""
    if value is None or math.isnan(value):
        return MISSING
    return f"{value:+z.{decimals}f}" if signed else f"{value:.{decimals}f}"


def decimals_of(text: str) -> int:
    """How many decimals a number was published with."""
    return len(text.partition(".")[2])


@dataclass(frozen=True)
class Column:
    """A column; neighbours of the same `group` share that word as a heading above their titles."""

    title: str
    group: str = ""
    align: Literal["left", "right"] = "right"
    better: Literal["higher", "lower"] | None = None

    @property
    def name(self) -> str:
        """Group and title in one line."""
        return f"{self.group} {self.title}".strip()

    @property
    def plain_name(self) -> str:
        """`name` without the arrows that tell which is better."""
        return " ".join(self.name.replace("↑", "").replace("↓", "").split())


@dataclass(frozen=True)
class Cell:
    """What one cell shows: `text`, already rounded, and `spread`, which comes after a ±.

    `number` is the value unrounded. `rank` 1, 2 or 3 is the best, second or third of its column. `verdict` is a word of
    `mipnerf.report.tables.verdict` on a number that is held against a published one, else empty; `reason` a sentence on
    it.
    """

    text: str
    number: float | None = None
    spread: str = ""
    rank: int | None = None
    verdict: str = ""
    reason: str = ""

    @property
    def full_text(self) -> str:
        """`text` with its spread."""
        return f"{self.text} ± {self.spread}" if self.spread else self.text


def seeds_cell(value: float, spread: float, seeds: float, all_seeds: int, decimals: int) -> Cell:
    """A mean over `seeds` with its spread, which is NaN for one of them; where others lack the value, it says so."""
    if math.isnan(value):
        return Cell(MISSING)
    note = f" ({seeds:.0f} of {all_seeds} seeds)" if seeds < all_seeds else ""
    if math.isnan(spread):
        return Cell(rounded(value, decimals) + note, value)
    return Cell(rounded(value, decimals), value, rounded(spread, decimals) + note)


@dataclass(frozen=True)
class Table:
    """Rows of cells, one for each column; `name` is a file's stem, `notes` are sentences below the table.

    In notes, two asterisks on both sides make words bold. `breaks` are the rows, by index, that begin a new block.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    breaks: Sequence[int] = field(default=())

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), self.name


def ranked(rows: Sequence[Sequence[Cell]], columns: Sequence[Column], places: int = 3) -> list[list[Cell]]:
    """`rows` with the best `places` cells of each column marked, where at least two have a number.

    Cells that show the same digits share a rank, and the next one comes after all of them.
    """
    result = [list(row) for row in rows]
    for j, column in enumerate(columns):
        if column.better is None:
            continue
        shown = {i: float(row[j].text.split()[0]) for i, row in enumerate(result) if row[j].number is not None}
        if len(shown) < 2:
            continue
        sign = -1 if column.better == "higher" else 1
        for i, value in shown.items():
            rank = 1 + sum(sign * other < sign * value for other in shown.values())
            if rank <= places:
                result[i][j] = replace(result[i][j], rank=rank)
    return result
