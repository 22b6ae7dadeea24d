"""Training states on disk: written atomically, verified when read, the newest few kept.

A file is called `step_00001000-<digest>.pt`; the digest is the beginning of the SHA-256 of its bytes, so a damaged
file is known by its name and costs a warning, not the run.
"""

import hashlib
import io
import logging
import re
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from mipnerf.files import atomic_path

log = logging.getLogger(__name__)
_NAME = re.compile(r"step_(\d{8,})-([0-9a-f]{16})\.pt")


def save_state(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write `state` as the newest in `folder`, then remove all but the newest `keep`."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    path = folder / f"step_{step:08d}-{_digest(content)}.pt"
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    for old in list_states(folder)[keep:]:
        old.unlink(missing_ok=True)
    return path


class StateWriter:
    """Has states written by a thread while training goes on; leaving the context waits for the last of them.

    What goes wrong there is raised by the next call, of `check` at the latest.
    """

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder, keep
        self._pool = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Copy `state` and have it written; waits for the one before it."""
        self.wait()
        copied, copy = copy_to_host(state)
        self._pending = self._pool.submit(self._write, copied, step, copy)

    def check(self) -> None:
        """Raise what has gone wrong so far."""
        if self._pending is not None and self._pending.done():
            self.wait()

    def wait(self) -> None:
        """Return when everything is on disk, or raise what has gone wrong."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _write(self, copied: torch.cuda.Event | None, step: int, state: dict[str, Any]) -> None:
        if copied is not None:
            copied.synchronize()
        save_state(self.folder, step, state, self.keep)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        if error is None:
            self.wait()


def copy_to_host(state: Any) -> tuple[torch.cuda.Event | None, Any]:
    """A copy of all tensors in a nested `state`, in pinned memory where they are on a GPU, which is not waited for.

    The event tells when the copy is complete; there is none where it already is.
    """
    is_behind = False

    def copy(value: Any) -> Any:
        nonlocal is_behind
        if isinstance(value, dict):
            return {key: copy(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(copy(item) for item in value)
        if not isinstance(value, torch.Tensor):
            return value
        if not value.is_cuda:
            return value.clone()
        is_behind = True
        return torch.empty_like(value, device="cpu", pin_memory=True).copy_(value, non_blocking=True)

    copied_state = copy(state)
    event = torch.cuda.Event() if is_behind else None
    if event is not None:
        event.record()
    return event, copied_state


def list_states(folder: Path) -> list[Path]:
    """The states in `folder`, the newest step first."""
    found = [path for path in folder.glob("step_*.pt") if _NAME.fullmatch(path.name)]
    return sorted(found, key=saved_step, reverse=True)


def _step_and_digest(path: Path) -> tuple[str, str]:
    """What the name of a state says; `ValueError` for other names."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path.name} is not the name of a state")
    return match[1], match[2]


def saved_step(path: Path) -> int:
    """The step in the name of a state."""
    return int(_step_and_digest(path)[0])


def load_newest_state(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The newest state in `folder` that is intact, or None where there is none."""
    for path in list_states(folder):
        content = path.read_bytes()
        if _digest(content) == _step_and_digest(path)[1]:
            return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        log.warning("%s is damaged and is passed over; the one before it is taken", path)
    return None


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
