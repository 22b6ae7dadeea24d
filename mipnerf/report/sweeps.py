"""Runs of which a configuration sweeps the values: what each was called after, what it reached, and which are shown."""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mipnerf.config.sweeps import Value, split_sweep, swept_values
from mipnerf.report.frame import Run, first_seeds, ordered_names

MOST_SHOWN = 3  # of a sweep in a picture, beside other variants


def swept_runs(runs: Sequence[Run]) -> list[Run]:
    """Those of `runs` that are called after swept values."""
    return [run for run in runs if split_sweep(run.method)[1]]


def values_of_methods(methods: Sequence[str]) -> tuple[list[str], dict[str, dict[str, Value]]]:
    """All keys that methods are called after, in order of appearance, and the values of each method."""
    values = {method: swept_values(method) for method in methods}
    return list(dict.fromkeys(key for of_method in values.values() for key in of_method)), values


def sweep_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """A row for each trained seed of each swept method of one dataset.

    Columns are method, variant (as configured), seed, psnr (in dB, over views, scenes and levels), and one of text or
    numbers for each swept key. A seed with incomplete levels is left out.
    """
    runs = swept_runs(runs)
    keys, values = values_of_methods(ordered_names(runs, "method"))
    rows = []
    for name in ordered_names(runs, "variant"):
        members = [run for run in runs if run.variant == name]
        psnr = _mean_psnr(members)
        method = members[0].method
        rows.append((method, split_sweep(method)[0], members[0].seed, psnr, *(values[method].get(key) for key in keys)))
    return pd.DataFrame(rows, columns=["method", "variant", "seed", "psnr", *keys]).dropna(subset="psnr")


def best_of_sweeps(runs: list[Run], most: int = MOST_SHOWN) -> list[Run]:
    """`runs`, in their order, with so many methods of each sweep: those with the highest mean PSNR.

    A sweep are all methods of one dataset, configured variant and set of keys.
    """
    sweeps: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for run in swept_runs(runs):
        sweep = sweeps[(run.dataset, split_sweep(run.method)[0], *swept_values(run.method))]
        if run.method not in sweep:
            sweep.append(run.method)
    hidden = set()
    for (dataset, *_), methods in sweeps.items():
        if len(methods) > most:
            psnrs = {
                method: _mean_psnr([run for run in runs if (run.dataset, run.method) == (dataset, method)])
                for method in methods
            }
            known = {method: -math.inf if math.isnan(psnr) else psnr for method, psnr in psnrs.items()}
            hidden |= {(dataset, method) for method in sorted(known, key=lambda name: -known[name])[most:]}
    return [run for run in runs if (run.dataset, run.method) not in hidden]


def pictured_runs(runs: list[Run]) -> list[Run]:
    """What a picture of a scene shows: the first seed of each method, and of each sweep the best methods."""
    return first_seeds(best_of_sweeps(runs))


def _mean_psnr(runs: Sequence[Run]) -> float:
    """Over views, then levels, then runs; NaN where something is missing."""
    return float(np.mean([run.level_means.xs("psnr", level="metric").to_numpy().mean() for run in runs]))
