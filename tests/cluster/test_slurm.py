"""The whole workflow on a real Slurm, and what becomes of trainings that meet its faults."""

import re
from types import SimpleNamespace

import pytest
import torch
import yaml
from workflow.conftest import Project

from mipnerf.config import OperationConfig, RunConfig
from mipnerf.datasets.load import load_scene
from mipnerf.training import train

from . import slurm
from .faults import FAULTS, PATIENCE, SAVE_EVERY, STEPS, campaign, prepare, start

# Two levels of resolution tell as much as four.
LEVELS = ("--config", "datasets={bricks: {levels: 2}}")
GPU_RULES = {"train": 2, "evaluate": 4}


@pytest.fixture(scope="session")
def outcome(cluster, tmp_path_factory) -> SimpleNamespace:
    """The default workflow and, beside it, the trainings with faults: both at once, since Slurm mostly waits."""
    whole = Project(tmp_path_factory.mktemp("whole") / "project")
    faulty = Project(tmp_path_factory.mktemp("faulty") / "project")
    prepare(faulty)
    process = start(whole, "log", "--configfile=config/test/toy.yaml", *LEVELS)
    try:
        victims = campaign(faulty, cluster)
        returncode = process.wait(PATIENCE)
    finally:
        process.kill()
    return SimpleNamespace(
        whole=whole.folder, returncode=returncode, faulty=faulty.folder, victims=victims, jobs=slurm.jobs()
    )


@pytest.fixture(scope="session")
def undisturbed(outcome, tmp_path_factory) -> dict[str, torch.Tensor]:
    """The weights of the same training without Slurm and without faults, on one thread."""
    (plan,) = (outcome.victims["cancelled"].folder / "checkpoints").glob("*/run.yaml")
    run = RunConfig(**yaml.safe_load(plan.read_text()))
    scene = load_scene(outcome.faulty / "data/bricks/bricks", "train", 4, run.data)
    folder = tmp_path_factory.mktemp("undisturbed")
    train(run, OperationConfig(device="cpu"), scene, folder, threads=1)
    return torch.load(folder / "model.pt", weights_only=True)["parameters"]


def submitted(log: str) -> dict[int, str]:
    """The jobs that a Snakemake gave to Slurm, and their rules."""
    return {
        int(job): rule for rule, job in re.findall(r"SLURM jobid \d+ \(log: \S+/rule_(\w+?)/(?:\S+/)?(\d+)\.log", log)
    }


def test_the_default_workflow_runs_on_its_partitions(outcome):
    log = (outcome.whole / "log").read_text()
    assert outcome.returncode == 0, log
    rules = submitted(log)
    remote = {"render_bricks": 1, "convert_scene": 1} | GPU_RULES
    assert {rule: list(rules.values()).count(rule) for rule in remote} == remote
    assert len(rules) == sum(remote.values())
    for number, rule in rules.items():
        job = outcome.jobs[number]
        print(number, rule, job["Partition"], job.get("TresPerJob", "no GPU"), job["TimeLimit"], job["JobState"])
        assert job["JobState"] == "COMPLETED"
        assert job["Partition"] == ("gpu" if rule in GPU_RULES else "cpu")
        assert job.get("TresPerJob") == ("gres:gpu:1" if rule in GPU_RULES else None)
        assert job["Requeue"] == "1"
        assert (outcome.whole / job["StdOut"]).exists()
    assert "bricks" in (outcome.whole / "results/table.md").read_text()
    for path in ("logs/train.log", "logs/evaluate_1.log", "benchmarks/train.tsv", "metrics.csv"):
        assert (outcome.whole / "results/bricks/mipnerf/bricks" / path).stat().st_size > 0


@pytest.mark.parametrize("fault", [*FAULTS, "orphaned"])
def test_a_training_that_met_a_fault_ends_with_the_very_same_weights(outcome, undisturbed, fault):
    weights = torch.load(outcome.victims[fault].folder / "model.pt", weights_only=True)["parameters"]
    assert weights.keys() == undisturbed.keys()
    assert all(torch.equal(weights[name], undisturbed[name]) for name in weights)


@pytest.mark.parametrize("fault", ["cancelled", "requeued", "preempted", "timed_out"])
def test_a_signal_of_slurm_reaches_the_training_which_saves_where_it_is(outcome, fault):
    victim = outcome.victims[fault]
    print(fault, "jobs", victim.jobs, "saved", victim.saved, "resumed after", victim.resumed)
    assert len(victim.saved) == (2 if fault == "timed_out" else 1)
    assert victim.resumed == victim.saved


def test_a_killed_training_goes_on_from_its_last_checkpoint(outcome):
    victim = outcome.victims["killed"]
    print("killed, jobs", victim.jobs, "resumed after", victim.resumed)
    (step,) = victim.resumed
    assert step % SAVE_EVERY == 0
    assert step < STEPS


def test_who_is_queued_again_keeps_the_job_and_who_failed_gets_another(outcome):
    for fault in ("requeued", "node_lost"):
        (number,) = outcome.victims[fault].jobs
        assert (outcome.jobs[number]["JobState"], outcome.jobs[number]["Restarts"]) == ("COMPLETED", "1")
    # A preempted job is one or the other: whichever of Slurm and Snakemake is faster.
    for fault in ("cancelled", "killed", "timed_out"):
        for number in outcome.victims[fault].jobs:
            assert outcome.jobs[number]["JobState"] in ("CANCELLED", "FAILED", "TIMEOUT")
    assert len(set(outcome.victims["timed_out"].jobs)) == 2
    assert "Trying to restart job" in (outcome.faulty / "second.log").read_text()


@pytest.mark.parametrize("fault", ["orphaned", "node_lost"])
def test_two_jobs_never_train_the_same_run(outcome, fault):
    victim = outcome.victims[fault]
    assert re.search(
        rf"is being trained by process \d+ on \S+, Slurm job {victim.jobs[0]}; this job goes on", victim.log
    )
    assert f"is trained: {STEPS} steps" in victim.log
    (resumed,) = victim.resumed
    print(fault, "jobs", victim.jobs, "resumed after", resumed)
    assert resumed == STEPS if fault == "orphaned" else resumed < STEPS
