"""Finding cameras that is killed amid matching goes on with the features and matches that are there."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from photo_files import FRAMES, take_pictures, write_photographs
from processes import signalled

SCRIPT = Path(__file__).parents[2] / "workflow_scripts" / "find_cameras.py"


def count_pairs(database: Path) -> int:
    """Matched pairs that another process has written so far.

    They are counted in a copy: whoever reads the database itself may keep that process from opening it.
    """
    with TemporaryDirectory() as folder:
        try:
            for path in database.parent.glob(f"{database.name}*"):
                shutil.copy(path, folder)
            with closing(sqlite3.connect(Path(folder) / database.name)) as connection:
                return int(connection.execute("SELECT count(*) FROM two_view_geometries").fetchone()[0])
        except (sqlite3.Error, OSError):  # it is just being made
            return 0


@pytest.mark.slow
def test_a_job_that_is_killed_amid_matching_extracts_no_feature_again(tmp_path):
    pytest.importorskip("pycolmap", reason="the extra `sfm` is not installed: pip install -e '.[sfm]'")
    source = write_photographs(take_pictures(samples=1)[0], tmp_path / "desk")
    arguments = ["--input", source, "--output", tmp_path / "found", "--threads", "1"]
    command = [sys.executable, *map(str, [SCRIPT, *arguments])]
    database = tmp_path / ".found.cameras" / "database.db"
    killed = signalled(command, signal.SIGKILL, lambda: count_pairs(database) > 0)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "found").exists()
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"features of {FRAMES} of {FRAMES} pictures are there" in again.stderr
    assert "of 45 pairs are there" in again.stderr
    assert json.loads((tmp_path / "found" / "summary.json").read_text())["registered"] == FRAMES
    assert not (tmp_path / ".found.cameras").exists()
