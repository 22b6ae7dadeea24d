"""How far the runs are, from their files alone."""

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import yaml
from tabulate import tabulate

from mipnerf.files import parse_yaml
from mipnerf.training.history import (
    HistoryRow,
    eta_seconds,
    format_duration,
    last_row,
    read_validation,
    validation_means,
)

HEADERS = ["run", "state", "step", "PSNR", "validation", "rays/s", "ETA", "last line ago", "host"]
FINISHED = ("done", "imported", "adopted")
LOG_BYTES, LOG_LINES, SHOWN_FAILURES = 16 << 10, 5, 10
# What `mipnerf.console` writes last, and what a training or evaluation writes once it goes on after that.
_ERROR = re.compile(
    r"(?:[a-z_]\w*\.)*(?P<kind>[A-Z]\w*(?:Error|Exception)|TrainingDiverged|PeerLost|Interrupted)(?:: |$)"
)
_PROGRESS = re.compile(r"step +[\d,]+(/| of )|: (rendering [\d,]+ views|[\d,]+ of [\d,]+ views are there)$")


class Failure(NamedTuple):
    """The log of a job that ended in an error, and how it ended."""

    log: Path
    lines: list[str]


@dataclass(frozen=True)
class RunStatus:
    """One run.

    `state` is done (trained), running, stopped (goes on where it was), failed (a log ends in an error), not begun,
    imported or adopted (trained elsewhere), or unknown.
    """

    name: str
    state: str
    max_steps: int | None = None
    minutes: float | None = None
    row: HistoryRow | None = None
    seconds_since: float | None = None
    host: str | None = None
    validation: str | None = None
    failure: Failure | None = None

    def cells(self) -> list[str]:
        """What a table shows of it."""
        row = self.row
        if row is None:
            return [self.name, self.state, *["—"] * 6, self.host or "—"]
        total = f"/{self.max_steps:,}" if self.max_steps else ""
        total += f" in {self.minutes:g} min" if self.minutes else ""
        remaining = eta_seconds(row, self.max_steps) if self.state == "running" and self.max_steps else None
        return [
            self.name,
            self.state,
            f"{row.step:,}{total}",
            f"{row.psnr:.2f}",
            self.validation or "—",
            f"{row.rays_per_s:,.0f}",
            "—" if remaining is None else format_duration(remaining),
            "—" if self.seconds_since is None else format_duration(self.seconds_since),
            self.host or "—",
        ]


def read_statuses(results: Path, names: Sequence[str] = (), others: bool = True) -> list[RunStatus]:
    """The runs called `names`, DATASET/VARIANT/SCENE, in their order, then all `others` below `results` by name."""
    found: Iterable[str] = ()
    if others:
        folders = {path.parent for part in ("checkpoints", "model.pt") for path in results.glob(f"*/*/*/{part}")}
        found = sorted(folder.relative_to(results).as_posix() for folder in folders)
    return [read_status(results / name, results) for name in dict.fromkeys([*names, *found])]


def read_status(folder: Path, results: Path) -> RunStatus:
    """The state of the newest training in a run's folder, which need not be there."""
    history = newest_history(folder)
    state = _state(folder)
    failure = None if state == "running" else find_failure(folder)
    train = _plan(history.parent) if history else {}
    return RunStatus(
        name=folder.relative_to(results).as_posix(),
        state="failed" if failure else state,
        max_steps=train.get("max_steps"),
        minutes=train.get("minutes"),
        row=last_row(history) if history else None,
        seconds_since=max(0.0, time.time() - _modified(history)) if history else None,
        host=_host(folder) if state == "running" else None,
        validation=_validation(history.parent) if history else None,
        failure=failure,
    )


def newest_history(folder: Path) -> Path | None:
    """The log of the newest training in a run's folder; None where none has begun."""
    found = [path for path in folder.glob("checkpoints/*/history.csv") if path.parent.suffix != ".previous"]
    return max(found, key=_modified, default=None)


