"""A copy of the project in which Snakemake can be run without touching the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ["Snakefile", "rules", "workflow_scripts", "config", "mipnerf", "pyproject.toml"]


class Project:
    """A folder with the workflow in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True)
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / part)

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
        """Run Snakemake."""
        return self.run(self.command(*arguments), check=check)

    def run(self, command: str | list[str], check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command, or a line of a shell; its two streams come back as one text in `stdout`."""
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
        """Run the toy configuration on two cores."""
        return self.snakemake("--cores", "2", "--configfile", "config/test/toy.yaml", *arguments, check=check)


@pytest.fixture
def project(tmp_path) -> Project:
    """A fresh copy of the project."""
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory) -> Project:
    """A copy in which the toy configuration was run to its end; tests must not change it."""
    project = Project(tmp_path_factory.mktemp("finished") / "project")
    project.toy("--", "all", "figures")
    return project


@pytest.fixture
def copy_of_finished(finished_project, tmp_path) -> Project:
    """A copy of the finished project, with all times kept, to be changed at will."""
    folder = tmp_path / "project"
    shutil.copytree(finished_project.folder, folder, copy_function=shutil.copy2)
    copied = Project.__new__(Project)
    copied.folder = folder
    return copied


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
