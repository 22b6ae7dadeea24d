"""Learning in pictures: what a training made of a view that it does not learn from, step by step."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mipnerf.datasets.scene import evenly_spread, read_bytes
from mipnerf.report.frame import Run
from mipnerf.report.page.budget import ENCODED, FILM_BYTES, fitting
from mipnerf.report.page.trainings import Training
from mipnerf.training.history import ValidationRow, picture_name, read_validation

MAX_FRAMES = 12  # of a run


@dataclass(frozen=True)
class Frame:
    """A picture, truth and rendering side by side, after a step, and the PSNR of that view."""

    run: Run | Training
    place: int  # in the order in which the frames of its run are left out, the last first
    row: ValidationRow
    path: Path

    def content(self) -> bytes:
        """The file."""
        return read_bytes(self.path)


def choose_frames(runs: Sequence[Run | Training], max_bytes: float = FILM_BYTES) -> tuple[list[Frame], int]:
    """The frames that the page has room for, in the order of runs and steps, and how many there were."""
    frames = [frame for run in runs for frame in frames_of(run)]
    order = sorted(range(len(frames)), key=lambda i: frames[i].place)
    kept = {order[i] for i in fitting((ENCODED * frames[i].path.stat().st_size for i in order), max_bytes)}
    return [frames[i] for i in sorted(kept)], len(frames)


def frames_of(run: Run | Training) -> list[Frame]:
    """The pictures of the first view of a run's validations, evenly spread over the steps with the last among them."""
    log = run.log if isinstance(run, Training) else run.folder
    rows = read_validation(log / "validation.csv") if log else []
    rows = [row for row in rows if row.view == rows[0].view]
    paths = {row.step: run.folder / "validation" / picture_name(row.step, row.view) for row in rows}
    there = [row for row in rows if paths[row.step].exists()][::-1]
    chosen = [there[i] for i in evenly_spread(len(there), MAX_FRAMES)][::-1] if there else []
    # The last and the first tell most, then those half-way between.
    places = {step: place for place, step in enumerate(_halving([row.step for row in chosen]))}
    return [Frame(run, places[row.step], row, paths[row.step]) for row in chosen]


def _halving(steps: Sequence[int]) -> list[int]:
    """`steps` from the ends inwards: each is half-way between two that come before it."""
    order = list(dict.fromkeys([*steps[-1:], *steps[:1]]))
    parts = [(0, len(steps) - 1)]
    for low, high in parts:
        if high - low > 1:
            middle = (low + high) // 2
            order.append(steps[middle])
            parts += [(low, middle), (middle, high)]
    return order
