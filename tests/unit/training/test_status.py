import os
import signal
import socket
import subprocess
import sys

import pytest
import yaml

from mipnerf.config import OperationConfig
from mipnerf.errors import Interrupted
from mipnerf.training import stepping
from mipnerf.training.claims import only_one
from mipnerf.training.history import HistoryRow, last_row, read_rows, write_rows
from mipnerf.training.loop import train
from mipnerf.training.results import adopt_run
from mipnerf.training.status import error_at_end, find_failure, format_statuses, is_finished, read_statuses

OPERATION = OperationConfig(print_every=3, device="cpu")


def test_finished_stopped_and_running_runs_are_told_apart(tmp_path, monkeypatch, small_run, small_scene):
    done, stopped = tmp_path / "toy" / "a" / "done", tmp_path / "toy" / "a" / "stopped"
    train(small_run, OPERATION, small_scene, done, threads=1)
    original = stepping.train_step

    def stop(*args, **kwargs):
        raise Interrupted("stopped", 15)

    calls = iter([original] * 7)
    monkeypatch.setattr(stepping, "train_step", lambda *a, **k: next(calls, stop)(*a, **k))
    with pytest.raises(Interrupted):
        train(small_run, OPERATION, small_scene, stopped, threads=1)
    states = {status.name: status for status in read_statuses(tmp_path)}
    assert states["toy/a/done"].state == "done"
    assert states["toy/a/done"].cells()[2] == "12/12"
    assert states["toy/a/stopped"].state == "stopped"
    assert states["toy/a/stopped"].cells()[2] == "6/12"
    with only_one(stopped):
        running = {status.name: status for status in read_statuses(tmp_path)}["toy/a/stopped"]
        assert running.state == "running"
        assert running.cells()[6] != "—"
        assert running.cells()[8] == socket.gethostname()
        (stopped / "checkpoints" / "owner.txt").write_text("process 7 on node3.site, Slurm job 16")
        assert read_statuses(tmp_path)[1].host == "node3.site, job 16"
    assert read_statuses(tmp_path)[1].host is None


def test_the_command_prints_a_table_or_says_what_to_do(tmp_path, small_run, small_scene):
    command = [sys.executable, "-m", "mipnerf", "status", str(tmp_path)]
    empty = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "no runs in" in empty.stdout
    train(small_run, OPERATION, small_scene, tmp_path / "toy" / "mipnerf" / "box", threads=1)
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "toy/mipnerf/box" in table
    assert "12/12" in table


def test_a_model_from_elsewhere_is_listed(tmp_path, small_run, small_scene):
    train(small_run, OPERATION, small_scene, tmp_path / "toy" / "a" / "box", threads=1)
    adopt_run(tmp_path / "toy" / "a" / "box", tmp_path / "toy" / "b" / "box")
    assert [(status.name, status.state) for status in read_statuses(tmp_path)] == [
        ("toy/a/box", "done"),
        ("toy/b/box", "adopted"),
    ]


def write_log(folder, name, text):
    log = folder / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)
    return log


STEP = "toy/a/box | step     100/1,000 | loss 0.1 | psnr 10.0\n"
ERROR = "DataError: no images in data/toy\n  add some\n"


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        (STEP + ERROR, ["DataError: no images in data/toy", "  add some"]),
        ("x" * 40_000 + "\n" + ERROR, ["DataError: no images in data/toy", "  add some"]),
        ("ERROR: a launcher's\nTrainingDiverged: at step 5,000; lower\n", ["TrainingDiverged: at step 5,000; lower"]),
        (ERROR + "Interrupted: stopped by signal 15\n", []),
        (ERROR + STEP, []),
        (ERROR + "toy/a/box goes on after step 1,000 of 2,000\n", []),
        (ERROR + "toy/a/box level 1: rendering 200 views\n", []),
        (ERROR + "toy/a/box level 1: 200 of 1,200 views are there\n", []),
        ("toy/a/box level 1: rendering 200 views\n" + ERROR, ["DataError: no images in data/toy", "  add some"]),
        ("Traceback\n  x\ntorch.OutOfMemoryError: CUDA\n", ["torch.OutOfMemoryError: CUDA"]),
        ("Traceback\n  x\nAssertionError\n", ["AssertionError"]),
        (STEP, []),
        ("", []),
    ],
)
def test_a_log_ends_in_an_error_unless_the_job_went_on_or_was_stopped(tmp_path, text, ending):
    assert error_at_end(write_log(tmp_path, "train", text)) == ending


