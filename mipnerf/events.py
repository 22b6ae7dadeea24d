"""The history of a training for TensorBoard, made anew at every start, so that no step is there twice or missing."""

import time
from pathlib import Path

from mipnerf.config import OperationConfig
from mipnerf.history import HistoryRow, read_rows
from mipnerf.thirdparty import require_package

TAGS = {"loss": "train/loss", "psnr": "train/psnr", "lr": "train/lr", "rays_per_s": "train/rays_per_s"}


def check_events(operation: OperationConfig) -> None:
    """`ConfigError` where events are asked for and cannot be written."""
    if operation.tensorboard:
        require_package("tensorboardX")


class EventLog:
    """An event file in `folder` with all rows of the `history`, and those that are added; older files go.

    Written in this thread: a full disk is an error of the training, and not of a thread that nobody asks.
    """

    def __init__(self, folder: Path, history: Path):
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
        self._writer.flush()
        for path in older:
            path.unlink(missing_ok=True)

    def add(self, row: HistoryRow) -> None:
        """Show a row."""
        self._write_row(row, time.time())
        self._writer.flush()

    def _write_row(self, row: HistoryRow, wall_time: float) -> None:
        from tensorboardX.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=getattr(row, name)) for name, tag in TAGS.items()]
        self._write(row.step, wall_time, summary=Summary(value=values))

    def _write(self, step: int, wall_time: float, **content) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._writer.write_event(Event(step=step, wall_time=wall_time, **content))
