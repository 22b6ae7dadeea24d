"""A training that is killed, however and whenever, ends with the very weights of one that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import astuple
from pathlib import Path

import pytest
import torch
from processes import PATIENCE, signalled
from ready import python_of_jobs

from mipnerf.datasets.bricks import render_bricks
from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.training.history import read_rows, read_validation

SCRIPT = Path(__file__).parents[2] / "workflow_scripts" / "train.py"
STEPS = 200


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    render_bricks(folder / "source", size=32, num_train=4, num_val=1, num_test=1, samples=1, workers=1)
    convert_to_multiscale(folder / "source", folder / "scene", num_levels=2)
    return folder / "scene"


def command(data: Path, output: Path, threads: int = 1) -> list[str]:
    settings = (
        "model.net_depth=2 model.net_width=16 model.num_samples=8 model.max_deg_point=6 train.batch_size=128 "
        f"train.max_steps={STEPS} train.lr_init=5.0e-3 train.lr_final=5.0e-4 train.lr_delay_steps=2 "
        "operation.save_every=7 operation.print_every=10 operation.device=cpu"
    )
    arguments = ["--data", str(data), "--output", str(output), "--threads", str(threads), "--set", *settings.split()]
    return [sys.executable, str(SCRIPT), *arguments]


def saved_step(output: Path) -> int:
    states = output.glob("checkpoints/*/step_*.pt")
    return max((int(path.name.split("-")[0].removeprefix("step_")) for path in states), default=0)


def run_until(data: Path, output: Path, step: int, number: int) -> subprocess.Popen:
    """Start training, in two processes, and send a signal as soon as a checkpoint of `step` or later is there."""
    return signalled(command(data, output, threads=2), number, lambda: saved_step(output) >= step)


def finish(data: Path, output: Path) -> str:
    """Train to the end; what was logged."""
    words = [python_of_jobs(), *command(data, output)[1:]]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "bricks" / "mipnerf" / "scene"
    finish(data, output)
    return output


def assert_same(output: Path, expected: Path) -> None:
    """Weights, history and validation of two trainings, but for their times."""
    models = (torch.load(folder / "model.pt", weights_only=True) for folder in (output, expected))
    weights, others = (model["parameters"] for model in models)
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in others)
    for read, name in ((read_rows, "history.csv"), (read_validation, "validation.csv")):
        rows, other_rows = ([astuple(row) for row in read(folder / name)] for folder in (output, expected))
        times = {list(vars(read(output / name)[0])).index(column) for column in TIMES[name]}
        assert [without(row, times) for row in rows] == [without(row, times) for row in other_rows]


TIMES = {"history.csv": ("rays_per_s", "seconds"), "validation.csv": ("seconds",)}


def without(row: tuple, places: set[int]) -> list:
    return [value for place, value in enumerate(row) if place not in places]


def test_killed_at_three_random_moments(data, tmp_path, undisturbed):
    output = tmp_path / "bricks" / "mipnerf" / "scene"
    moments = sorted(random.SystemRandom().sample(range(2, STEPS // 2), 3))
    print("killed at the first checkpoints from the steps", moments)
    for moment in moments:
        # A later moment may have passed before the last kill took effect.
        process = run_until(data, output, max(moment, saved_step(output) + 1), signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert not (output / "model.pt").exists()
    log = finish(data, output)
    assert "goes on after step" in log
    assert_same(output, undisturbed)


def test_killed_before_the_first_checkpoint_starts_again(data, tmp_path, undisturbed):
    output = tmp_path / "bricks" / "mipnerf" / "scene"
    process = subprocess.Popen(command(data, output), stderr=subprocess.DEVNULL)
    while not output.exists():
        time.sleep(0.001)
    process.kill()
    process.wait(PATIENCE)
    assert saved_step(output) <= 1
    finish(data, output)
    assert_same(output, undisturbed)


def test_each_signal_saves_says_so_and_loses_nothing(data, tmp_path, undisturbed):
    output = tmp_path / "bricks" / "mipnerf" / "scene"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        before = saved_step(output)
        process = run_until(data, output, before + 1, number)
        message = process.stderr.read()
        assert process.returncode == 128 + number
        assert f"was stopped by signal {int(number)}; step {saved_step(output)} is saved" in message
        assert not before or f"goes on after step {before} of" in message
        assert "Traceback" not in message
    step = saved_step(output)
    log = finish(data, output)
    assert f"goes on after step {step} of" in log
    assert_same(output, undisturbed)


def test_a_full_disk_stops_with_a_message_and_keeps_the_last_state(data, tmp_path, undisturbed):
    if os.geteuid() != 0 or subprocess.run(["which", "mount"], capture_output=True, check=False).returncode:
        pytest.skip("needs root and mount to make a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("this machine does not let us mount a small file system")
    try:
        output = disk / "bricks" / "mipnerf" / "scene"
        output.mkdir(parents=True)
        process = run_until(data, output, 10, signal.SIGTERM)
        step = saved_step(output)
        space = os.statvfs(disk)
        filler = disk / "filler"
        # Room for small files, none for the next checkpoint.
        filler.write_bytes(bytes(space.f_bavail * space.f_bsize - (16 << 10)))
        process = subprocess.run(command(data, output), capture_output=True, text=True, check=False)
        assert process.returncode == 1
        assert "No space left on device" in process.stderr
        assert saved_step(output) == step
        assert not list(output.rglob("*.part*"))
        filler.unlink()
        finish(data, output)
        assert_same(output, undisturbed)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
