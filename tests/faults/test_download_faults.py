"""Downloads that are killed, collide or find no room, tried on the real command line."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from download_server import Reply, serving
from processes import PATIENCE
from scene_files import write_scene

SCRIPT = Path(__file__).parents[2] / "workflow_scripts" / "download.py"
SCENES = ("lego", "ship")


@pytest.fixture
def body(tmp_path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for scene in SCENES:
            folder = write_scene(tmp_path / "packed" / scene, {"train": 4, "val": 1, "test": 1}, 64, 64)
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder.parent))
    return stream.getvalue()


@pytest.fixture
def server():
    with serving() as server:
        yield server


def command(tmp_path: Path, url: str, scene: str = "lego") -> list[str]:
    return [
        *(sys.executable, str(SCRIPT), "--urls", url, "--scene", scene, "--output", str(tmp_path / "data" / scene)),
        *("--downloads", str(tmp_path / "downloads"), "--set", "operation.download_backoff=0.01"),
        *("operation.download_attempts=2", "operation.download_timeout=20"),
    ]


def is_complete(tmp_path: Path, scene: str = "lego") -> bool:
    path = tmp_path / "data" / scene / "manifest.json"
    return path.exists() and len(json.loads(path.read_text())["files"]) == 9


def parts(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "downloads").glob("*.part"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_download_goes_on_where_it_was(server, body, tmp_path, number):
    server.replies["/all.zip"] = [Reply(body, stall=50_000), Reply(body)]
    process = subprocess.Popen(command(tmp_path, server.url("/all.zip")), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    while not (parts(tmp_path) and parts(tmp_path)[0].stat().st_size >= 40_000):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(PATIENCE) != 0
    assert not (tmp_path / "data").exists()
    assert not list((tmp_path / "downloads").glob("*.zip"))
    subprocess.run(command(tmp_path, server.url("/all.zip")), check=True, capture_output=True, timeout=PATIENCE)
    assert is_complete(tmp_path)
    first, second = server.ranges("/all.zip")
    assert first is None
    assert 40_000 <= int(second.removeprefix("bytes=").removesuffix("-")) <= 50_000


@pytest.mark.parametrize(
    "jobs",
    [
        [("/all.zip", "lego"), ("/all.zip", "ship")],
        [("/{scene}.zip", "lego"), ("/{scene}.zip", "lego")],
    ],
    ids=["two scenes of one archive", "one scene twice"],
)
def test_two_processes_download_an_archive_once(server, body, tmp_path, jobs):
    server.replies |= {path: [Reply(body, held=True)] for path in ("/all.zip", "/lego.zip")}
    processes = []
    for path, scene in jobs:
        line = command(tmp_path, server.url(path), scene)
        processes.append(subprocess.Popen(line, stderr=subprocess.PIPE, text=True))
        # The first holds the lock from then on, and the second waits for it.
        assert ("downloading", "by another process; waiting")[len(processes) - 1] in processes[-1].stderr.readline()
    server.released.set()
    errors = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert all(is_complete(tmp_path, scene) for _, scene in jobs)
    assert len(server.requests) == 1


def test_a_disk_that_fills_up_ends_with_one_message_and_the_download_can_go_on(server, body, tmp_path):
    server.replies["/all.zip"] = [Reply(body)]
    assert len(body) > 64 << 10
    # The kernel refuses to write beyond 32 KiB a file, as it does on a full disk.
    limited = ["bash", "-c", 'ulimit -f 32; exec "$@"', "bash", *command(tmp_path, server.url("/all.zip"))]
    result = subprocess.run(limited, capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    (message,) = [line for line in result.stderr.splitlines() if line.startswith("WriteError: ")]
    assert "cannot be written (File too large); what has arrived is kept" in message
    (part,) = parts(tmp_path)
    assert 0 < (size := os.path.getsize(part)) <= 32 << 10
    assert not (tmp_path / "data").exists()
    subprocess.run(command(tmp_path, server.url("/all.zip")), check=True, capture_output=True, timeout=PATIENCE)
    assert is_complete(tmp_path)
    assert server.ranges("/all.zip") == [None, f"bytes={size}-"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(server, body, tmp_path):
    (tmp_path / "downloads").mkdir(mode=0o500)
    server.replies["/all.zip"] = [Reply(body)]
    result = subprocess.run(command(tmp_path, server.url("/all.zip")), capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 1
    assert f"WriteError: {tmp_path}/downloads" in result.stderr
