"""The views of a level that are rendered and scored, one line each, so that a stopped evaluation can go on.

`views.jsonl` in the level's folder holds the lines; each shard adds its own to `shards/I_of_N.views.jsonl`, since no
two jobs may write one file. A line counts as long as the pictures of its view are those that it was written for: it
knows their digest. So no order of writing, no kill and no older line can give a view the scores of another picture.
"""

import hashlib
import json
import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import filelock
import imageio.v3 as iio
import numpy as np

from mipnerf.errors import Interrupted
from mipnerf.evaluation.shards import WHOLE, Shard
from mipnerf.files import atomic_path, write_text
from mipnerf.signals import StopSignals

log = logging.getLogger(__name__)
SUFFIXES = ("", "_depth", "_acc")
MAX_UNWRITTEN = 4  # views whose pictures wait in memory
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class ViewRecord:
    """What is known of a view that is rendered and scored."""

    view: int
    key: str  # changes with all that decides pictures and scores
    fresh: str  # the word under which it was asked for anew, or nothing
    scores: dict[str, float]
    pictures: str = ""  # digest of the files

    @classmethod
    def parse(cls, line: str) -> Self | None:
        """The record in a line; None for one that a kill cut short, or that is blank."""
        try:
            return cls(**json.loads(line))
        except (ValueError, TypeError):
            return None

    def line(self) -> str:
        """One line of JSON, in which every number is as it was."""
        return json.dumps(asdict(self))


class LevelRecords:
    """The records and pictures in the folder of a level, to which one job, of the whole level or a shard, adds."""

    def __init__(self, folder: Path, shard: Shard = WHOLE):
        self.folder = folder
        self.own = folder / "views.jsonl"
        if shard != WHOLE:
            self.own = folder / "shards" / f"{shard.name}.views.jsonl"

    def pictures(self, view: int) -> list[Path]:
        """The files of a view: colours, depth and opacity."""
        return [self.folder / "renderings" / f"{view:03d}{suffix}.png" for suffix in SUFFIXES]

    def find(self, keys: Mapping[int, str], fresh: str = "") -> dict[int, ViewRecord]:
        """By view, the records with these keys whose pictures are there; with `fresh`, only those of that word."""
        found: dict[int, ViewRecord] = {}
        for record in self._read():
            is_asked = keys.get(record.view) == record.key and fresh in ("", record.fresh)
            if is_asked and record.view not in found and record.pictures == self._digest(record.view):
                found[record.view] = record
        return found

    def add(self, record: ViewRecord, pictures: Sequence[np.ndarray]) -> ViewRecord:
        """Write the pictures of a view and then its record, which comes back as it is written."""
        contents = [iio.imwrite("<bytes>", pixels, extension=".png") for pixels in pictures]
        for path, content in zip(self.pictures(record.view), contents, strict=True):
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)
        record = replace(record, pictures=_digest(contents))
        self.own.parent.mkdir(parents=True, exist_ok=True)
        with open(self.own, "a", encoding="utf-8") as stream:
            # What a kill has cut short ends where this begins.
            stream.write(f"\n{record.line()}")
            stream.flush()
            os.fsync(stream.fileno())
        return record

    def keep_only(self, records: Iterable[ViewRecord]) -> None:
        """Put these records into one file and remove the others, and the pictures of all other views."""
        records = list(records)
        write_text(self.folder / "views.jsonl", "".join(f"{record.line()}\n" for record in records))
        for path in self._files_of_shards():
            path.unlink(missing_ok=True)
        kept = {path for record in records for path in self.pictures(record.view)}
        for path in self.folder.glob("renderings/*.png"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def _read(self) -> Iterator[ViewRecord]:
        for path in (self.folder / "views.jsonl", *self._files_of_shards()):
            try:
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            except FileNotFoundError:
                continue
            yield from filter(None, map(ViewRecord.parse, lines))

    def _files_of_shards(self) -> list[Path]:
        return sorted(self.folder.glob("shards/*.views.jsonl"))

    def _digest(self, view: int) -> str | None:
        """The digest of a view's files, or None where one is missing."""
        try:
            return _digest(path.read_bytes() for path in self.pictures(view))
        except OSError:
            return None


class RecordWriter:
    """Has records and pictures written by a thread while rendering goes on; leaving the context waits for the last.

    What goes wrong there is raised by a later `add`, or on leaving.
    """

    def __init__(self, records: LevelRecords):
        self.records = records
        self.written: dict[int, ViewRecord] = {}  # by view
        self._pool = ThreadPoolExecutor(1)
        self._pending: deque[Future[ViewRecord]] = deque()

    def add(self, record: ViewRecord, pictures: Sequence[np.ndarray]) -> None:
        """Have these written; waits where many are not."""
        self._pending.append(self._pool.submit(self.records.add, record, pictures))
        self._wait(MAX_UNWRITTEN)

    def _wait(self, most: int = 0) -> None:
        """Return when `most` are not yet written, or raise what has gone wrong."""
        while len(self._pending) > most:
            record = self._pending.popleft().result()
            self.written[record.view] = record

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        if error is None:
            self._wait()


def _digest(contents: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return digest.hexdigest()


@contextmanager
def only_job(folder: Path, shard: Shard, signals: StopSignals) -> Iterator[None]:
    """Wait until no other job is at this level or shard, and keep others waiting; shards do not wait for one another.

    Raises `Interrupted` where a signal comes first.
    """
    level = folder / ".lock"
    if shard == WHOLE:
        with _held(level, signals):
            for path in sorted(folder.glob("shards/.*.lock")):
                with _held(path, signals):
                    pass
            yield
    else:
        # Who slips in between costs time, not truth: a record never fits another job's pictures.
        with _held(level, signals):
            pass
        with _held(folder / "shards" / f".{shard.name}.lock", signals):
            yield


@contextmanager
def _held(path: Path, signals: StopSignals) -> Iterator[None]:
    """Hold a lock, which the operating system frees however the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, patience = filelock.FileLock(path), 0.0
    while not lock.is_locked:
        try:
            lock.acquire(timeout=patience)
        except filelock.Timeout:
            if signals.received:
                raise Interrupted(
                    f"stopped by signal {signals.received} before {path} was free", signals.received
                ) from None
            if not patience:
                log.info("another job is at %s; this one goes on when that has ended", path.parent)
            patience = POLL_SECONDS
    try:
        yield
    finally:
        lock.release()
