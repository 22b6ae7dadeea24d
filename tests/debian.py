"""Debian's packages, for tests of programs that are not here."""

import os
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock


def install(*packages: str) -> None:
    """Install `packages`, one process of the tests at a time; raises CalledProcessError."""
    quiet = {"check": True, "capture_output": True, "text": True}
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]
    with FileLock(Path(tempfile.gettempdir(), "mipnerf-apt.lock")):
        subprocess.run(["apt-get", "update", "-qq"], **quiet)
        subprocess.run([*command, *packages], env=environment, **quiet)
