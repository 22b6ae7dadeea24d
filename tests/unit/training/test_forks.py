"""Processes that compute parts of a batch: the bits of one process, and none left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from stopped import StopAt, same, weights

from mipnerf.config import OperationConfig
from mipnerf.errors import Interrupted, PeerLost
from mipnerf.training import forks, stepping
from mipnerf.training.loop import Trainer, train

pytestmark = pytest.mark.skipif(not forks.can_fork(), reason="processes compute parts on Linux without a GPU only")

OPERATION = OperationConfig(print_every=3, save_every=5, device="cpu", microbatch_rays=8)  # four parts of each batch
BOX = {"box": [-1.0, -1.0, -1.0, 1.0, 1.0, 1.0], "white_bkgd": True}
RUNS = [
    {},
    {"train": {"optimizer": "muon", "precision": "bfloat16"}, "model": {"single_mlp": False, "proposal_depth": 1}},
    {"train": {"weight_decay_mult": 0.1, "grad_max_norm": 0.1}, "data": BOX | {"foreground_tries": 2}},
    {"train": {"backward_share": 0.3, "precision": "bfloat16"}},
]


def after_steps(run, scene, threads: int, steps: int = 4, with_forks: bool = True) -> Trainer:
    trainer = Trainer.create(run, OPERATION, scene, threads)
    trainer.can_fork = with_forks
    for trainer.step in range(1, steps + 1):
        trainer.losses = trainer.take_step(1e-2)
    return trainer


def children(pid: int) -> list[int]:
    """The processes that `pid` has started and that still run or were not waited for."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("sections", RUNS, ids=str)
def test_processes_threads_and_one_of_either_give_the_same_bits(run_with, small_scene, sections):
    run = run_with(**sections)
    alone = after_steps(run, small_scene, threads=1)
    assert alone.forks is None
    for threads, with_forks in ((2, False), (2, True), (3, True), (9, True)):
        trainer = after_steps(run, small_scene, threads, with_forks=with_forks)
        assert (trainer.forks.count if trainer.forks else 0) == (min(threads, 4) if with_forks else 0)
        assert torch.equal(trainer.losses, alone.losses)
        assert same(trainer.model.state_dict(), alone.model.state_dict())


def test_weights_that_are_loaded_are_those_of_all_processes(run_with, small_scene):
    later = after_steps(run_with(), small_scene, threads=1, steps=7).model.state_dict()
    trainer = after_steps(run_with(), small_scene, threads=2, steps=3)
    state = after_steps(run_with(), small_scene, 1, steps=5).state()
    trainer.model.load_state_dict(state["parameters"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.restore_draws(state["batch_generator"])
    for trainer.step in (6, 7):
        trainer.take_step(1e-2)
    assert same(trainer.model.state_dict(), later)


def test_a_training_that_is_stopped_and_goes_on_with_other_processes_is_the_same(
    monkeypatch, tmp_path, small_run, small_scene
):
    train(small_run, OPERATION, small_scene, tmp_path / "whole", threads=1)
    StopAt(monkeypatch, step=7)
    with pytest.raises(Interrupted):
        train(small_run, OPERATION, small_scene, tmp_path / "stopped", threads=2)
    monkeypatch.undo()
    train(small_run, OPERATION, small_scene, tmp_path / "stopped", threads=3)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    assert (tmp_path / "whole/model.pt").read_bytes() == (tmp_path / "stopped/model.pt").read_bytes()


def test_the_end_of_a_process_is_an_error_that_says_what_to_do(run_with, small_scene):
    trainer = after_steps(run_with(), small_scene, threads=3)
    os.kill(trainer.forks.pids[0], signal.SIGKILL)
    with pytest.raises(PeerLost, match="goes on from the last checkpoint"):
        trainer.take_step(1e-2)


def test_an_error_in_a_process_is_shown(capfd, monkeypatch, run_with, small_scene):
    mine = os.getpid()

    def fail_elsewhere(*args):
        if os.getpid() != mine:
            raise ValueError("only here")
        return part_gradients(*args)

    part_gradients = stepping.part_gradients
    monkeypatch.setattr(stepping, "part_gradients", fail_elsewhere)
    with pytest.raises(PeerLost):
        after_steps(run_with(), small_scene, threads=2)
    assert "ValueError: only here" in capfd.readouterr().err


def test_where_no_process_can_be_started_threads_compute(caplog, monkeypatch, run_with, small_scene):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    trainer = after_steps(run_with(), small_scene, threads=2)
    assert trainer.forks is None
    assert caplog.text.count("threads compute the parts of a batch") == 1
    monkeypatch.undo()
    assert same(trainer.model.state_dict(), after_steps(run_with(), small_scene, threads=1).model.state_dict())


def test_signals_are_for_the_training_alone(run_with, small_scene):
    trainer = after_steps(run_with(), small_scene, threads=2, steps=1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        os.kill(trainer.forks.pids[0], number)
    trainer.step = 2
    trainer.take_step(1e-2)
    assert same(trainer.model.state_dict(), after_steps(run_with(), small_scene, 1, steps=2).model.state_dict())


def test_no_process_computes_far_ahead_of_what_is_taken():
    """Each part is its number, and few of them are in memory at a time."""
    parameter = torch.nn.Parameter(torch.zeros(3))

    def compute(step, _draws, numbers):
        return ((torch.full((2,), float(step)), [torch.full((3,), float(number))]) for number in numbers)

    several = forks.Forks(3, 20, compute, [parameter], 2, torch.zeros(1))
    assert several.results.shape == (2, forks.SLOTS, 5)
    for step in (1, 2):
        several.begin(step, torch.zeros(1))
        taken = [
            (losses.tolist(), gradient.tolist())
            for losses, (gradient,) in several.gather(compute(step, None, range(0, 20, 3)))
        ]
        assert taken == [([step] * 2, [number] * 3) for number in range(20)]


def test_they_end_where_the_ends_of_processes_are_ignored(run_with, small_scene):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        trainer = after_steps(run_with(), small_scene, threads=3)
        pids = trainer.forks.pids
        os.kill(pids[0], signal.SIGKILL)
        while Path(f"/proc/{pids[0]}").exists():
            time.sleep(0.01)
        trainer.forks.end()
        assert not any(map(is_running, pids))
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_none_is_left_when_a_training_is_over(tmp_path, small_run, small_scene):
    before = children(os.getpid())
    train(small_run, OPERATION, small_scene, tmp_path, threads=2)
    assert children(os.getpid()) == before


PROGRAM = """
import sys, time
import torch
from mipnerf.training.forks import Forks

parameter = torch.nn.Parameter(torch.zeros(3))

def compute(step, draws, numbers):
    for _ in numbers:
        time.sleep(3600)
        yield torch.zeros(1), [torch.zeros(3)]

forks = Forks(3, 3, compute, [parameter], 1, torch.zeros(1))
forks.begin(1, torch.zeros(1))
print(*forks.pids, flush=True)
time.sleep(3600)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_none_is_left_when_a_training_is_killed_in_the_middle_of_a_step():
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as training:
        pids = [int(pid) for pid in training.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_running, pids))
        training.kill()
    until = time.monotonic() + 20
    while any(map(is_running, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(is_running, pids))
