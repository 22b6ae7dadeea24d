"""The cluster on which the tests of this folder run, for as long as they run."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from . import slurm


@pytest.fixture(scope="session")
def cluster():
    """A real Slurm on this machine; its folder."""
    if reason := slurm.why_not():
        pytest.skip(reason)
    pytest.importorskip(
        "snakemake_executor_plugin_slurm", reason="the extra `slurm` is not installed: pip install -e '.[slurm]'"
    )
    try:
        slurm.install()
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"Slurm could not be installed: {getattr(error, 'stderr', None) or error}")
    # The path of a socket may have no more than 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        try:
            slurm.start(folder)
        except RuntimeError as error:
            pytest.skip(f"Slurm could not be started: {error}")
        yield folder
    finally:
        slurm.stop(folder)
        shutil.rmtree(folder)


def pytest_terminal_summary(terminalreporter) -> None:
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if "tests/cluster/" in report.nodeid]
    if skipped:
        terminalreporter.section("NOT TESTED: no Slurm cluster could be made", red=True, bold=True)
        for reason in sorted({report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)}):
            terminalreporter.line(reason)
