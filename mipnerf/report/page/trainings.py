"""What is still trained: how far it is, on which machine, and what it has logged so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mipnerf.config.runs import split_seed
from mipnerf.report.progress import Progress
from mipnerf.report.tables.table import Cell, Column, Table
from mipnerf.training.history import eta_seconds, format_duration
from mipnerf.training.status import HEADERS, RunStatus, newest_history, read_status

NUMBERS = ("step", "PSNR", "rays/s", "ETA", "last line ago")


@dataclass(frozen=True)
class Training:
    """A planned run without metrics; `log` is the folder of its history.csv and validation.csv, where it has begun."""

    dataset: str
    variant: str
    scene: str
    folder: Path
    log: Path | None
    step: int
    max_steps: int
    status: RunStatus

    @property
    def method(self) -> str:
        """The variant without what a further seed adds to its name."""
        return split_seed(self.variant)[0]


def read_trainings(results: Path, progress: Sequence[Progress]) -> list[Training]:
    """Those of `progress`, as their files are now."""
    trainings = []
    for one in progress:
        folder = results / one.dataset / one.variant / one.scene
        history = newest_history(folder)
        status = read_status(folder, results)
        names = one.dataset, one.variant, one.scene
        trainings.append(Training(*names, folder, history.parent if history else None, one.step, one.max_steps, status))
    return trainings


def progress_table(trainings: Sequence[Training]) -> Table:
    """The states of all trainings, as `python -m mipnerf status` has them."""
    columns = [Column(header, align="right" if header in NUMBERS else "left") for header in HEADERS]
    rows = [[Cell(text) for text in training.status.cells()] for training in trainings]
    return Table("progress", "Runs without metrics yet", columns, rows)


def summary_of_progress(num_evaluated: int, trainings: Sequence[Training]) -> str:
    """How many runs are done, and how far the others are."""
    step, planned = (sum(getattr(one, key) for one in trainings) for key in ("step", "max_steps"))
    states = [one.status.state for one in trainings]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return (
        f"{num_evaluated} of {num_evaluated + len(trainings)} runs are evaluated. Of the others ({counts}), {step:,} "
        f"of {planned:,} steps are done{_time_left(trainings)}."
    )


def _time_left(trainings: Sequence[Training]) -> str:
    seconds = [
        eta_seconds(one.status.row, one.status.max_steps)
        for one in trainings
        if one.status.state == "running" and one.status.row and one.status.max_steps
    ]
    return f"; those that run need up to {format_duration(max(seconds))}" if seconds else ""
