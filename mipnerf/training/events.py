"""The history of a training for TensorBoard, made anew at every start, so that no step is there twice or missing."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mipnerf.config import OperationConfig
from mipnerf.datasets.images import image_size
from mipnerf.thirdparty import require_package
from mipnerf.training.history import HistoryRow, ValidationRow, level_columns, picture_name, read_rows, read_validation

TAGS = {"loss": "train/loss", "psnr": "train/psnr", "lr": "train/lr", "rays_per_s": "train/rays_per_s"}


def check_events(operation: OperationConfig) -> None:
    """`ConfigError` where events are asked for and cannot be written."""
    if operation.tensorboard:
        require_package("tensorboardX")


class EventLog:
    """An event file in `folder` with all rows of `history` and `validation`, and those that are added; older files go.

    Validation views are shown as far as `pictures` has them. Written in this thread: a full disk is an error of the
    training, and not of a thread that nobody asks.
    """

    def __init__(self, folder: Path, history: Path, validation: Path, pictures: Path):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        folder.mkdir(parents=True, exist_ok=True)
        older = list(folder.glob("events.out.tfevents.*"))
        self._pictures = pictures
        self._writer = EventsWriter(str(folder / "events"), f".{time.time_ns()}")
        # A TensorBoard that shows the older files forgets what is in them.
        self._write(0, time.time(), session_log=SessionLog(status=SessionLog.START))
        rows: list[HistoryRow | ValidationRow] = [*read_rows(history), *read_validation(validation)]
        last = max((row.seconds for row in rows), default=0.0)
        for row in sorted(rows, key=lambda row: row.seconds):
            self._write_row(row, time.time() - (last - row.seconds))
        self._writer.flush()
        for path in older:
            path.unlink(missing_ok=True)

    def add(self, row: HistoryRow) -> None:
        """Show a row."""
        self._write_row(row, time.time())
        self._writer.flush()

    def add_validation(self, rows: Sequence[ValidationRow]) -> None:
        """Show validation views and their scores."""
        for row in rows:
            self._write_row(row, time.time())
        self._writer.flush()

    def _write_row(self, row: HistoryRow | ValidationRow, wall_time: float) -> None:
        from tensorboardX.proto.summary_pb2 import Summary

        values = _scalars(row) if isinstance(row, HistoryRow) else _scores(row)
        content = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        if isinstance(row, ValidationRow) and (path := self._pictures / picture_name(row.step, row.view)).exists():
            width, height = image_size(path)
            image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=path.read_bytes())
            content.append(Summary.Value(tag=f"validation/view_{row.view}", image=image))
        self._write(row.step, wall_time, summary=Summary(value=content))

    def _write(self, step: int, wall_time: float, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._writer.write_event(Event(step=step, wall_time=wall_time, **content))


def _scalars(row: HistoryRow) -> dict[str, float]:
    losses = zip(level_columns(len(row.losses)), row.losses, strict=True)
    return {tag: getattr(row, name) for name, tag in TAGS.items()} | {f"train/{name}": loss for name, loss in losses}


def _scores(row: ValidationRow) -> dict[str, float]:
    scores = {"psnr": row.psnr} | ({} if row.ssim is None else {"ssim": row.ssim})
    return {f"validation/{name}_view_{row.view}": score for name, score in scores.items()}
