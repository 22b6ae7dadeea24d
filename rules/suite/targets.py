"""Targets that a person names: which runs they are of, and what was meant where no rule makes one."""

import difflib
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

from mipnerf.config import RunConfig
from rules.suite.command import Command
from rules.suite.request import TRAINED_FILES, Request

MAX_NAMED_RUNS = 30
RUN_FILES = ("metrics.csv", *TRAINED_FILES)
Rule = Any  # of Snakemake
RESULT_FILES = ("table.md", "report.html", "verdict.md", "scaling.csv", "plots/scaling.svg")


def asked_runs(request: Request, command: Command) -> list[RunConfig]:
    """The runs that the command names, or all where it asks for something else as well, or for nothing."""
    asked = {}
    results = request.place("results")
    for target in command.targets:
        name = "/".join(target.removeprefix(f"{results}/").split("/")[:3])
        if name in request.runs:
            asked[target] = request.runs[name]
    is_all = not command.targets or len(asked) < len(set(command.targets))
    return list(request.runs.values()) if is_all else list(asked.values())


def check_targets(request: Request, command: Command, rules: Iterable[Rule], is_whole: bool) -> None:
    """Refuse a target that no rule makes and that is not there, with the nearest ones that can be made.

    Unless `is_whole`, another workflow will add `rules` of its own: only targets in the folders of runs are looked at.
    """
    rules = list(rules)
    folders = tuple(f"{request.place('results')}/{dataset}/" for dataset in request.suite.datasets)
    names = [rule.name for rule in rules if not rule.has_wildcards()]
    for target in command.targets:
        if not (is_whole or target.startswith(folders)):
            continue
        is_made = target in names or any(rule.is_producer(target) for rule in rules)
        if (is_made and not _is_of_no_combination(request, target)) or Path(target).exists():
            continue
        nearest = difflib.get_close_matches(target, [*names, *known_targets(request)], n=3, cutoff=0.6)
        meant = f"; did you mean\n  {_lines(nearest)}" if nearest else ""
        runs = list(request.runs)
        more = f"\n  and {len(runs) - MAX_NAMED_RUNS:,} more" if len(runs) > MAX_NAMED_RUNS else ""
        raise WorkflowError(
            f"no rule makes {target}{meant}\nThe runs of this configuration are\n  {_lines(runs[:MAX_NAMED_RUNS])}"
            f"{more}\nand `snakemake -n` says what all of them need."
        )


def _is_of_no_combination(request: Request, target: str) -> bool:
    """Whether a target is called after swept values that are not those of a run; rules would take any."""
    name = "/".join(target.removeprefix(f"{request.place('results')}/").split("/")[:3])
    return bool(re.match(r"[a-z0-9_]+/[a-z0-9_]+-", name)) and name not in request.runs


def known_targets(request: Request) -> list[str]:
    """What a person is likely to ask for by name."""
    known = [f"results/{name}/{file}" for name in request.runs for file in RUN_FILES]
    known += [f"results/{name}/level_{k}/metrics.csv" for name, run in request.runs.items() for k in range(run.levels)]
    known += [f"results/{name}/video_{path}.mp4" for name in request.runs for path in ("spherical", "spiral", "zoom")]
    known += [f"results/{file}" for file in RESULT_FILES]
    return [request.place(file) for file in [*known, *request.figures(), *request.table_pages()]]


def forced_folders(request: Request, command: Command, rules: Iterable[str], files: Iterable[str]) -> str:
    """The runs that a command wants anew of what `rules` make: a word of its own, then the ends of their folders.

    Nothing where there are none. A job that is retried finds the same word, and goes on.
    """
    rules, files = tuple(rules), tuple(files)
    if not (command.forces_all or command.forced):
        return ""
    folders = [
        folder
        for folder in request.folders()
        if command.forces(rules, [request.place(f"{folder}/{name}") for name in files])
    ]
    return " ".join([str(time.time_ns()), *folders]) if folders else ""


def _lines(items: Iterable[str]) -> str:
    return "\n  ".join(items)
