"""The history of a training for TensorBoard, made anew at every start, so that no step is there twice or missing."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mipnerf.config import OperationConfig
from mipnerf.history import HistoryRow, ValidationRow, level_columns, read_rows, read_validation
from mipnerf.thirdparty import require_package

TAGS = {"loss": "train/loss", "psnr": "train/psnr", "lr": "train/lr", "rays_per_s": "train/rays_per_s"}


def check_events(operation: OperationConfig) -> None:
    """`ConfigError` where events are asked for and cannot be written."""
    if operation.tensorboard:
        require_package("tensorboardX")


class EventLog:
    """An event file in `folder` with all rows of `history` and `validation`, and those that are added; older files go.

    Written in this thread: a full disk is an error of the training, and not of a thread that nobody asks.
    """

    def __init__(self, folder: Path, history: Path, validation: Path):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        folder.mkdir(parents=True, exist_ok=True)
        older = list(folder.glob("events.out.tfevents.*"))
        self._writer = EventsWriter(str(folder / "events"), f".{time.time_ns()}")
        # A TensorBoard that shows the older files forgets what is in them.
        self._write(0, time.time(), session_log=SessionLog(status=SessionLog.START))
        rows = read_rows(history)
        for row in rows:
            self._write_row(row, time.time() - (rows[-1].seconds - row.seconds))
        self.add_validation(read_validation(validation))
        self._writer.flush()
        for path in older:
            path.unlink(missing_ok=True)

    def add(self, row: HistoryRow) -> None:
        """Show a row."""
        self._write_row(row, time.time())
        self._writer.flush()

    def add_validation(self, rows: Sequence[ValidationRow]) -> None:
        """Show the scores of validation views."""
        for row in rows:
            scores = {"psnr": row.psnr} | ({} if row.ssim is None else {"ssim": row.ssim})
            values = {f"validation/{name}_view_{row.view}": score for name, score in scores.items()}
            self._write_values(row.step, time.time(), values)
        self._writer.flush()

    def _write_row(self, row: HistoryRow, wall_time: float) -> None:
        losses = zip(level_columns(len(row.losses)), row.losses, strict=True)
        values = {tag: getattr(row, name) for name, tag in TAGS.items()}
        self._write_values(row.step, wall_time, values | {f"train/{name}": loss for name, loss in losses})

    def _write_values(self, step: int, wall_time: float, values: Mapping[str, float]) -> None:
        from tensorboardX.proto.summary_pb2 import Summary

        content = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._write(step, wall_time, summary=Summary(value=content))

    def _write(self, step: int, wall_time: float, **content) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._writer.write_event(Event(step=step, wall_time=wall_time, **content))
