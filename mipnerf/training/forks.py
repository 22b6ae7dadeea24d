"""Processes that compute parts of each batch on a CPU, beside the one that trains.

Threads would wait for Python's lock at each of the hundreds of short operations of a part: with the network of
config/lego.yaml, two processes take three quarters of the time of two threads. The processes are forks of the training,
which know the network and the pixels, and die with it. They are told the step and what its batch is drawn with, read
the weights and write gradients in memory that all of them share.
"""

import ctypes
import mmap
import os
import signal
import socket
import struct
import sys
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

import torch
from torch import Tensor, nn

from mipnerf.errors import PeerLost
from mipnerf.signals import STOP_SIGNALS

Gradient = tuple[Tensor, Sequence[Tensor]]  # losses [L] of the levels, and the gradients of all parameters
STEP = struct.Struct("q")
DONE, FREE = b"\1", b"\2"
SLOTS = 2  # gradients that a fork may have computed before they are taken
PR_SET_PDEATHSIG = 1  # of Linux's prctl.h: the signal that comes when the parent ends


def can_fork() -> bool:
    """Whether libraries survive it: those of Linux do, but not PyTorch's gradients where there is a GPU."""
    return sys.platform.startswith("linux") and torch.cuda.device_count() == 0


class Forks:
    """`count` - 1 forks of this process, each with its share of the `num_parts` parts of every batch.

    Part i is process i % count's, of which this is number 0.

    Args:
        compute: gives the gradients of parts, of the batch that a generator in a given state draws, at a step.
        parameters: of the network; they are moved into shared memory, where they may only be changed in place.
        num_losses: how many come with each gradient.
        draws: a state of the generator.

    Raises:
        OSError: the system allows no further process.
    """

    def __init__(
        self,
        count: int,
        num_parts: int,
        compute: Callable[[int, Tensor, range], Iterable[Gradient]],
        parameters: Sequence[nn.Parameter],
        num_losses: int,
        draws: Tensor,
    ) -> None:
        self.count, self.num_losses, self.parameters = count, num_losses, parameters
        for parameter in parameters:
            parameter.data = shared(parameter.data)
        self.draws = shared(draws)
        size = num_losses + sum(parameter.numel() for parameter in parameters)
        self.shares = [range(rank, num_parts, count) for rank in range(count)]
        self.results = shared(torch.zeros(count - 1, SLOTS, size))
        self.sockets: list[socket.socket] = []
        self.pids: list[int] = []
        self.end = weakref.finalize(self, _end, self.sockets, self.pids)
        for rank in range(1, count):
            self.pids.append(self._fork(rank, compute))

    def begin(self, step: int, draws: Tensor) -> None:
        """Have the others compute their parts of the batch that a generator in the state `draws` draws."""
        self.draws.copy_(draws)
        for connection in self.sockets:
            send(connection, STEP.pack(step))

    def gather(self, own: Iterable[Gradient]) -> Iterator[Gradient]:
        """The gradients of all parts in their order, of which `own` are this process's, computed now."""
        for i, mine in enumerate(own):
            yield mine
            for connection, results, share in zip(self.sockets, self.results, self.shares[1:], strict=True):
                if i < len(share):
                    if receive(connection, len(DONE)) is None:
                        raise lost()
                    yield self._read(results[i % SLOTS])
                    if i + SLOTS < len(share):
                        send(connection, FREE)

    def _read(self, result: Tensor) -> Gradient:
        losses, *gradients = result.split([self.num_losses, *(parameter.numel() for parameter in self.parameters)])
        return losses, [flat.view_as(p) for flat, p in zip(gradients, self.parameters, strict=True)]

    def _fork(self, rank: int, compute: Callable[[int, Tensor, range], Iterable[Gradient]]) -> int:
        ours, theirs = socket.socketpair()
        with theirs:
            with warnings.catch_warnings():
                # Threads of numerical libraries know of forks; others of this process are idle.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                try:
                    for connection in [*self.sockets, ours]:  # else the end of the training would not be noticed
                        connection.close()
                    self._serve(rank, theirs, compute)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
        self.sockets.append(ours)
        return pid

    def _serve(
        self, rank: int, training: socket.socket, compute: Callable[[int, Tensor, range], Iterable[Gradient]]
    ) -> None:
        """Compute one step after the other until the training has ended."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in STOP_SIGNALS:  # which the training answers for all
            signal.signal(number, signal.SIG_IGN)
        torch.set_num_threads(1)
        while (message := receive(training, STEP.size)) is not None:
            (step,) = STEP.unpack(message)
            for i, (losses, gradients) in enumerate(compute(step, self.draws, self.shares[rank])):
                if i >= SLOTS and receive(training, len(FREE)) is None:
                    return
                result = self.results[rank - 1, i % SLOTS]
                torch.cat([losses, *(gradient.flatten() for gradient in gradients)], out=result)
                training.sendall(DONE)


def shared(values: Tensor) -> Tensor:
    """A copy of `values` in memory that this process and those that it forks later have in common."""
    memory = mmap.mmap(-1, max(1, values.nbytes))
    return torch.frombuffer(memory, dtype=values.dtype, count=values.numel()).view(values.shape).copy_(values)


def send(connection: socket.socket, message: bytes) -> None:
    """Raises PeerLost where whoever is to receive it has ended."""
    try:
        connection.sendall(message)
    except OSError:
        raise lost() from None


def receive(connection: socket.socket, size: int) -> bytes | None:
    """The next message, of `size` bytes; None where whoever is to send it has ended."""
    try:
        return connection.recv(size, socket.MSG_WAITALL) or None
    except ConnectionResetError:
        return None


def lost() -> PeerLost:
    """What to tell whose fork has ended."""
    return PeerLost(
        "a process that computed a part of each batch has ended: what it says above tells why, or it was killed, as "
        "systems do when memory is short; the same command goes on from the last checkpoint"
    )


def _end(sockets: Sequence[socket.socket], pids: Sequence[int]) -> None:
    """Have forks end, at whatever they are; they hold nothing that is not here."""
    for connection in sockets:
        connection.close()
    for pid in pids:
        with suppress(ProcessLookupError, ChildProcessError):  # where this process is not told of its children's ends
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
