"""How long jobs take on so many devices, in a simulated schedule."""

import heapq
from collections.abc import Sequence
from typing import NamedTuple


class Task(NamedTuple):
    """What occupies one device for `seconds`, once the tasks at the positions `after`, all before its own, are done."""

    seconds: float
    after: tuple[int, ...] = ()


def critical_path(tasks: Sequence[Task]) -> float:
    """Seconds that the longest chain of tasks takes, and so all of them on any number of devices."""
    return max(_until_end(tasks), default=0.0)


def simulate(tasks: Sequence[Task], devices: int) -> float:
    """Seconds until all tasks are done, where a free device takes the ready task with most to come after it.

    Like every schedule that leaves no device idle beside a ready task, it takes at most total / devices +
    (1 - 1 / devices) critical path (Graham 1966); none takes less than the larger of total / devices and critical path.
    """
    until_end = _until_end(tasks)
    waiting = [len(set(task.after)) for task in tasks]
    following: list[list[int]] = [[] for _ in tasks]
    for i, task in enumerate(tasks):
        for before in set(task.after):
            following[before].append(i)
    ready = [(-until_end[i], i) for i, count in enumerate(waiting) if count == 0]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < devices:
            _, i = heapq.heappop(ready)
            heapq.heappush(running, (now + tasks[i].seconds, i))
        now, done = heapq.heappop(running)
        for i in following[done]:
            waiting[i] -= 1
            if waiting[i] == 0:
                heapq.heappush(ready, (-until_end[i], i))
    return now


def _until_end(tasks: Sequence[Task]) -> list[float]:
    """Seconds from the start of each task to the end of the longest chain that it begins."""
    longest = [0.0] * len(tasks)
    for i in reversed(range(len(tasks))):
        longest[i] += tasks[i].seconds
        for before in tasks[i].after:
            longest[before] = max(longest[before], longest[i])
    return longest
