"""The table of a sweep: a row for each combination of values, with what its networks reached and what they cost."""

from collections.abc import Sequence

import pandas as pd

from mipnerf.config.sweeps import split_sweep, text_of
from mipnerf.report.conditions import train_seconds
from mipnerf.report.frame import SHOWN, Run, if_all_known, ordered_names
from mipnerf.report.names import sweep_table
from mipnerf.report.progress import Progress
from mipnerf.report.reference import MEAN
from mipnerf.report.rows import QUALITY
from mipnerf.report.summary import method_means
from mipnerf.report.sweeps import swept_runs, values_of_methods
from mipnerf.report.tables.table import MISSING, RANKS, Cell, Column, Table, ranked, rounded, seeds_cell

ARROWS = {"higher": "↑", "lower": "↓"}


def sweep_results(runs: list[Run], dataset: str, progress: Sequence[Progress] = ()) -> Table | None:
    """Variant, swept values, steps, metrics and minutes of training of each method of a dataset; None without sweeps.

    Metrics are means over the levels, then over scenes and seeds. `progress` is of runs without metrics.
    """
    members = swept_runs(runs)
    waiting = {run.method for run in progress if split_sweep(run.method)[1]}
    if not (members or waiting):
        return None
    methods = ordered_names(members, "method")
    keys, values = values_of_methods(methods)
    means = method_means(members).xs(MEAN, level="level") if members else pd.DataFrame()
    found = set(means.index.get_level_values("metric")) if members else set()
    metrics = [metric for metric in QUALITY if metric in found]
    columns = [Column("Variant", align="left"), *map(Column, keys), Column("Steps")]
    for metric in metrics:
        better = SHOWN[metric].better
        columns.append(Column(f"{SHOWN[metric].title} {ARROWS[better]}", better=better))
    columns.append(Column("Minutes"))
    rows, most_seeds = [], 1
    for method in methods:
        of_method = [run for run in members if run.method == method]
        seeds = len({run.variant for run in of_method})
        most_seeds = max(most_seeds, seeds)
        cells = [Cell(split_sweep(method)[0])]
        cells += [Cell(text_of(values[method][key]) if key in values[method] else MISSING) for key in keys]
        cells.append(Cell(_steps(of_method)))
        for metric in metrics:
            row = means.loc[(method, metric)] if (method, metric) in means.index else None
            cells.append(
                Cell(MISSING)
                if row is None
                else seeds_cell(row["value"], row["spread"], row["seeds"], seeds, SHOWN[metric].decimals)
            )
        seconds = if_all_known(train_seconds(run) for run in of_method)
        minutes = None if seconds is None else sum(seconds) / len(seconds) / 60
        rows.append([*cells, Cell(rounded(minutes, 1), minutes)])
    rows = ranked(rows, columns)
    notes = ["Means over the test views, then over levels and scenes." if members else "No run has metrics yet."]
    if most_seeds > 1:
        notes.append(f"Means over up to {most_seeds} seeds ± standard deviation.")
    if any(cell.rank for row in rows for cell in row):
        notes.append(f"{RANKS}.")
    if left := len(waiting - set(methods)):
        notes.append(f"**Not all are there:** {left:,} combinations have no metrics yet.")
    return Table(sweep_table(dataset), f"{dataset}, by swept values", columns, rows, notes)


def _steps(runs: Sequence[Run]) -> str:
    """Those of a training, or of the shortest and the longest."""
    steps = sorted({run.setting("train", "max_steps") for run in runs})
    return "–".join(f"{count:,}" for count in dict.fromkeys([steps[0], steps[-1]]))
