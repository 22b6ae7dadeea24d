"""Trainings under Slurm, each of which meets a fault of its own while Snakemake sees to them all."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from workflow.conftest import Project

from mipnerf.datasets.bricks import render_bricks
from mipnerf.datasets.convert import convert_to_multiscale

from . import slurm

# Slurm lets frozen trainings go on a while before its signal comes: enough steps for that are to be left.
STEPS, SAVE_EVERY = 150, 10
PATIENCE = 900.0  # seconds for anything to happen, on a machine however busy
# Polls often at first: what Slurm does takes seconds here, hours elsewhere.
OPTIONS = (
    *("--workflow-profile", "config/profiles/slurm", "--slurm-init-seconds-before-status-checks", "1"),
    *("--set-threads", "train=1", "evaluate=1", "--latency-wait", "5"),
)


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """What `condition` returns as soon as that is something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)
    return found


# What a training says that a signal has stopped.
SAVED = r"was stopped by signal \d+; step (\d+) is saved"


@dataclass
class Victim:
    """One training, as its folder and Slurm show it."""

    folder: Path
    jobs: list[int] = field(default_factory=list)  # those that met a fault
    saved: list[int] = field(default_factory=list)  # the steps that were saved for a signal
    resumed: list[int] = field(default_factory=list)  # the steps after which training went on

    @property
    def log(self) -> str:
        path = self.folder / "logs" / "train.log"
        return path.read_text() if path.exists() else ""

    def saved_step(self) -> int:
        """That of the newest checkpoint."""
        return max((int(path.name[5:13]) for path in self.folder.glob("checkpoints/*/step_*.pt")), default=0)

    def freeze(self) -> tuple[int, int]:
        """Stop the process that trains, once it has saved a checkpoint; its number, and that of its job.

        So little is trained that it would else be over before the fault: a frozen training stands for a long one.
        """
        # The last one of the job before, which may not be gone yet.
        before = max(self.saved, default=SAVE_EVERY - 1)
        wait_for(lambda: self.saved_step() > before, f"a checkpoint after step {before} in {self.folder}")
        owner = (self.folder / "checkpoints" / "owner.txt").read_text()
        process, job = map(int, re.fullmatch(r"process (\d+) on \S+, Slurm job (\d+)", owner).groups())
        os.kill(process, signal.SIGSTOP)
        self.jobs.append(job)
        self.note_resumption()
        return process, job

    def note_saved(self) -> None:
        """Wait until a signal has stopped the present job, and remember which step it saved."""
        number = len(self.saved) + 1
        wait_for(lambda: len(re.findall(SAVED, self.log)) == number or "is trained" in self.log, "a signal")
        self.saved = list(map(int, re.findall(SAVED, self.log)))
        assert len(self.saved) == number, f"trained before signal {number} came:\n{self.log}"

    def note_resumption(self) -> None:
        """Remember where the jobs went on, the present one last: its log begins with what earlier ones said."""
        self.resumed = list(map(int, re.findall(r"goes on after step (\d+)", self.log)))


def cancelled(victim: Victim, _cluster: Path) -> None:
    slurm.run("scancel", str(victim.freeze()[1]))
    victim.note_saved()


def requeued(victim: Victim, _cluster: Path) -> None:
    slurm.run("scontrol", "requeue", str(victim.freeze()[1]))
    victim.note_saved()


def killed(victim: Victim, _cluster: Path) -> None:
    os.kill(victim.freeze()[0], signal.SIGKILL)


def preempted(victim: Victim, _cluster: Path) -> None:
    job = victim.freeze()[1]
    node = slurm.jobs()[job]["NodeList"]
    options = f"--partition=gpu-high --nodelist={node} --gpus=1 --time=1 --output=/dev/null --job-name=urgent"
    slurm.run("sbatch", *options.split(), "--wrap=true")
    victim.note_saved()


def timed_out(victim: Victim, _cluster: Path) -> None:
    """Needs three times what the limit allows."""
    for _ in range(2):
        process, job = victim.freeze()
        slurm.run("scontrol", "update", f"JobId={job}", "TimeLimit=1")
        wait_for(lambda process=process: was_signalled(process, signal.SIGTERM), "the signal before the time limit")
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)
        victim.note_saved()


def node_lost(victim: Victim, cluster: Path) -> None:
    """The node is no longer heard of, but what ran there runs on beside the job that was queued again."""
    job = victim.freeze()[1]
    node = slurm.jobs()[job]["NodeList"]
    slurm.kill_node(cluster, node)
    slurm.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    wait_for(lambda: "is being trained by" in victim.log, "the second job")
    slurm.start_node(cluster, node)


