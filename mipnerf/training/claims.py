"""The folder of a run while it trains: that nobody else does, and what becomes of an earlier training in it."""

import logging
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from mipnerf.errors import CheckpointError
from mipnerf.files import write_text
from mipnerf.training.budget import read_budget, write_budget
from mipnerf.training.checkpoint import list_states

log = logging.getLogger(__name__)


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; the operating system frees it however the process ends."""
    job = os.environ.get("SLURM_JOB_ID")
    owner = folder / "checkpoints" / "owner.txt"
    # `status` holds the lock for the moment in which it asks who has it.
    lock = filelock.FileLock(folder / "checkpoints" / ".lock", timeout=2)
    try:
        lock.acquire()
    except filelock.Timeout:
        holder = owner.read_text(encoding="utf-8") if owner.exists() else "another process"
        if not job:
            raise CheckpointError(f"{folder} is being trained by {holder}; wait for it, or stop it first") from None
        # Its workflow or its node was lost and a new job sent. Nobody is there to read an error; retries would run out.
        log.warning("%s is being trained by %s; this job goes on when that has ended", folder, holder)
        lock.acquire(timeout=-1, poll_interval=1)
    try:
        write_text(owner, f"process {os.getpid()} on {socket.gethostname()}" + (f", Slurm job {job}" if job else ""))
        yield
    finally:
        lock.release()


def put_aside(checkpoints: Path, fresh: str) -> None:
    """Keep a training as `<folder>.previous`, and mark the new one as begun under the word `fresh`."""
    mark = checkpoints / "fresh.txt"
    if mark.exists() and mark.read_text(encoding="utf-8") == fresh:
        return
    if list_states(checkpoints):
        previous = checkpoints.with_suffix(".previous")
        shutil.rmtree(previous, ignore_errors=True)
        checkpoints.rename(previous)
        checkpoints.mkdir()
        if (budget := read_budget(previous)) is not None:
            write_budget(checkpoints, budget)
        log.info("training anew; what was there is kept in %s", previous)
    write_text(mark, fresh)
