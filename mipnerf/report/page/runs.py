"""What the page says of each run: what was measured of its jobs, its record and configuration."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from mipnerf.report.conditions import facts_of
from mipnerf.report.frame import Run, flat_settings, if_all_known
from mipnerf.report.tables.table import MISSING, Cell, Column, Table
from mipnerf.training.history import format_duration

SECTIONS = ("model", "train", "data")


@dataclass(frozen=True)
class Job:
    """What `benchmarks/` says of a job: seconds, mebibytes at most, seconds of all cores; None where it does not."""

    step: str
    seconds: float | None
    memory: float | None
    cpu_seconds: float | None

    def cells(self) -> list[str]:
        """As they are shown."""
        memory = MISSING if self.memory is None else f"{self.memory:,.0f} MiB"
        return [self.step, duration(self.seconds), duration(self.cpu_seconds), memory]


@dataclass(frozen=True)
class RunDetails:
    """One run as the page shows it; `record` is what is known beside the `configuration`, a YAML text."""

    name: str
    facts: Mapping[str, str | int]
    jobs: Sequence[Job]
    record: Mapping[str, str]
    configuration: str


def details_of(run: Run) -> RunDetails:
    """Read the files of a run."""
    configuration = {key: value for key, value in run.config.items() if key not in ("record", "package_version")}
    record = {"package_version": run.config.get("package_version"), **run.setting("record")}
    return RunDetails(
        name=f"{run.dataset}/{run.variant}/{run.scene}",
        facts=facts_of(run),
        jobs=read_jobs(run.folder / "benchmarks"),
        record={key: _text(value) for key, value in flat_settings(record)},
        configuration=yaml.safe_dump(configuration, sort_keys=False),
    )


def read_jobs(folder: Path) -> list[Job]:
    """The jobs that were measured, the training first; none where there is no such folder."""
    paths = sorted(folder.glob("*.tsv"), key=lambda path: (not path.stem.startswith("train"), path.stem))
    return [_read_job(path) for path in paths]


def times_table(runs: Sequence[Run], details: Sequence[RunDetails]) -> Table:
    """Times and memory of all runs."""
    columns = [
        *(Column(title, align="left") for title in ("Dataset", "Scene", "Variant")),
        *(Column(title, group="Training", better="lower") for title in ("Time", "Memory (MiB)")),
        *(Column(title, group="Evaluation", better="lower") for title in ("Time", "Memory (MiB)")),
        Column("Device", align="left"),
    ]
    rows = []
    for run, detail in zip(runs, details, strict=True):
        training = [job for job in detail.jobs if job.step == "train"]
        evaluation = [job for job in detail.jobs if job.step.startswith("evaluate")]
        record = run.setting("record")
        seconds = None if {"model_of", "imported_from"} & record.keys() else record.get("train_seconds")
        cells = [_time_cell(seconds), _memory_cell(training), _time_cell(_sum(evaluation)), _memory_cell(evaluation)]
        names = [Cell(name) for name in (run.dataset, run.scene, run.variant)]
        rows.append([*names, *cells, Cell(str(record.get("device") or MISSING))])
    notes = [
        "Training time is what the network was trained for, however often that was interrupted; all else is what was "
        "measured of the last job of each step, evaluation the sum over the resolution levels.",
        "Memory is the largest resident set. —: not measured.",
    ]
    return Table("run_times", "Time and memory", columns, rows, notes)


def differences_table(runs: Sequence[Run]) -> Table | None:
    """The settings in which the runs differ, a row for each variant of a dataset; None where they do not."""
    rows: dict[tuple[str, str], dict[str, list[str]]] = {}
    for run in runs:
        row = rows.setdefault((run.dataset, run.variant), {})
        for section in SECTIONS:
            for key, value in run.config.get(section, {}).items():
                values = row.setdefault(f"{section}.{key}", [])
                if _text(value) not in values:
                    values.append(_text(value))
    texts = {key: [", ".join(row.get(key, [MISSING])) for row in rows.values()] for row in rows.values() for key in row}
    keys = [key for key, values in texts.items() if len(set(values)) > 1]
    if not keys:
        return None
    heads = [Column(title, align="left") for title in ("Dataset", "Variant")]
    columns = [*heads, *(Column(key.partition(".")[2], group=key.partition(".")[0], align="left") for key in keys)]
    cells = [[Cell(text) for text in [*names, *(texts[key][i] for key in keys)]] for i, names in enumerate(rows)]
    notes = ["All other settings are the same in all runs; every run's whole configuration is below."]
    return Table("differences", "Settings in which the variants differ", columns, cells, notes)


def duration(seconds: float | None) -> str:
    """`1:02:03`, or tenths of a second below ten."""
    if seconds is None:
        return MISSING
    return f"{seconds:.1f} s" if seconds < 10 else format_duration(seconds)


def _read_job(path: Path) -> Job:
    with open(path, newline="", encoding="utf-8") as stream:
        row = (list(csv.DictReader(stream, delimiter="\t")) or [{}])[-1]
    return Job(path.stem, *(_number(row.get(key)) for key in ("s", "max_rss", "cpu_time")))


def _number(text: str | None) -> float | None:
    """Jobs that end at once have no measurement of their memory, for which a dash or NA stands."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _sum(jobs: Sequence[Job]) -> float | None:
    seconds = if_all_known(job.seconds for job in jobs)
    return None if seconds is None else sum(seconds)


def _time_cell(seconds: float | None) -> Cell:
    return Cell(duration(seconds), seconds)


def _memory_cell(jobs: Sequence[Job]) -> Cell:
    memory = max((job.memory for job in jobs if job.memory is not None), default=None)
    return Cell(MISSING if memory is None else f"{memory:,.0f}", memory)


def _text(value: object) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)
