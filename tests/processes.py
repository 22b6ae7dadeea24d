"""Command lines that a signal meets at a moment of the test's choice."""

import subprocess
import time
from collections.abc import Callable, Sequence

PATIENCE = 300.0  # seconds for anything to happen, on a machine however busy


def signalled(command: Sequence[str], number: int, is_due: Callable[[], bool]) -> subprocess.Popen:
    """Start `command`, send it a signal as soon as `is_due`, and wait for its end."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE
    while not is_due():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(number)
    process.wait(PATIENCE)
    return process