def format_statuses(statuses: Sequence[RunStatus]) -> str:
    """A table, how many runs are in which state, and how the failed ones ended."""
    table = tabulate([status.cells() for status in statuses], HEADERS, tablefmt="simple", disable_numparse=True)
    counts = Counter(status.state for status in statuses)
    summary = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    failed = [status.failure for status in statuses if status.failure]
    endings = ["\n".join([f"{log}:", *(f"  {line}" for line in lines)]) for log, lines in failed[:SHOWN_FAILURES]]
    if len(failed) > SHOWN_FAILURES:
        endings.append(f"and {len(failed) - SHOWN_FAILURES:,} more that failed")
    total = f"{len(statuses):,} run{'s' * (len(statuses) != 1)}: {summary}"
    return "\n\n".join([table, total, *endings])


def is_finished(statuses: Sequence[RunStatus]) -> bool:
    """Whether nothing is left to be trained."""
    return all(status.state in FINISHED for status in statuses)


def is_imported(folder: Path) -> bool:
    """Whether the run in `folder` was made of a foreign checkpoint, so that nothing here could make it again."""
    try:
        text = (folder / "config.yaml").read_text(encoding="utf-8")
        # Every job of a workflow asks this of every run, and reading YAML takes long.
        return "imported_from" in text and "imported_from" in parse_yaml(text)["record"]
    except (OSError, UnicodeDecodeError, KeyError, TypeError, yaml.YAMLError):
        return False


def find_failure(folder: Path) -> Failure | None:
    """The first job of a run, if any, whose log ends in an error and whose product is not there."""
    for log, *products in _jobs(folder):
        if log.exists() and not any(map(Path.exists, products)) and (lines := error_at_end(log)):
            return Failure(log, lines)
    return None


def error_at_end(log: Path) -> list[str]:
    """The last error in `log` and what follows it; nothing if the job went on, or was only asked to stop."""
    try:
        with open(log, "rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - LOG_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    starts = [i for i, line in enumerate(lines) if _ERROR.match(line)]
    if not starts:
        return []
    ending = [line for line in lines[starts[-1] :] if line.strip()]
    last = _ERROR.match(ending[0])
    if (last and last["kind"] == "Interrupted") or any(map(_PROGRESS.search, ending[1:])):
        return []
    return ending[:LOG_LINES]


def _jobs(folder: Path) -> Iterator[tuple[Path, ...]]:
    """The logs of a run's jobs and what each job makes last, or what is made of that."""
    logs = folder / "logs"
    yield logs / "train.log", folder / "model.pt"
    yield logs / "adopt.log", folder / "model.pt"
    for log in sorted(logs.glob("evaluate_*.log")):
        _, level, *shard = log.stem.split("_", 2)
        parts = [folder / f"level_{level}" / "shards" / f"{name}.csv" for name in shard]
        yield log, *parts, folder / f"level_{level}" / "metrics.csv"
    yield logs / "evaluate.log", folder / "metrics.csv"


def _state(folder: Path) -> str:
    if not (folder / "checkpoints").is_dir():
        if not (folder / "model.pt").exists():
            return "not begun"
        return "imported" if is_imported(folder) else "adopted"
    lock = filelock.FileLock(folder / "checkpoints" / ".lock", timeout=0)
    try:
        with lock:
            return "done" if (folder / "model.pt").exists() else "stopped"
    except filelock.Timeout:
        return "running"
    except OSError:
        return "unknown"  # another user's run, whose lock may not be tried


def _host(folder: Path) -> str | None:
    """The machine that trains the run, and its job there, as the training has noted them."""
    try:
        owner = (folder / "checkpoints" / "owner.txt").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    match = re.fullmatch(r"process \d+ on (\S+?)(?:, Slurm job (\S+))?", owner)
    if match is None:
        return owner
    return f"{match[1]}, job {match[2]}" if match[2] else match[1]


def _validation(checkpoints: Path) -> str | None:
    """The last mean PSNR of validation views, and after which step."""
    means = validation_means(read_validation(checkpoints / "validation.csv"))
    return "{1:.2f} at {0:,}".format(*list(means.items())[-1]) if means else None


def _modified(path: Path) -> float:
    """When a file was last written; long ago if it was removed meanwhile."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _plan(checkpoints: Path) -> dict[str, Any]:
    """The section `train` of what is trained; empty where nothing tells."""
    try:
        plan: Any = parse_yaml((checkpoints / "run.yaml").read_text(encoding="utf-8"))
        return dict(plan["train"])
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError):
        return {}
