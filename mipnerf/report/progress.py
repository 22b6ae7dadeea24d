"""Which of the planned runs can be shown, and how far the others are."""

from dataclasses import dataclass
from pathlib import Path

from mipnerf.config import RunConfig, SuiteConfig
from mipnerf.config.runs import network_of, resolve_runs, split_seed
from mipnerf.report.frame import Run, read_run
from mipnerf.training.status import FINISHED, RunStatus, read_status


@dataclass(frozen=True)
class Progress:
    """A planned run that has no metrics yet: `step` of `max_steps` are done; `state` is that of `training.status`.

    A run that evaluates the network of another has no steps of its own.
    """

    dataset: str
    variant: str
    scene: str
    state: str
    step: int
    max_steps: int

    @property
    def method(self) -> str:
        """The variant without what a further seed adds to its name."""
        return split_seed(self.variant)[0]


def gather(results: Path, suite: SuiteConfig) -> tuple[list[Run], list[Progress]]:
    """The runs of a configuration that are evaluated as they are now, and the progress of all others.

    Raises `DataError` for a run whose files are damaged.
    """
    runs, progress = [], []
    for name, run in resolve_runs(suite).items():
        folder = results / name
        if _is_evaluated(folder):
            runs.append(read_run(folder))
        else:
            status = read_status(folder, results)
            # Until it is measured, nobody knows how many steps a number of minutes is.
            planned = status.max_steps or 0 if run.train.minutes else run.train.max_steps
            progress.append(_progress_of(run, status, 0 if network_of(suite, run.variant) else planned))
    return runs, progress


def _is_evaluated(folder: Path) -> bool:
    """Whether the metrics are there, and not those of an earlier training."""
    metrics, model = folder / "metrics.csv", folder / "model.pt"
    if not (metrics.exists() and (folder / "config.yaml").exists()):
        return False
    return not model.exists() or model.stat().st_mtime_ns <= metrics.stat().st_mtime_ns


def _progress_of(run: RunConfig, status: RunStatus, max_steps: int) -> Progress:
    step = max_steps if status.state in FINISHED else status.row.step if status.row else 0
    return Progress(
        run.dataset,
        run.variant,
        run.scene,
        status.state,
        min(step, max_steps),
        max_steps,
    )
