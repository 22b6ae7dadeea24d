"""One training on several processes, as `torchrun` starts them: what they have to say to one another.

All hold the same weights and draw the same batches; each computes its share of the rays, and the gradients are summed.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from mipnerf.errors import ConfigError, PeerLost
from mipnerf.threads import available_cpus

# The others wait while the first waits for an older job on the same run. Dead processes are noticed at once.
TIMEOUT = timedelta(days=7)


@dataclass(frozen=True)
class World:
    """The processes of a training: this one is number `rank` of `size`, of which `local_size` are on this machine.

    All of them call each method in the same order; the methods of a world of one do nothing. They raise PeerLost where
    another process has ended.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def threads(self, granted: int) -> int:
        """This process's share of the threads `granted` to all on this machine; 0 grants all CPUs."""
        return max(1, (granted or available_cpus()) // self.local_size)

    def share(self, num_rays: int, part_size: int) -> range:
        """The rays of a batch that are this process's, about as many for each.

        These are whole parts of `part_size` where all processes get as many of them, so that a part, whose random
        numbers depend on where it begins, is what it is for one process.
        """
        if num_rays < self.size:
            raise ConfigError(
                f"train.batch_size {num_rays} is less than the {self.size} processes of this training; "
                "raise it, or start fewer (--nproc-per-node)"
            )
        num_parts = -(-num_rays // part_size)
        unit = part_size if num_parts % self.size == 0 else 1
        num_units = -(-num_rays // unit)
        first, end = (rank * num_units // self.size * unit for rank in (self.rank, self.rank + 1))
        return range(first, min(end, num_rays))

    def sum(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """The sums of `tensors` over all processes, to the same bits in each."""
        if self.size == 1:
            return tensors
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with _peers():
            dist.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]

    def largest(self, *numbers: int) -> list[int]:
        """The largest of each number over all processes. Hosts wait for one another, not for their GPUs."""
        if self.size == 1:
            return list(numbers)
        values = torch.tensor(numbers)
        with _peers():
            dist.all_reduce(values, dist.ReduceOp.MAX)
        return values.tolist()

    def wait(self) -> None:
        """Return when all processes have come here."""
        self.largest(0)

    def from_main(self, make: Callable[[], Any]) -> Any:
        """What the first process makes; its tensors are on the CPU."""
        value = [make() if self.is_main else None]
        if self.size > 1:
            with _peers():
                dist.broadcast_object_list(value, device=torch.device("cpu"))
        return value[0]


ALONE = World()


@contextmanager
def join_world(device: torch.device) -> Iterator[World]:
    """The processes that `torchrun` has started together with this one; a world of one without it."""
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        yield ALONE
        return
    rank, local_size = int(os.environ["RANK"]), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _peers():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    yield World(rank, size, local_size)
    # Not after an error, where the others may never answer.
    dist.destroy_process_group()


@contextmanager
def _peers() -> Iterator[None]:
    """Tell the loss of another process from an error of this one."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLost(
            "another process of this training has ended or cannot be reached; its own message says why, and the same "
            f"command goes on from the last checkpoint ({str(error).partition(chr(10))[0]})"
        ) from None
