"""The unit tests once more: with the lowest versions that pyproject.toml allows, and with the newest Python.

`python tests/versions.py` makes an environment for each (a few gigabytes, of which uv keeps what it downloads), both at
once, and says which it tested. What cannot be had here, such as a Python or the network, is said as well, and is no
failure.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from uv import find_uv_bin

ROOT = Path(__file__).parents[1]
# Newest first; PyTorch and Snakemake have to have builds for it.
PYTHONS = ("3.14", "3.13", "3.12")
LOWEST = re.search(r"\d+\.\d+", tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])[0]
NOT_HERE = ("Failed to fetch", "dns error", "Could not connect", "No space left", "timed out")

FOREIGN = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
# Random examples are tried by `pytest`; here a few show that nothing is called otherwise.
TESTS = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=few", "tests/unit", "-m", "not slow"]


class Versions(NamedTuple):
    """What an environment is made with."""

    name: str
    pythons: tuple[str, ...]
    resolution: str


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run uv, which downloads no Python of its own."""
    command = [find_uv_bin(), "--no-python-downloads", "--no-config", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def find_python(version: str) -> str | None:
    """A Python of this version that runs: on the path, or one of pyenv, whose commands on the path may be empty."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"versions/{version}*/bin/python{version}"))]
    runs = (path for path in found if path and not subprocess.run([path, "-c", ""], capture_output=True).returncode)
    return next(map(str, runs), None)


def test(versions: Versions) -> bool | None:
    """Whether the unit tests pass; None where the environment cannot be made here."""
    interpreter = next(filter(None, map(find_python, versions.pythons)), None)
    if interpreter is None:
        print(f"{versions.name}: no Python {' or '.join(versions.pythons)} is here", flush=True)
        return None
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder, "env", "bin", "python")
        for arguments in (
            ("venv", "--quiet", "--python", interpreter, str(python.parents[1])),
            ("pip", "install", "--quiet", "--python", str(python), "--resolution", versions.resolution, "-e", ".[dev]"),
        ):
            done = uv(*arguments)
            if done.returncode:
                print(f"{versions.name}: no environment\n{done.stderr.strip()}", flush=True)
                return None if any(reason in done.stderr for reason in NOT_HERE) else False
        environment = {key: value for key, value in os.environ.items() if key not in FOREIGN}
        print(f"{versions.name}: {versions_of(python)}", flush=True)
        done = subprocess.run([python, *TESTS], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        print(f"{versions.name} versions:\n{done.stdout}{done.stderr}", flush=True)
        return done.returncode == 0


def versions_of(python: Path) -> str:
    """The versions that matter most."""
    names = ("torch", "snakemake", "numpy", "pandas", "pydantic", "pillow", "matplotlib")
    code = """
import sys, platform, importlib.metadata as m
print("Python " + platform.python_version(), *(f"{name} {m.version(name)}" for name in sys.argv[1:]), sep=", ")
"""
    return subprocess.run([python, "-c", code, *names], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Test all, print the outcome, and fail where a test did or versions do not go together."""
    all_versions = (Versions("lowest", (LOWEST,), "lowest-direct"), Versions("newest", PYTHONS, "highest"))
    with ThreadPoolExecutor() as pool:
        results = dict(zip([versions.name for versions in all_versions], pool.map(test, all_versions), strict=True))
    words = {True: "passed", False: "FAILED", None: "could not be made here"}
    print("\n".join(f"{name} versions: {words[result]}" for name, result in results.items()))
    sys.exit(any(result is False for result in results.values()))


if __name__ == "__main__":
    main()
