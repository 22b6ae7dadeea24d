"""How a command line ends, tried in real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mipnerf.training.status import error_at_end

PROGRAM = """
import sys, time
from pathlib import Path
from mipnerf.console import run, setup_logging
from mipnerf.errors import DataError, Interrupted
from mipnerf.files import atomic_folder

def main():
    setup_logging(Path(sys.argv[2]))
    if sys.argv[1] == "data":
        raise DataError("scene/a.png is damaged")
    if sys.argv[1] == "disk":
        raise OSError(28, "No space left on device", "scene/a.png")
    if sys.argv[1] == "interrupted":
        raise Interrupted("stopped", 15)
    if sys.argv[1] == "bug":
        raise KeyError("a bug")
    if sys.argv[1] == "wait":
        with atomic_folder(Path(sys.argv[3])) as folder:
            (folder / "half").touch()
            print("ready", flush=True)
            time.sleep(60)

run(main)
"""


def start(*arguments: str | Path, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("nothing", 0, ""),
        ("data", 1, "DataError: scene/a.png is damaged\n"),
        ("disk", 1, "OSError: [Errno 28] No space left on device: 'scene/a.png'\n"),
        ("interrupted", 143, "Interrupted: stopped\n"),
    ],
)
def test_what_a_user_can_mend_is_one_message(tmp_path, kind, code, message):
    process = start(kind, tmp_path / "log")
    assert process.communicate()[1] == message
    assert process.returncode == code
    assert (tmp_path / "log").read_text() == message


def test_a_traceback_can_be_asked_for_and_a_bug_shows_its_own(tmp_path):
    environment = os.environ | {"MIPNERF_TRACEBACK": "1"}
    assert "Traceback" in start("data", tmp_path / "log", env=environment).communicate()[1]
    process = start("bug", tmp_path / "bug")
    shown = process.communicate()[1]
    assert process.returncode == 1
    assert shown.count("KeyError: 'a bug'") == shown.count("Traceback") == 1
    assert (tmp_path / "bug").read_text() == shown
    assert error_at_end(tmp_path / "bug") == ["KeyError: 'a bug'"]


def test_a_log_is_continued_never_emptied(tmp_path):
    (tmp_path / "log").write_text("of another process\n")
    start("data", tmp_path / "log").communicate()
    assert (tmp_path / "log").read_text() == "of another process\nDataError: scene/a.png is damaged\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_stopped_command_leaves_nothing_half_done(tmp_path, number):
    process = start("wait", tmp_path / "log", tmp_path / "data")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert "Traceback" not in process.communicate()[1]
    assert process.returncode == 128 + number
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_what_a_killed_command_left_is_cleared_up_by_the_next(tmp_path):
    target = tmp_path / "data"
    for _ in range(2):
        process = start("wait", tmp_path / "log", target)
        assert process.stdout.readline() == "ready\n"
        process.kill()
        process.communicate()
        assert len(list(tmp_path.glob(".data.*.part"))) == 1
        assert not target.exists()


RETRIED = """
import logging, sys
from pathlib import Path
from mipnerf.console import setup_logging
setup_logging(Path("logs/train.log"), kept=Path("checkpoints/train.log"))
logging.info(sys.argv[1])
"""


def test_a_log_that_was_removed_begins_with_what_earlier_attempts_said(tmp_path):
    log = tmp_path / "logs" / "train.log"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    for attempt, is_removed in (("first", False), ("second", True), ("third", False)):
        if is_removed:
            log.unlink()
        for rank in ("1", "0"):  # whichever process of several comes first
            command = [sys.executable, "-c", RETRIED, attempt]
            subprocess.run(command, cwd=tmp_path, env=environment | {"RANK": rank}, check=True)
    assert log.read_text().split() == ["first", "second", "third"]
    assert (tmp_path / "checkpoints" / "train.log").read_text() == log.read_text()
