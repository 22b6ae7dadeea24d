"""What the processes of one training agree on, without starting any; tests/faults starts them."""

import contextlib
import os
import socket
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mipnerf.devices import resolve_device
from mipnerf.errors import ConfigError
from mipnerf.training.distributed import ALONE, World, join_world


@given(st.integers(1, 16), st.integers(1, 600), st.integers(1, 700))
def test_every_ray_is_one_process_s_and_whole_parts_where_they_divide(size, num_rays, part_size):
    worlds = [World(rank, size) for rank in range(size)]
    if num_rays < size:
        with pytest.raises(ConfigError, match=rf"batch_size {num_rays} is less than the {size} processes"):
            worlds[0].share(num_rays, part_size)
        return
    shares = [world.share(num_rays, part_size) for world in worlds]
    assert [ray for share in shares for ray in share] == list(range(num_rays))
    assert min(map(len, shares)) > 0
    if -(-num_rays // part_size) % size == 0:
        assert all(share.start % part_size == 0 for share in shares)
    else:
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_threads_are_shared_by_the_processes_of_one_machine():
    assert [World(0, 8, local).threads(6) for local in (1, 2, 4, 8)] == [6, 3, 1, 1]
    assert ALONE.threads(0) == len(os.sched_getaffinity(0))


def test_alone_nothing_is_asked_and_nothing_is_joined(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    tensors = [torch.ones(2)]
    assert ALONE.sum(tensors) is tensors
    assert ALONE.largest(3, False) == [3, False]
    assert ALONE.from_main(lambda: "made") == "made"
    with join_world(torch.device("cpu")) as world:
        assert world is ALONE
    assert not torch.distributed.is_initialized()


@pytest.fixture
def gpus(monkeypatch):
    """A function: so many GPUs, as PyTorch would count them."""

    def pretend(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return pretend


def test_each_process_of_a_machine_takes_its_own_gpu(gpus, monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    gpus(2)
    assert resolve_device("auto") == torch.device("cuda")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda", 1)
    assert resolve_device("cpu") == torch.device("cpu")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError, match=r"process 3 of this machine finds 2 GPU\(s\).*at most 2 of them"):
        resolve_device("auto")
    gpus(0)
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(ConfigError, match="PyTorch finds no GPU"):
        resolve_device("cuda")


# The second process ends, at once or while the first waits for it; the first says what each call of it raises.
PEER = """
import os, sys, torch
from mipnerf.training.distributed import join_world
from mipnerf.errors import PeerLost
with join_world(torch.device("cpu")) as world:
    assert world.largest(world.rank, 5) == [1, 5]
    assert world.sum([torch.ones(2), torch.full((), 2.0)])[0].tolist() == [2.0, 2.0]
    assert world.from_main(lambda: {"rank": world.rank, "weights": torch.arange(3.0)})["weights"].sum() == 3
    if world.rank == 1:
        os._exit(9)
    for call in (world.wait, lambda: world.sum([torch.ones(1)]), lambda: world.from_main(lambda: 1)):
        try:
            call()
        except PeerLost as error:
            print(error, flush=True)
    os._exit(0)
"""


@pytest.mark.slow
def test_the_loss_of_a_process_is_told_from_other_errors():
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PEER],
            env=os.environ | place | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        said = processes[0].communicate(timeout=120)[0].splitlines()
        assert [process.wait(120) for process in processes] == [0, 9]
    finally:
        for process in processes:
            process.kill()
    assert len(said) == 3
    assert all("another process of this training has ended or cannot be reached" in line for line in said)
