"""Asking a long job to stop at the next safe moment."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

# What `signal.signal` takes and gives back.
Handler = Callable[[int, FrameType | None], Any] | int | None
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopSignals:
    """Within this context, SIGTERM, SIGINT and SIGUSR1 are only noted; but a SIGINT after one of them acts as always.

    A person may insist. A scheduler repeats itself while the state is being saved, and has SIGKILL for later.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Handler] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or number
        if signal.SIGINT in self._previous:
            signal.signal(signal.SIGINT, self._previous.pop(signal.SIGINT))

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
