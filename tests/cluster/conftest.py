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
