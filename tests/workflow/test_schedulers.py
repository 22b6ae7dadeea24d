"""The scripts of the profiles, against schedulers' commands and drivers that answer as their manuals say."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import ROOT

GENERIC, KUBERNETES = "config/profiles/generic", "config/profiles/kubernetes"
JOB = ["gpu", "4", "8000", "90", "1", "job.sh"]  # queue, CPUs, MB, minutes, GPUs

# Script and arguments, the scheduler's commands with what they print, and what the script is to print.
CASES = [
    (f"{GENERIC}/lsf.sh", ["submit", *JOB], {"bsub": "Job <17> is submitted to queue <gpu>."}, "17"),
    (f"{GENERIC}/lsf.sh", ["status", "17"], {"bjobs": "DONE"}, "success"),
    (f"{GENERIC}/lsf.sh", ["status", "17"], {"bjobs": "EXIT"}, "failed"),
    (f"{GENERIC}/lsf.sh", ["status", "17"], {"bjobs": "PEND"}, "running"),
    (f"{GENERIC}/lsf.sh", ["status", "17"], {"bjobs": "UNKWN"}, "running"),
    (f"{GENERIC}/lsf.sh", ["status", "17"], {"bjobs": None}, "running"),
    (f"{GENERIC}/pbs.sh", ["submit", *JOB], {"qsub": "17.server"}, "17.server"),
    (f"{GENERIC}/pbs.sh", ["status", "17"], {"qstat": "    job_state = F\n    Exit_status = 0\n"}, "success"),
    (f"{GENERIC}/pbs.sh", ["status", "17"], {"qstat": "    job_state = F\n    Exit_status = 143\n"}, "failed"),
    (f"{GENERIC}/pbs.sh", ["status", "17"], {"qstat": "    job_state = R\n"}, "running"),
    (f"{GENERIC}/pbs.sh", ["status", "17"], {"qstat": None}, "running"),
    (f"{GENERIC}/sge.sh", ["submit", *JOB], {"qsub": "17"}, "17"),
    (f"{GENERIC}/sge.sh", ["status", "17"], {"qstat": "job_number: 17", "qacct": None}, "running"),
    (f"{GENERIC}/sge.sh", ["status", "17"], {"qstat": None, "qacct": "exit_status  0   "}, "success"),
    (f"{GENERIC}/sge.sh", ["status", "17"], {"qstat": None, "qacct": "exit_status  143 "}, "failed"),
    (f"{GENERIC}/sge.sh", ["status", "17"], {"qstat": None, "qacct": None}, "running"),
    (f"{KUBERNETES}/kubernetes.sh", ["submit", *JOB[1:]], {"kubectl": "job.batch/mipnerf-x"}, "job.batch/mipnerf-x"),
    (f"{KUBERNETES}/kubernetes.sh", ["status", "job/x"], {"kubectl": "Complete"}, "success"),
    (f"{KUBERNETES}/kubernetes.sh", ["status", "job/x"], {"kubectl": "FailureTarget Failed"}, "failed"),
    (f"{KUBERNETES}/kubernetes.sh", ["status", "job/x"], {"kubectl": None}, "running"),
    (f"{KUBERNETES}/kubernetes.sh", ["job/x", "job/y"], {"kubectl": "deleted"}, "deleted"),
]

# What the scheduler has to be asked for a job with a GPU.
REQUESTS = {
    f"{GENERIC}/lsf.sh": ["-q gpu", "-n 4", "rusage[mem=8000]", "-W 90", "-gpu num=1", "sh job.sh"],
    f"{GENERIC}/pbs.sh": ["-q gpu", "select=1:ncpus=4:mem=8000mb:ngpus=1", "walltime=5400", "job.sh"],
    f"{GENERIC}/sge.sh": ["-q gpu", "-pe smp 4", "h_vmem=2000M", "h_rt=5400", "-l gpu=1", "job.sh"],
    f"{KUBERNETES}/kubernetes.sh": [
        'requests: {cpu: "4", memory: 8000M}',
        'nvidia.com/gpu: "1"',
        "activeDeadlineSeconds: 5400",
        'command: [sh, "job.sh"]',
    ],
}


# What the scheduler of a script says of a job that runs.
RUNNING = {
    f"{GENERIC}/lsf.sh": {"bjobs": "RUN"},
    f"{GENERIC}/pbs.sh": {"qstat": "    job_state = R"},
    f"{GENERIC}/sge.sh": {"qstat": "job_number: 17", "qacct": None},
    f"{KUBERNETES}/kubernetes.sh": {"kubectl": ""},  # nothing is true of the job yet
}

# What its commands print where nothing is to be known of a job.
SILENCES = [
    (f"{GENERIC}/lsf.sh", {"bjobs": None}),
    (f"{GENERIC}/lsf.sh", {"bjobs": ""}),
    (f"{GENERIC}/lsf.sh", {"bjobs": "UNKWN"}),
    (f"{GENERIC}/pbs.sh", {"qstat": None}),
    (f"{GENERIC}/pbs.sh", {"qstat": ""}),
    (f"{GENERIC}/sge.sh", {"qstat": None, "qacct": None}),
    (f"{KUBERNETES}/kubernetes.sh", {"kubectl": None}),
]


def fake(folder: Path, answers: dict[str, str | None]) -> None:
    """Make commands that note what they were asked, and print an answer or, with None, fail."""
    for name, answer in answers.items():
        command = folder / name
        reply = "exit 1" if answer is None else f"printf '%s\\n' '{answer}'"
        command.write_text(f'#!/bin/sh\necho "$@" >>{folder}/asked\n[ -t 0 ] || cat >>{folder}/asked\n{reply}\n')
        command.chmod(0o755)


def answer_to(folder: Path, script: str, *arguments: str, check: bool = True) -> str:
    """What a script of a profile prints where the commands in `folder` are the scheduler's."""
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    options = {"cwd": folder, "env": environment, "stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    result = subprocess.run([ROOT / script, *arguments], **options, check=False)
    assert (result.returncode == 0) is check
    return result.stdout.strip()


@pytest.mark.parametrize(("script", "arguments", "answers", "expected"), CASES)
def test_a_scheduler_is_asked_and_understood(tmp_path, script, arguments, answers, expected):
    fake(tmp_path, answers)
    assert answer_to(tmp_path, script, *arguments) == expected
    if arguments[0] == "submit":
        asked = (tmp_path / "asked").read_text()
        assert [request for request in REQUESTS[script] if request not in asked] == []
        assert answer_to(tmp_path, script, *arguments[:-2], "0", "job.sh") == expected
        assert "gpu=1" not in (tmp_path / "asked").read_text().removeprefix(asked)


@pytest.mark.parametrize(("script", "silent"), SILENCES)
def test_a_job_of_which_nothing_is_heard_is_failed_in_the_end(tmp_path, script, silent):
    def states(minutes: float) -> list[str]:
        """Two answers, the second of which comes after so many minutes."""
        first = answer_to(tmp_path, script, "status", "job.batch/17")
        for mark in (tmp_path / ".snakemake/silence").iterdir():
            os.utime(mark, (0, time.time() - 60 * minutes))
        return [first, answer_to(tmp_path, script, "status", "job.batch/17")]

    fake(tmp_path, silent)
    assert states(50) == ["running", "running"]
    # Whatever is heard ends the silence.
    fake(tmp_path, RUNNING[script])
    assert states(0) == ["running", "running"]
    fake(tmp_path, silent)
    assert states(62) == ["running", "failed"]
    assert states(62) == ["running", "failed"]


@pytest.mark.parametrize(
    ("script", "answers"),
    [
        (f"{GENERIC}/lsf.sh", {"bsub": None}),
        (f"{GENERIC}/lsf.sh", {"bsub": "Request aborted by esub."}),
        (f"{GENERIC}/pbs.sh", {"qsub": None}),
        (f"{GENERIC}/sge.sh", {"qsub": None}),
        (f"{KUBERNETES}/kubernetes.sh", {"kubectl": None}),
    ],
)
def test_a_job_that_cannot_be_submitted_has_failed(tmp_path, script, answers):
    fake(tmp_path, answers)
    arguments = JOB[1:] if script.startswith(KUBERNETES) else JOB
    assert answer_to(tmp_path, script, "submit", *arguments, check=False) == ""


def test_jobs_at_the_same_time_get_a_gpu_each(tmp_path):
    (tmp_path / ".snakemake").mkdir()
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    command = [ROOT / "config/profiles/local/on_free_gpu.sh", "sh", "-c", "echo ${CUDA_VISIBLE_DEVICES-any}; read line"]
    options = {"cwd": tmp_path, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with_gpus = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def start(environment):
        process = subprocess.Popen(command, env=environment, **options)
        return process, process.stdout.readline().strip()

    jobs = [start(with_gpus) for _ in range(2)]
    assert [gpu for _, gpu in jobs] == ["0", "1"]
    jobs[0][0].communicate("end\n")
    jobs.append(start(with_gpus))
    assert jobs[-1][1] == "0"
    if not shutil.which("nvidia-smi"):
        jobs.append(start({"PATH": os.environ["PATH"]}))
        assert jobs[-1][1] == "any"
    for process, _ in jobs[1:]:
        process.communicate("end\n")
