"""A copy of the project in which Snakemake can be run without touching the checkout."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import ready
import yaml
from capture_files import make_toy, transforms_of, write_images, write_json
from filelock import FileLock
from scene_files import pack, write_scene

ROOT = Path(__file__).parents[2]
PARTS = ["Snakefile", "rules", "workflow_scripts", "config", "mipnerf", "pyproject.toml"]
# What a shell does more with than to split a line into words.
SHELLS = re.compile(r"[|&;<>$`~*\n]")
# One core a job, for two jobs at a time.
SINGLE = ("--max-threads", "1")


class Folder:
    """A folder in which Snakemake and other commands are run."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """Its own copy of the library is imported, also by the scripts that it starts."""
        variables = {key: value for key, value in os.environ.items() if not key.startswith("MIPNERF_")}
        path = os.pathsep.join([str(Path(sys.executable).parent), variables.get("PATH", os.defpath)])
        return variables | {"PYTHONPATH": str(self.folder), "PATH": path}

    def command(self, *arguments: str) -> list[str]:
        """`snakemake` with arguments."""
        return [sys.executable, "-m", "snakemake", *arguments]

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Snakemake; its two streams come back as one text in `stdout`."""
        result = ready.snakemake(list(arguments), self.folder, self.environment)
        if check:
            assert result.returncode == 0, f"snakemake {shlex.join(arguments)}\n{result.stdout}"
        return result

    def run(self, command: str | list[str], check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command, or a line of a shell; its two streams come back as one text in `stdout`."""
        if isinstance(command, str) and command.startswith("snakemake ") and not SHELLS.search(command):
            return self.snakemake(*shlex.split(command)[1:], check=check)
        result = subprocess.run(
            command,
            shell=isinstance(command, str),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if check:
            assert result.returncode == 0, f"{command}\n{result.stdout}"
        return result

    def toy(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the toy configuration, two jobs at a time."""
        toy = ("--cores", "2", *SINGLE, "--configfile", "config/test/toy.yaml")
        return self.snakemake(*toy, *arguments, check=check)


class Project(Folder):
    """A folder with the workflow in it: as it is checked out, or all that another project has, with all times kept."""

    def __init__(self, folder: Path, other: Path | None = None):
        if other:
            shutil.copytree(other, folder)
        super().__init__(folder)
        if other:
            return
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                # With the compiled modules, unless one is just being written.
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("*.pyc.*"))
            else:
                shutil.copy(source, folder / part)
        # What an installation without extras lacks; with it, seaborn takes twice as long to be imported.
        (folder / "scipy.py").write_text("raise ImportError('only the extra `mesh` brings SciPy')")


def three_datasets(folder: Path, scenes: Sequence[str] = ("lego",)) -> dict:
    """A toy configuration without runs for the bricks, scenes in blender.zip, and a capture in captures/desk."""
    toy = make_toy(views=9, width=40, height=32)
    write_json(write_images(toy, folder / "captures" / "desk"), transforms_of(toy))
    for scene in scenes:
        write_scene(folder / "blender" / scene, {"train": 3, "val": 1, "test": 2}, 32, 32)
    archive = pack(folder / "blender", folder / "blender.zip")
    values = yaml.safe_load((ROOT / "config/test/toy.yaml").read_text())
    run = values.pop("runs")[0]
    mine = {"source": "captures", "layout": "transforms", "scenes": ["desk"], "levels": 2}
    return values | {
        "model": run["model"],
        "train": run["train"],
        "verify": "off",
        "sources": {"captures": str(folder / "captures"), "nerf_synthetic": str(archive)},
        "datasets": {"multiscale_blender": {"levels": 2}, "mine": mine},
    }


@pytest.fixture
def project(tmp_path) -> Project:
    """A fresh copy of the project."""
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory) -> Project:
    """A copy in which the toy configuration was run to its end; tests must not change it."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    # Whichever process of the tests is first runs it for all.
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            first = Project(tmp_path_factory.mktemp("first") / "project")
            first.toy("--", "all", "figures")
            shutil.copytree(first.folder, shared)
    return Project(tmp_path_factory.mktemp("own") / "project", shared)


@pytest.fixture
def copy_of_finished(finished_project, tmp_path) -> Project:
    """A copy of the finished project, to be changed at will."""
    return Project(tmp_path / "project", finished_project.folder)


def jobs(output: str) -> dict[str, int]:
    """The job counts that Snakemake printed, by rule."""
    lines = output.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("Job stats:")), None)
    if start is None:
        return {}
    counts = {}
    for line in lines[start + 3 :]:
        if not line.strip():
            break
        name, count = line.split()[:2]
        counts[name] = int(count)
    counts.pop("total", None)
    return counts
