"""What evaluation and training leave behind, as strict frames: `metrics.csv`, `history.csv`, and a whole run folder.

All tables and figures are functions of them; what is in `metrics.csv` is said in `rows.py`.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from mipnerf.errors import DataError
from mipnerf.files import parse_yaml, write_text
from mipnerf.report.rows import COLUMNS, METRICS, Metric, finite, integer, parse_metrics, read_text, rows_below
from mipnerf.report.tables.table import rounded
from mipnerf.training.history import COLUMNS as HISTORY_COLUMNS
from mipnerf.training.history import level_columns

# Shown beside them, but computed from means: no view has one.
AVG_ERROR = "avg_error"
SHOWN = METRICS | {AVG_ERROR: Metric("Average error", 4, False)}


def level_name(level: int) -> str:
    """`Full`, `1/2`, `1/4`, ..."""
    return f"1/{2**level}" if level else "Full"


def format_value(metric: str, value: float | None) -> str:
    """`value` with the metric's decimals, or an em dash for a missing one."""
    return rounded(value, SHOWN[metric].decimals)


def read_metrics(paths: Iterable[Path]) -> pd.DataFrame:
    """The rows of all `paths` in one frame with `COLUMNS`.

    Raises `DataError`, naming file and line, as `parse_metrics` does.
    """
    return pd.DataFrame(parse_metrics((path, read_text(path)) for path in map(Path, paths)), columns=COLUMNS)


def write_metrics(path: Path, frame: pd.DataFrame) -> None:
    """Atomically write a frame that `read_metrics` would accept; values are written so that they round-trip."""
    text = frame.assign(value=frame["value"].astype("float64")).to_csv(index=False, lineterminator="\n")
    parse_metrics([(path, text)])
    write_text(path, text)


def read_history(path: Path) -> pd.DataFrame:
    """The training log with `HISTORY_COLUMNS`: numbers, `step` increasing, `seconds` since the start of training.

    Columns loss_0, loss_1, ... of the sampling levels follow where they were logged. It is empty for a model that was
    trained elsewhere. Raises `DataError`, naming file and line.
    """
    records: list[list[float]] = []
    text = read_text(path)
    losses = level_columns(text.partition("\n")[0].count(",loss_"))
    columns = [*HISTORY_COLUMNS, *losses]
    for where, cells in rows_below(path, text, columns, may_be_empty=True):
        step = integer(where, "step", cells[0])
        if records and step <= records[-1][0]:
            raise DataError(f"{where}: step {step} does not come after step {records[-1][0]}; steps must increase")
        numbers = [
            # Rows from before a training went on with a newer version have none.
            math.nan if name in losses and not cell else finite(where, name, cell)
            for name, cell in zip(columns[1:], cells[1:], strict=True)
        ]
        records.append([step, *numbers])
    return pd.DataFrame(records, columns=columns)


@dataclass(frozen=True)
class Run:
    """One trained and evaluated network: its folder, resolved configuration and metrics."""

    folder: Path
    dataset: str
    variant: str
    scene: str
    config: dict[str, Any]
    metrics: pd.DataFrame

    @property
    def seed(self) -> int | None:
        """The seed of its training, where it is known."""
        return self.config.get("train", {}).get("seed")

    @property
    def method(self) -> str:
        """The variant without the `_seed3` that a further seed of the same method adds to its name."""
        return self.variant.removesuffix(f"_seed{self.seed}")

    @cached_property
    def views(self) -> list[int]:
        """The test views with at least one value."""
        return sorted(map(int, self.metrics["view"].unique()))

    @cached_property
    def level_means(self) -> pd.DataFrame:
        """Means over the views, a row per (scene, variant, metric), a column per level; NaN where a view is missing."""
        groups = self.metrics.groupby(["scene", "variant", "metric", "level"], sort=False)["value"]
        means = groups.agg(["mean", "size"])
        return means["mean"].where(means["size"] == len(self.views)).unstack()

    def setting(self, *keys: str) -> Any:
        """The entry of `config.yaml` at `keys`; `DataError` where there is none."""
        return _lookup(self.folder / "config.yaml", self.config, keys)


def read_run(folder: Path) -> Run:
    """Read `config.yaml` and `metrics.csv` of a run and check that they belong together."""
    path = Path(folder) / "config.yaml"
    try:
        config = parse_yaml(read_text(path))
    except yaml.YAMLError as error:
        raise DataError(f"{path}: is no valid YAML ({error}); train this run again") from error
    identity = {key: _lookup(path, config, [key]) for key in ("dataset", "variant", "scene")}
    metrics = read_metrics([path.with_name("metrics.csv")])
    for key, name in identity.items():
        if foreign := set(metrics[key]) - {name}:
            raise DataError(
                f"{path.with_name('metrics.csv')}: holds {key} {foreign.pop()!r}, but config.yaml beside it says "
                f"{name!r}; one folder holds one run: evaluate this run again"
            )
    return Run(folder=Path(folder), config=config, metrics=metrics, **identity)


def read_runs(folders: Iterable[Path]) -> list[Run]:
    """Read several runs in the order given; `DataError` for none, or for two of the same dataset, variant and scene."""
    seen: dict[tuple[str, str, str], Path] = {}
    runs = [read_run(folder) for folder in folders]
    if not runs:
        raise DataError("no run was given; name at least one folder with config.yaml and metrics.csv")
    for run in runs:
        key = (run.dataset, run.variant, run.scene)
        if key in seen:
            raise DataError(f"{run.folder}: is the same run {key} as {seen[key]}; name only one of the two")
        seen[key] = run.folder
    return runs


def lpips_reason(path: Path) -> str | None:
    """Why LPIPS could not be measured, as `workflow_scripts/weights.py` recorded it; None where it could."""
    try:
        record = json.loads(read_text(path))
        return None if record["available"] else str(record["reason"])
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{path}: is no record of the weights ({error}); run workflow_scripts/weights.py again"
        ) from error


def if_all_known(values: Iterable[float | None]) -> list[float] | None:
    """`values`, or None where there are none or one of them is."""
    values = list(values)
    known = [value for value in values if value is not None]
    return known if known and len(known) == len(values) else None


def first_seeds(runs: Sequence[Run]) -> list[Run]:
    """The first run of each method: where it has several seeds, pictures show this one."""
    return [run for i, run in enumerate(runs) if run.method not in {other.method for other in runs[:i]}]


def ordered_names(runs: Iterable[object], key: str) -> list[str]:
    """The distinct names of `key` (dataset, variant, method or scene) in the order of first appearance."""
    return list(dict.fromkeys(getattr(run, key) for run in runs))


def only_name(runs: Iterable[Run], key: str) -> str:
    """The one name of `key` that all runs share, or a `DataError`."""
    names = ordered_names(runs, key)
    if len(names) != 1:
        raise DataError(
            f"the runs of one picture must share their {key}; got {', '.join(names)}: make one call for each"
        )
    return names[0]


def flat_settings(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All values of nested mappings with their keys, joined by dots."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from flat_settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _lookup(path: Path, config: Any, keys: Iterable[str]) -> Any:
    for key in keys:
        if not isinstance(config, dict) or key not in config:
            raise DataError(f"{path}: lacks {'.'.join(keys)}; train this run again with the present version")
        config = config[key]
    return config