def test_failed_and_unbegun_runs_are_listed_too(tmp_path, small_run, small_scene):
    names = [f"toy/a/{scene}" for scene in ("later", "broken", "unscored", "box")]
    for scene in ("unscored", "box"):
        train(small_run, OPERATION, small_scene, tmp_path / "toy" / "a" / scene, threads=1)
        write_log(tmp_path / "toy" / "a" / scene, "evaluate_1_2_of_3", ERROR)
    write_log(tmp_path / "toy" / "a" / "broken", "train", ERROR)
    # What was made in spite of an old error is no failure.
    (tmp_path / "toy" / "a" / "box" / "level_1").mkdir()
    (tmp_path / "toy" / "a" / "box" / "level_1" / "metrics.csv").touch()
    statuses = read_statuses(tmp_path, names)
    assert [(status.name, status.state) for status in statuses] == list(
        zip(names, ["not begun", "failed", "failed", "done"], strict=True)
    )
    text = format_statuses(statuses)
    assert "4 runs: 1 not begun, 2 failed, 1 done" in text
    assert "broken/logs/train.log:\n  DataError: no images" in text
    assert "unscored/logs/evaluate_1_2_of_3.log:" in text
    assert not is_finished(statuses)
    assert is_finished(read_statuses(tmp_path, names[3:], others=False))
    with only_one(tmp_path / "toy" / "a" / "unscored"):
        assert read_statuses(tmp_path, names)[2].state == "running"


@pytest.mark.parametrize(
    ("log", "products"),
    [
        ("train", ["model.pt"]),
        ("adopt", ["model.pt"]),
        ("evaluate", ["metrics.csv"]),
        ("evaluate_1", ["level_1/metrics.csv"]),
        ("evaluate_1_2_of_3", ["level_1/shards/2_of_3.csv", "level_1/metrics.csv"]),
    ],
)
def test_an_error_counts_until_what_the_job_makes_is_there(tmp_path, log, products):
    assert find_failure(tmp_path) is None
    path = write_log(tmp_path, log, ERROR)
    for product in map(tmp_path.joinpath, products):
        assert find_failure(tmp_path).log == path
        product.parent.mkdir(parents=True, exist_ok=True)
        product.touch()
        assert find_failure(tmp_path) is None
        product.unlink()


def test_of_many_failures_the_first_are_shown(tmp_path):
    names = [f"toy/a/s{i}" for i in range(30)]
    for name in names:
        write_log(tmp_path / name, "train", ERROR)
    text = format_statuses(read_statuses(tmp_path, names))
    assert text.count("DataError") == 10
    assert text.endswith("and 20 more that failed")


def test_the_last_row_of_a_history_is_found_without_reading_it_all(tmp_path):
    path = tmp_path / "history.csv"
    assert last_row(path) is None
    for count in (1, 500):
        write_rows(path, [HistoryRow(i, 0.1, 20.0, 1e-3, 500.0, float(i)) for i in range(count)])
        with open(path, "a") as stream:
            stream.write("999,0.1")
        assert last_row(path) == read_rows(path)[-1]
        assert last_row(path).step == count - 1


@pytest.fixture
def project(tmp_path):
    """A project with a configuration of one run."""
    (tmp_path / "config").mkdir()
    content = {
        "datasets": {"datasets": {"toy": {"source": "toys", "scenes": ["box"], "levels": 2}}},
        "variants": {"variants": {"mipnerf": {}, "later": {}}},
        "config": {"runs": [{"dataset": "toy", "variants": ["mipnerf"]}]},
    }
    for name, values in content.items():
        (tmp_path / "config" / f"{name}.yaml").write_text(yaml.safe_dump(values))
    both = {"runs": [{"dataset": "toy", "variants": ["mipnerf", "later"]}]}
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(both))
    return tmp_path


def watch(project, *arguments):
    """`status --watch` as a process."""
    command = [sys.executable, "-m", "mipnerf", "status", "results", "--watch", "0.2", *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    return subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True)


def test_watching_goes_on_until_all_runs_are_done_or_ctrl_c(project, small_run, small_scene):
    with watch(project) as watching:
        lines = iter(watching.stdout.readline, "")
        assert any("not begun" in line for line in lines)
        train(small_run, OPERATION, small_scene, project / "results" / "toy" / "mipnerf" / "box", threads=1)
        rest = watching.stdout.read()
    assert watching.returncode == 0
    assert "1 run: 1 done" in rest
    assert "\x1b" not in rest
    with watch(project, "--configfile", "both.yaml") as watching:
        lines = iter(watching.stdout.readline, "")
        assert any("2 runs: 1 done, 1 not begun" in line for line in lines)
        watching.send_signal(signal.SIGINT)
        watching.stdout.read()
    assert watching.returncode == 0
