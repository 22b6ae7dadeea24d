"""A real Chromium without a window, for tests."""

import os
import shutil

import debian

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def program() -> str | None:
    """The Chromium of this machine, if it has one."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def why_not() -> str | None:
    """What keeps this machine from having one, or None."""
    if program():
        return None
    if not shutil.which("apt-get"):
        return "Chromium is not installed, and only Debian's package is known here"
    return None if os.geteuid() == 0 else "Chromium is not installed, and installing it needs root"


def install() -> None:
    """Install Debian's package, where Chromium is missing; raises CalledProcessError."""
    if not program():
        debian.install("chromium")
