"""The record of a training: one row every so many steps, appended as it goes, and the line that a person reads."""

import csv
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from mipnerf.files import write_text


@dataclass(frozen=True)
class HistoryRow:
    """Means over the steps since the row before; `seconds` counts all training so far, resumed or not."""

    step: int
    loss: float
    psnr: float
    lr: float
    rays_per_s: float
    seconds: float


COLUMNS = [field.name for field in fields(HistoryRow)]
TAIL_BYTES = 4096  # which hold several rows


def append_row(path: Path, row: HistoryRow) -> None:
    """Add a row, after a header where the file is new."""
    is_new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        if is_new:
            writer.writerow(COLUMNS)
        writer.writerow(astuple(row))


def read_rows(path: Path) -> list[HistoryRow]:
    """The rows of a history; a last line that a kill cut short is left out."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as stream:
        return _parse(list(csv.reader(stream))[1:])


def last_row(path: Path) -> HistoryRow | None:
    """The newest row of a history, however long that is; None where there is none."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()[1:]
    except OSError:
        return None
    return (_parse(list(csv.reader(lines))) or [None])[-1]


def _parse(records: list[list[str]]) -> list[HistoryRow]:
    rows = []
    for record in records:
        try:
            step, *values = record
            rows.append(HistoryRow(int(step), *map(float, values)))
        except (ValueError, TypeError):
            continue
    return rows


def write_rows(path: Path, rows: list[HistoryRow]) -> None:
    """Atomically write a whole history."""
    lines = [",".join(COLUMNS), *(",".join(map(repr, astuple(row))) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def truncate(path: Path, last_step: int) -> None:
    """Drop the rows after `last_step`, which a resumed run will write again."""
    rows = [row for row in read_rows(path) if row.step <= last_step]
    if rows:
        write_rows(path, rows)
    else:
        path.unlink(missing_ok=True)


def format_row(row: HistoryRow, max_steps: int) -> str:
    """`step 12,300/1,000,000 | loss 0.00112 | psnr 30.21 | lr 4.8e-04 | 118k rays/s | ETA 21:04:10`."""
    total = f"{max_steps:,}"
    speed = f"{row.rays_per_s / 1000:.1f}k" if row.rays_per_s >= 1000 else f"{row.rays_per_s:.0f}"
    return (
        f"step {row.step:>{len(total)},}/{total} | loss {row.loss:.5f} | psnr {row.psnr:.2f} | lr {row.lr:.1e} | "
        f"{speed} rays/s | ETA {format_duration(eta_seconds(row, max_steps))}"
    )


def eta_seconds(row: HistoryRow, max_steps: int) -> float:
    """Seconds to the end at the mean speed so far."""
    return row.seconds / row.step * (max_steps - row.step)


def format_duration(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, secs = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"
