"""Parallel parts of an image or a batch on a CPU.

Operations of a small network are too short to be split over cores, so whole parts are computed beside one another
instead, each by one thread. A result then does not depend on how many threads there are, to the last bit. What trains
has processes for that where it can (`mipnerf/training/forks.py`).
"""

import ctypes
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


# Numbers of glibc's malloc.h, and the largest block that may stay on the heap.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
MAX_HEAP_BLOCK = 1 << 25


class Mapper(Protocol):
    """What computes parts of something."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """`function` of all items, in their order."""


class Workers:
    """`count` threads with single-threaded PyTorch; one, or a GPU, is the calling thread itself."""

    def __init__(self, count: int, device: torch.device):
        self.count = count if device.type == "cpu" else 1
        torch.set_num_threads(1)
        if device.type == "cpu":
            keep_freed_memory()
        # The setting is one of each thread.
        self._pool = (
            ThreadPoolExecutor(self.count, initializer=torch.set_num_threads, initargs=(1,)) if self.count > 1 else None
        )

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """`function` of all items, in their order; never more results at a time than there are threads."""
        if self._pool is None:
            yield from map(function, items)
            return
        items = list(items)
        for start in range(0, len(items), self.count):
            yield from self._pool.map(function, items[start : start + self.count])


def keep_freed_memory() -> bool:
    """Have glibc keep the memory of freed tensors for the next ones; returns whether it does.

    By default it gives blocks back to the system at once, and every temporary tensor costs fresh pages again.
    """
    if not sys.platform.startswith("linux") or not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        return False
    values = {M_MMAP_THRESHOLD: MAX_HEAP_BLOCK, M_TRIM_THRESHOLD: 1 << 30, M_TOP_PAD: 1 << 24}
    return all([libc.mallopt(option, value) for option, value in values.items()])
