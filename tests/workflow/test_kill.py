"""A training that is killed under Snakemake goes on when the same command is given again."""

import os
import re
import signal
import subprocess
import time

from processes import PATIENCE

from .test_end_to_end import RUN

LONGER = ["--config", "train={max_steps: 400}", "operation={save_every: 10}", "--", f"{RUN}/model.pt"]


def test_a_killed_training_goes_on_with_the_same_command(project):
    run = project.folder / RUN
    command = project.command("--cores", "1", "--configfile", "config/test/toy.yaml", *LONGER)
    snakemake = subprocess.Popen(
        command, cwd=project.folder, env=project.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + PATIENCE
    while not any(int(path.name[5:13]) >= 50 for path in run.glob("checkpoints/*/step_*.pt")):
        assert snakemake.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    owner = (run / "checkpoints" / "owner.txt").read_text()
    os.kill(int(re.match(r"process (\d+) on ", owner)[1]), signal.SIGKILL)
    assert snakemake.wait(PATIENCE) != 0
    assert not (run / "model.pt").exists()

    project.toy(*LONGER)
    log = (run / "logs" / "train.log").read_text()
    step = int(re.search(r"goes on after step (\d+) of 400", log)[1])
    assert step >= 50
    assert (run / "model.pt").exists()
