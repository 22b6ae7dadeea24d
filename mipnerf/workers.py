"""Parallel parts of a batch on a CPU.

Operations of a small network are too short to be split over cores, so whole parts of the batch are computed beside one
another instead, each by one thread. A result then does not depend on how many threads there are, to the last bit.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """`count` threads with single-threaded PyTorch; one, or a GPU, is the calling thread itself."""

    def __init__(self, count: int, device: torch.device):
        self.count = count if device.type == "cpu" else 1
        torch.set_num_threads(1)
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