def drained(victim: Victim, _cluster: Path) -> None:
    """The node shall take no new jobs; what runs there may end."""
    process, job = victim.freeze()
    node = slurm.jobs()[job]["NodeList"]
    slurm.run("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")
    assert "DRAIN" in slurm.run("scontrol", "show", "node", node)
    os.kill(process, signal.SIGCONT)
    wait_for(lambda: has_ended(process), "the end of the training on the drained node")
    slurm.run("scontrol", "update", f"NodeName={node}", "State=RESUME")


def slurmd_killed(victim: Victim, cluster: Path) -> None:
    """The daemon of the node dies and comes back before Slurm gives the node up."""
    process, job = victim.freeze()
    node = slurm.jobs()[job]["NodeList"]
    slurm.kill_node(cluster, node)
    slurm.start_node(cluster, node)
    os.kill(process, signal.SIGCONT)


def slurmstepd_killed(victim: Victim, _cluster: Path) -> None:
    """Slurm does not notice that the process between it and the training is gone: the job stands still."""
    process, job = victim.freeze()
    status = Path(f"/proc/{process}/status").read_text()
    # Before it is an orphan: the kernel hangs up on orphans that are stopped.
    os.kill(process, signal.SIGCONT)
    os.kill(int(re.search(r"PPid:\s+(\d+)", status)[1]), signal.SIGKILL)
    wait_for(lambda: has_ended(process), "the end of the training without its slurmstepd")
    assert slurm.jobs()[job]["JobState"] == "RUNNING"
    slurm.run("scancel", str(job))


FAULTS = {
    fault.__name__: fault
    for fault in (
        *(cancelled, requeued, killed, preempted, timed_out, node_lost),
        *(drained, slurmd_killed, slurmstepd_killed),
    )
}


def has_ended(process: int) -> bool:
    """Whether a process is gone, or only waits for its parent to notice."""
    try:
        return re.search(r"State:\s+Z", Path(f"/proc/{process}/status").read_text()) is not None
    except OSError:
        return True


def was_signalled(process: int, number: int) -> bool:
    """Whether a stopped process will meet a signal when it goes on, or has already ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True
    return any(int(mask, 16) >> (number - 1) & 1 for mask in re.findall(r"(?:Sig|Shd)Pnd:\s+(\w+)", status))


def prepare(project: Project, variants: dict[str, dict[str, Any]]) -> None:
    """Give the project its scene, and runs.yaml with the same short training for every variant."""
    render_bricks(project.folder / "data/sources/bricks/bricks", 96, 4, 1, 1, samples=1, workers=1)
    convert_to_multiscale(
        project.folder / "data/sources/bricks/bricks", project.folder / "data/bricks/bricks", workers=1
    )
    config = yaml.safe_load((project.folder / "config/test/toy.yaml").read_text())
    config["runs"][0]["variants"] = list(variants)
    config["runs"][0]["train"]["max_steps"] = STEPS
    config["variants"] = variants
    config["operation"] = {"print_every": 10, "save_every": SAVE_EVERY, "device": "cpu"}
    (project.folder / "runs.yaml").write_text(yaml.safe_dump(config))


def start(project: Project, log: str, *arguments: str) -> subprocess.Popen:
    """Start Snakemake, which writes to the file `log` of the project."""
    with (project.folder / log).open("w") as output:
        return subprocess.Popen(
            project.command(*OPTIONS, *arguments),
            cwd=project.folder,
            env=project.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def campaign(project: Project, cluster: Path) -> dict[str, Victim]:
    """Lose a whole Snakemake, then have the next one bring all trainings to their ends, against one fault each."""
    names = [*FAULTS, "orphaned"]
    prepare(project, {name: {} for name in names})
    victims = {name: Victim(project.folder / "results" / "bricks" / name / "bricks") for name in names}
    snakemake = start(project, "first.log", "--configfile=runs.yaml", "--", "results/bricks/orphaned/bricks/model.pt")
    try:
        orphan = victims["orphaned"].freeze()[0]
        snakemake.kill()
        snakemake.wait()
        project.snakemake("--configfile=runs.yaml", "--unlock")
        snakemake = start(project, "second.log", "--configfile=runs.yaml", "--", "models")
        with ThreadPoolExecutor() as pool:
            faults = [pool.submit(fault, victims[name], cluster) for name, fault in FAULTS.items()]
            wait_for(
                lambda: "is being trained by" in victims["orphaned"].log, "the second job of the orphaned training"
            )
            os.kill(orphan, signal.SIGCONT)
        for fault in faults:
            fault.result()
        assert snakemake.wait(PATIENCE) == 0, (project.folder / "second.log").read_text()
    finally:
        snakemake.kill()
    for victim in victims.values():
        victim.note_resumption()
    return victims
