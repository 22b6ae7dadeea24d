"""What every command line of the suite shares: logging, signals' exit codes, and errors as one message."""

import atexit
import gc
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

from mipnerf.errors import Interrupted, MipNerfError

TRACEBACK_VARIABLE = "MIPNERF_TRACEBACK"
log = logging.getLogger("mipnerf")
_ONE_WARNS = threading.Lock()


def setup_logging(log_file: Path | None = None, kept: Path | None = None) -> None:
    """Log to standard error and, if given, to the end of `log_file`, which another process may be writing.

    All is kept in `kept` as well: a `log_file` that was removed since, as workflows do before they try again, begins
    with what is there. Of several processes that train together, the first reports; the others only say what went wrong
    in them.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    rank = int(os.environ.get("RANK", 0))
    for path in filter(None, (log_file, kept)):
        path.parent.mkdir(parents=True, exist_ok=True)
    if log_file and kept and kept.exists() and not log_file.exists() and rank == 0:
        shutil.copyfile(kept, log_file)
    for path in filter(None, (log_file, kept)):
        # The others do not make a file that the first is still to begin.
        handler = logging.FileHandler(path, mode="a", encoding="utf-8", errors="backslashreplace", delay=rank > 0)
        handlers.append(handler)
    level, prefix = (logging.ERROR, f"process {rank}: ") if rank else (logging.INFO, "")
    logging.basicConfig(level=level, format=f"{prefix}%(message)s", handlers=handlers, force=True)
    logging.captureWarnings(True)


def warn_once(logger: logging.Logger, message: str) -> None:
    """Warn, unless this process has done so: a scene is read once a split, and its images by several threads."""
    with _ONE_WARNS:
        _warn(logger, message)


@cache
def _warn(logger: logging.Logger, message: str) -> None:
    logger.warning("%s", message)


def run(main: Callable[[], None]) -> None:
    """Call `main` and exit: 0, or 1 and one message for what a user can mend, or 128 + the signal that stopped it.

    That is a `MipNerfError`, or a refusal of the operating system (disk full, no permission), whose traceback is shown
    only with MIPNERF_TRACEBACK=1. All other errors are bugs and show theirs, in the log as well.
    """
    # Of what is imported, nothing is garbage: to look for it, and to take all of it down, costs every job a second.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    # As an exception, it lets half-written files be removed.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (MipNerfError, OSError) as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            log.exception("traceback asked for by %s:", TRACEBACK_VARIABLE)
        log.error("%s: %s", type(error).__name__, error)
        sys.exit(128 + error.signal_number if isinstance(error, Interrupted) else 1)
    except Exception:
        log.exception("not expected, and worth a report:")
        sys.exit(1)
