import subprocess
import sys

import pytest

from mipnerf import training
from mipnerf.config import OperationConfig
from mipnerf.errors import Interrupted
from mipnerf.results import adopt_run
from mipnerf.status import read_statuses
from mipnerf.training import train

OPERATION = OperationConfig(print_every=3, device="cpu")


def test_finished_stopped_and_running_runs_are_told_apart(tmp_path, monkeypatch, small_run, small_scene):
    done, stopped = tmp_path / "toy" / "a" / "done", tmp_path / "toy" / "a" / "stopped"
    train(small_run, OPERATION, small_scene, done, threads=1)
    original = training.train_step

    def stop(*args, **kwargs):
        raise Interrupted("stopped", 15)

    calls = iter([original] * 7)
    monkeypatch.setattr(training, "train_step", lambda *a, **k: next(calls, stop)(*a, **k))
    with pytest.raises(Interrupted):
        train(small_run, OPERATION, small_scene, stopped, threads=1)
    states = {status.name: status for status in read_statuses(tmp_path)}
    assert states["toy/a/done"].state == "done"
    assert states["toy/a/done"].cells()[2] == "12/12"
    assert states["toy/a/stopped"].state == "stopped"
    assert states["toy/a/stopped"].cells()[2] == "6/12"
    with training._only_one(stopped):
        running = {status.name: status for status in read_statuses(tmp_path)}["toy/a/stopped"]
        assert running.state == "running"
        assert running.cells()[5] != "—"


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
