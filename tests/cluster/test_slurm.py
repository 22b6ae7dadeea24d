"""The whole workflow on a real Slurm, and what becomes of trainings that meet its faults."""

import re
import subprocess
from types import SimpleNamespace

import pytest
import torch
import yaml
from workflow.conftest import ROOT, Project

from mipnerf.config import OperationConfig, RunConfig
from mipnerf.datasets.load import load_scene
from mipnerf.training.loop import train

from . import slurm
from .faults import FAULTS, PATIENCE, SAVE_EVERY, STEPS, campaign, prepare, start, wait_for

# Two levels of resolution tell as much as four.
LEVELS = ("--config", "datasets={bricks: {levels: 2}}")
GPU_RULES = {"train": 2, "evaluate": 2}


@pytest.fixture(scope="session")
def outcome(cluster, tmp_path_factory) -> SimpleNamespace:
    """The default workflow and, beside it, other runs and those with faults: all at once, since Slurm mostly waits."""
    whole, broken, array, faulty = (
        Project(tmp_path_factory.mktemp(name) / "project") for name in ("whole", "broken", "array", "faulty")
    )
    processes = {whole.folder: start(whole, "log", "--configfile=config/test/toy.yaml", *LEVELS)}
    try:
        processes[broken.folder], queue = start_on_two_gpus(broken)
        processes[array.folder] = start_array(array)
        victims = campaign(faulty, cluster)
        returncodes = {folder: process.wait(PATIENCE) for folder, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
    return SimpleNamespace(
        whole=whole.folder,
        broken=broken.folder,
        array=array.folder,
        faulty=faulty.folder,
        returncodes=returncodes,
        victims=victims,
        jobs=slurm.jobs(),
        queue=queue,
    )


def start_on_two_gpus(project: Project) -> tuple[subprocess.Popen, str]:
    """Start two trainings, one of which is bound to fail, where two GPUs are free, but not on the same node.

    Also returns what the command of docs/clusters.md says of the queue meanwhile.
    """
    prepare(project, {"healthy": {}, "failing": {"train": {"lr_init": 1e20, "lr_final": 1e20}}})
    path = project.folder / "config/profiles/slurm/profile.v9+.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["retries"] = 0
    training = profile["set-resources"]["train"]
    training |= {"slurm_partition": "mixed", "gpu": 2}
    training["launcher"] += " torchrun --standalone --nproc-per-node=2 --no-python --"
    path.write_text(yaml.safe_dump(profile))
    options = "--parsable --partition=mixed --nodelist=twin --gpus=2 --time=10 --output=/dev/null"
    other = int(slurm.run("sbatch", *options.split(), "--wrap=sleep 600"))
    process = start(project, "log", "--configfile=runs.yaml", "--", "metrics")
    wait_for(lambda: is_placed(other), "two GPUs on a node, or on two")
    (command,) = re.findall(r"```sh\n(squeue .*)\n```", (ROOT / "docs" / "clusters.md").read_text())
    queue = slurm.run("sh", "-c", command)
    slurm.run("scancel", str(other))
    return process, queue


def is_placed(other: int) -> bool:
    """Whether Slurm has decided on a job of the partition of nodes with one and two GPUs, besides `other`."""
    jobs = [job for number, job in slurm.jobs().items() if job["Partition"] == "mixed" and number != other]
    return any(job["JobState"] != "PENDING" or job["Reason"] == "Resources" for job in jobs)


def start_array(project: Project) -> subprocess.Popen:
    """Start two trainings as one job array, of which every task waits for the files of the first."""
    prepare(project, {"first": {}, "second": {}})
    options = ("--slurm-array-jobs=train", "--latency-wait=600", "--keep-incomplete")
    return start(project, "log", "--configfile=runs.yaml", *options, "--", "models")


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
    assert outcome.returncodes[outcome.whole] == 0, log
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
        assert job["JobName"].startswith("mipnerf_")
        assert job["Comment"].startswith(f"rule_{rule}")
        assert (outcome.whole / job["StdOut"]).exists()
    assert "bricks" in (outcome.whole / "results/table.md").read_text()
    for path in ("logs/train.log", "logs/evaluate.log", "benchmarks/train.tsv", "metrics.csv"):
        assert (outcome.whole / "results/bricks/mipnerf/bricks" / path).stat().st_size > 0


def test_the_queue_says_which_job_is_which(outcome):
    assert "rule_train" in outcome.queue


def test_a_job_with_two_gpus_waits_for_a_node_that_has_both(outcome):
    rules = submitted((outcome.broken / "log").read_text())
    trainings = [outcome.jobs[number] for number, rule in rules.items() if rule == "train"]
    assert len(trainings) == 2
    for job in trainings:
        assert (job["TresPerJob"], job["NumNodes"], job["NodeList"]) == ("gres:gpu:2", "1", "twin")
    config = yaml.safe_load((outcome.broken / "results/bricks/healthy/bricks/config.yaml").read_text())
    assert config["record"]["processes"] == 2


def test_a_run_that_fails_leaves_the_others_their_metrics_and_the_exit_status_says_so(outcome):
    log = (outcome.broken / "log").read_text()
    assert outcome.returncodes[outcome.broken] == 1
    assert (outcome.broken / "results/bricks/healthy/bricks/metrics.csv").exists()
    assert not (outcome.broken / "results/bricks/failing/bricks/metrics.csv").exists()
    assert "the loss is not finite" in log


def test_the_tasks_of_a_job_array_train_their_runs(outcome):
    log = (outcome.array / "log").read_text()
    assert outcome.returncodes[outcome.array] == 0, log
    number = re.search(r"Submitted array job .* SLURM job ID (\d+)", log)[1]
    tasks = [job for job in outcome.jobs.values() if job.get("ArrayJobId") == number]
    assert [job["JobState"] for job in tasks] == ["COMPLETED"] * 2
    for name in ("first", "second"):
        assert (outcome.array / "results/bricks" / name / "bricks/model.pt").exists()


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
    for fault in ("cancelled", "killed", "timed_out", "slurmstepd_killed"):
        for number in outcome.victims[fault].jobs:
            assert outcome.jobs[number]["JobState"] in ("CANCELLED", "FAILED", "TIMEOUT")
    assert len(set(outcome.victims["timed_out"].jobs)) == 2
    assert "Trying to restart job" in (outcome.faulty / "second.log").read_text()


@pytest.mark.parametrize("fault", ["drained", "slurmd_killed"])
def test_a_training_outlives_the_node_being_drained_and_its_daemon(outcome, fault):
    victim = outcome.victims[fault]
    (number,) = victim.jobs
    assert (outcome.jobs[number]["JobState"], outcome.jobs[number]["Restarts"]) == ("COMPLETED", "0")
    assert victim.resumed == []


def test_a_training_ends_without_its_slurmstepd_and_the_next_job_takes_it_over(outcome):
    victim = outcome.victims["slurmstepd_killed"]
    print("slurmstepd_killed, jobs", victim.jobs, "resumed after", victim.resumed)
    assert victim.resumed == [STEPS]


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
