"""The record of a training: one row every so many steps, appended as it goes, and the line that a person reads."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from mipnerf.files import write_text


@dataclass(frozen=True)
class HistoryRow:
    """Means over the steps since the row before; `seconds` counts all training so far, resumed or not.

    `losses` are those of the sampling levels, the coarsest first: the squared error summed over three channels, as the
    reference logs it. `loss` is the last, plus `coarse_loss_mult` times the others. Files call them loss_0, loss_1, ...
    """

    step: int
    loss: float
    psnr: float
    lr: float
    rays_per_s: float
    seconds: float
    losses: tuple[float, ...] = ()


@dataclass(frozen=True)
class ValidationRow:
    """One view after a step; `seconds` are those of training until then. No SSIM for images smaller than its window."""

    step: int
    level: int
    view: int
    psnr: float
    ssim: float | None
    seconds: float


COLUMNS = [field.name for field in fields(HistoryRow)][:-1]
VALIDATION_COLUMNS = [field.name for field in fields(ValidationRow)]
TAIL_BYTES = 4096  # which hold several rows


def level_columns(count: int) -> list[str]:
    """The names of the losses of so many sampling levels."""
    return [f"loss_{level}" for level in range(count)]


def append_row(path: Path, row: HistoryRow) -> None:
    """Add a row, after a header where the file is new."""
    is_new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if is_new:
            writer.writerow([*COLUMNS, *level_columns(len(row.losses))])
        writer.writerow(_cells(row))


def read_rows(path: Path) -> list[HistoryRow]:
    """The rows of a history; a last line that a kill cut short is left out."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as stream:
        header, *records = list(csv.reader(stream)) or [[]]
        return _parse([record for record in records if len(record) == len(header)])


def last_row(path: Path) -> HistoryRow | None:
    """The newest row of a history, however long that is; None where there is none."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()[1:]
    except OSError:
        return None
    rows = _parse(list(csv.reader(lines)))
    return rows[-1] if rows else None


def _cells(row: HistoryRow, num_losses: int | None = None) -> list[str]:
    """All numbers of a row as they round-trip; losses that it does not have are empty."""
    count = len(row.losses) if num_losses is None else num_losses
    losses = [*map(repr, row.losses), *[""] * count][:count]
    return [*(repr(getattr(row, name)) for name in COLUMNS), *losses]


def _parse(records: list[list[str]]) -> list[HistoryRow]:
    rows = []
    for record in records:
        try:
            step, *values = record[: len(COLUMNS)]
            losses = tuple(float(cell) for cell in record[len(COLUMNS) :] if cell)
            loss, psnr, lr, rays_per_s, seconds = map(float, values)
            rows.append(HistoryRow(int(step), loss, psnr, lr, rays_per_s, seconds, losses))
        except (ValueError, TypeError):
            continue
    return rows


def write_rows(path: Path, rows: Sequence[HistoryRow], num_levels: int = 0) -> None:
    """Atomically write a whole history, with a column for each of at least so many sampling levels."""
    count = max([num_levels, *(len(row.losses) for row in rows)])
    lines = [",".join([*COLUMNS, *level_columns(count)]), *(",".join(_cells(row, count)) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def truncate(path: Path, last_step: int, num_levels: int = 0) -> None:
    """Drop the rows after `last_step`, which a resumed run of so many sampling levels will write again."""
    rows = [row for row in read_rows(path) if row.step <= last_step]
    if rows:
        write_rows(path, rows, num_levels)
    else:
        path.unlink(missing_ok=True)


def read_validation(path: Path) -> list[ValidationRow]:
    """The rows of a validation.csv, without a last line that a kill cut short; none where there is no file."""
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            records = list(csv.DictReader(stream))
    except OSError:
        return []
    rows = []
    for record in records:
        try:
            step, level, view = (int(record[name]) for name in VALIDATION_COLUMNS[:3])
            ssim = float(record["ssim"]) if record["ssim"] else None
            rows.append(ValidationRow(step, level, view, float(record["psnr"]), ssim, float(record["seconds"])))
        except (KeyError, TypeError, ValueError):
            continue
    return rows


def validation_means(rows: Sequence[ValidationRow]) -> dict[int, float]:
    """The mean PSNR of the views by step."""
    psnrs: dict[int, list[float]] = {}
    for row in rows:
        psnrs.setdefault(row.step, []).append(row.psnr)
    return {step: sum(of_step) / len(of_step) for step, of_step in psnrs.items()}


def write_validation(path: Path, rows: Sequence[ValidationRow]) -> None:
    """Atomically write a whole validation.csv."""
    lines = [",".join("" if value is None else repr(value) for value in astuple(row)) for row in rows]
    write_text(path, "\n".join([",".join(VALIDATION_COLUMNS), *lines]) + "\n")


def truncate_validation(path: Path, last_step: int) -> None:
    """Drop the rows of a validation.csv after `last_step`, which a resumed run will write again."""
    if path.exists():
        write_validation(path, [row for row in read_validation(path) if row.step <= last_step])


def picture_name(step: int, view: int) -> str:
    """The file of a validation view after a step."""
    return f"{step:08d}_{view:03d}.png"


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
