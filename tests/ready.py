"""Snakemake in processes that have it imported when they begin: of a dry run of three seconds, two are imports.

A server imports it once, in a process of its own that knows nothing of this project, and forks for every command. The
jobs of a workflow come from a second one, which has imported what they need.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
# Snakemake, and what it and the rules import later of what is installed.
PRELOADED = ["snakemake.cli", "snakemake.report", "snakemake.script", "jsonschema", "pydantic", "smart_open"]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(PRELOADED)


def snakemake(arguments: list[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `python -m snakemake` in `folder`; its two streams come back as one text in `stdout`."""
    with tempfile.NamedTemporaryFile() as output:
        inputs = (arguments, str(folder), dict(environment), output.name, python_of_jobs())
        process = CONTEXT.Process(target=_become, args=inputs)
        process.start()
        try:
            process.join()
        finally:
            process.kill()
        text = output.read().decode()
    return subprocess.CompletedProcess(["snakemake", *arguments], process.exitcode, text)


@cache
def python_of_jobs() -> str:
    """The path of a Python that begins with what jobs import; this process ends it. Or the usual one."""
    # It needs Linux, and a path that may stand in the first line of a script.
    if not hasattr(os, "pidfd_open") or " " in sys.executable:
        return sys.executable
    folder = tempfile.TemporaryDirectory()
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, Path(__file__).with_name("ready_python.py"), folder.name]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, env=variables)
    python = Path(folder.name, "python")
    while not python.exists():
        assert server.poll() is None
        time.sleep(0.01)
    for end in (folder.cleanup, server.communicate):  # the last comes first
        atexit.register(end)
    return str(python)


def _become(arguments: list[str], folder: str, environment: dict[str, str], output: str, python: str) -> None:
    """Be what `python -m snakemake` would be, in this process."""
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    # What pytest has added is not there.
    others = [path for path in sys.path if Path(path) != TESTS.parent and not Path(path).is_relative_to(TESTS)]
    sys.path[:] = [folder, *filter(None, paths), *others]
    sys.argv[:] = ["snakemake", *arguments]
    # Rules find Python beside the one that runs Snakemake.
    sys.executable = python
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
