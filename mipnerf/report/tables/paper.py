"""The tables of the paper, from the runs that there are: ours, as published, and the difference, with its verdict.

What Table 1 and Table 2 are for the two Blender datasets, a table named like the dataset is for any other.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from mipnerf.report.conditions import HARDWARE, train_seconds
from mipnerf.report.frame import SHOWN, Run, if_all_known, level_name, ordered_names
from mipnerf.report.names import method_tables
from mipnerf.report.progress import Progress
from mipnerf.report.reference import LEVEL_COLUMNS, MEAN, METHODS, TABLE1, TABLE2, TABLE3, Reference
from mipnerf.report.rows import QUALITY
from mipnerf.report.summary import expected_levels, method_means
from mipnerf.report.tables.scenes import scenes_table
from mipnerf.report.tables.sweeps import sweep_results
from mipnerf.report.tables.table import (
    DELTA,
    JAX,
    MISSING,
    OURS,
    RANKS,
    SOURCE,
    Cell,
    Column,
    Table,
    decimals_of,
    ranked,
    rounded,
)
from mipnerf.report.tables.verdict import (
    COSTS,
    NOT_COMPARABLE,
    Comparison,
    Number,
    compared,
    judged,
    published_number,
    reasons_of,
)

FILES = {"table1": TABLE1, "table2": TABLE2, "table3": TABLE3}
TITLES = {
    "table1": "Table 1 of the paper: the multiscale Blender dataset",
    "table2": "Table 2 of the paper: the single-scale Blender dataset",
    "table3": "Table 3 of the paper: supersampling (SS) on the multiscale Blender dataset",
}
SHORT = {"psnr": "PSNR ↑", "ssim": "SSIM ↑", "lpips": "LPIPS ↓", "avg_error": "Avg. ↓"}
AVG_NOTE = "Avg.: geometric mean of 10^(−PSNR/10), √(1 − SSIM) and LPIPS, each averaged over levels first."
COST_DECIMALS = {"train_hours": 2}


@dataclass(frozen=True)
class Quantity:
    """A column of numbers: a metric at a level, or a cost, and where the published ones are in the file."""

    metric: str
    level: int | str
    key: str
    column: Column
    decimals: int

    def text(self, value: float) -> str:
        """`value` with as many digits as are published in this column."""
        return rounded(value, self.decimals) if self.metric != "params" else _thousands(int(value))


@dataclass(frozen=True)
class Value:
    """What our runs of a method have for a quantity."""

    number: float
    spread: float | None = None
    seeds: int = 1


def paper_tables(runs: list[Run], reference: Reference, progress: Sequence[Progress] = ()) -> list[Table]:
    """The paper's tables on the datasets of the runs, one for each other dataset, one by scene for each, and sweeps."""
    return paper_report(runs, reference, progress)[0]


def paper_report(
    runs: list[Run], reference: Reference, progress: Sequence[Progress] = ()
) -> tuple[list[Table], list[Comparison]]:
    """`paper_tables`, and every number in them that is held against a published one.

    `progress` says how far the runs are that have no metrics yet: a mean over the scenes that are done says so.
    """
    tables, comparisons = [], []
    for dataset in ordered_names([*runs, *progress], "dataset"):
        members = [run for run in runs if run.dataset == dataset]
        others = [run for run in progress if run.dataset == dataset]
        for name in method_tables(dataset):
            builder = _Builder(name, dataset, members, others, reference)
            tables.append(builder.table())
            comparisons += builder.comparisons
        table, of_scenes = scenes_table(members, reference, dataset)
        tables.append(table)
        comparisons += of_scenes
        if (of_sweep := sweep_results(members, dataset, others)) is not None:
            tables.append(of_sweep)
    return tables, comparisons


class _Builder:
    """One table of one dataset, in the order in which its parts depend on one another."""

    def __init__(
        self, name: str, dataset: str, runs: list[Run], progress: list[Progress], reference: Reference
    ) -> None:
        self.name, self.dataset, self.runs, self.progress = name, dataset, runs, progress
        published = reference.texts.get(FILES.get(name, ""))
        self.published = pd.DataFrame() if published is None else published.set_index("method")
        titles = METHODS.get(dataset, {}) if name in FILES else {}
        everyone: list[Run | Progress] = [*runs, *progress]
        known = ordered_names(everyone, "method")
        # A variant of your own stands below the paper's; in Table 3, only what is in the paper's.
        self.methods = {
            variant: titles.get(variant, variant)
            for variant in known
            if titles.get(variant) in self.published.index or (variant not in titles and name != "table3")
        }
        self.planned = sorted(reference.all_scenes(dataset)) or sorted({run.scene for run in everyone})
        self.means = method_means(runs) if runs else pd.DataFrame()
        self.members = {variant: [run for run in runs if run.method == variant] for variant in self.methods}
        self.waiting = {variant: [run for run in progress if run.method == variant] for variant in self.methods}
        self.reasons = {variant: reasons_of(members) for variant, members in self.members.items() if members}
        # The scenes that the mean of a method is over.
        self.scenes = {variant: self.means.loc[variant]["scenes"].iloc[0] for variant in self.reasons}
        self.scenes = dict.fromkeys(self.methods, ()) | self.scenes
        self.states = self._states()
        self.quantities = self._quantities()
        self.comparisons: list[Comparison] = []

    def table(self) -> Table:
        """The table; `comparisons` is filled on the way."""
        has_jax = not self.published.empty
        columns = [Column(title, align="left") for title in ["Method", *[SOURCE] * has_jax]]
        columns += [Column(title) for title in self.states] + [quantity.column for quantity in self.quantities]
        ours = {variant: self._ours(variant) for variant in self.methods}
        if len(set(self.scenes.values())) == 1:
            marked = ranked(list(ours.values()), [quantity.column for quantity in self.quantities])
            ours = dict(zip(ours, marked, strict=True))
        rows: list[list[Cell]] = []
        breaks = []
        for title, variant in self._ordered():
            breaks.append(len(rows))
            blank = [Cell("")] * len(self.states)
            if variant is not None:
                states = [Cell(text(variant)) for text in self.states.values()]
                rows.append([Cell(title), *[Cell(OURS)] * has_jax, *states, *ours[variant]])
            if title in self.published.index:
                source = JAX if title in METHODS[self.dataset].values() else "published"
                jax = [self._jax(title, quantity) for quantity in self.quantities]
                rows.append([Cell(title), Cell(source), *blank, *jax])
                if variant is not None and any(cell.number is not None for cell in ours[variant]):
                    rows.append([Cell(title), Cell(DELTA), *blank, *self._delta(variant)])
        title = TITLES.get(self.name, f"{self.name}, by method")
        is_ranked = any(cell.rank for row in rows for cell in row)
        return Table(self.name, title, columns, rows, self._notes(has_jax, is_ranked), breaks)

    def _quantities(self) -> list[Quantity]:
        levels = [*range(len(expected_levels(self.runs)) if self.runs else len(LEVEL_COLUMNS.get(self.dataset, [""])))]
        metrics = ["psnr"] if self.name == "table3" else list(QUALITY)
        suffixes = LEVEL_COLUMNS.get(self.dataset, [])
        found = []
        for metric, level in itertools.product(metrics, levels):
            key = suffixes[level].format(metric) if level < len(suffixes) else ""
            title = ("", SHORT[metric]) if len(levels) == 1 else (SHORT[metric], level_name(level))
            found.append(self._quantity(metric, level, key, *title))
        if self.name == "table3":
            found.append(self._quantity("psnr", MEAN, "psnr_mean", SHORT["psnr"], "Mean"))
            found.append(self._quantity("seconds_per_megapixel", MEAN, "seconds_per_megapixel", "", "Time (s/MP)"))
            return found
        found.append(self._quantity("avg_error", MEAN, "avg_error", "", SHORT["avg_error"]))
        if self.published.empty:
            # Nothing would fill the columns of what was not measured.
            known = set() if self.means.empty else set(self.means.index.get_level_values("metric"))
            found = [quantity for quantity in found if quantity.metric in known]
        found.append(self._quantity("train_hours", "", "train_hours", "", "Time (hours)"))
        return [*found, self._quantity("params", "", "params", "", "# Params")]

    def _quantity(self, metric: str, level: int | str, key: str, group: str, title: str) -> Quantity:
        better = SHOWN[metric].better if metric in SHORT else None
        texts = self.published.get(key, [])
        decimals = max((decimals_of(text) for text in texts), default=0)
        if not len(texts) and metric != "params":
            decimals = COST_DECIMALS.get(metric) or SHOWN[metric].decimals
        return Quantity(metric, level, key, Column(title, group, better=better), decimals)

    def _ordered(self) -> list[tuple[str, str | None]]:
        """Titles and our variants: the published methods in their order, then our own."""
        variants = {title: variant for variant, title in self.methods.items()}
        titles = dict.fromkeys([*self.published.index, *variants])
        return [(title, variants.get(title)) for title in titles]

    def _value(self, variant: str, quantity: Quantity) -> Value | None:
        members = self.members[variant]
        if not members:
            return None
        if quantity.metric == "params":
            sizes = {run.setting("record", "num_parameters") for run in members}
            return Value(sizes.pop()) if len(sizes) == 1 else None
        if quantity.metric == "train_hours":
            seconds = if_all_known(train_seconds(run) for run in members)
            return None if seconds is None else _median_hours(seconds)
        key = (variant, quantity.metric, quantity.level)
        if key not in self.means.index or pd.isna(self.means.at[key, "value"]):
            return None
        row = self.means.loc[key]
        return Value(row["value"], None if pd.isna(row["spread"]) else row["spread"], int(row["seeds"]))

    def _ours(self, variant: str) -> list[Cell]:
        return [self._our_cell(variant, quantity) for quantity in self.quantities]

    def _our_cell(self, variant: str, quantity: Quantity) -> Cell:
        value = self._value(variant, quantity)
        if value is None:
            return Cell(MISSING)
        text = quantity.text(value.number)
        spread = "" if value.spread is None else rounded(value.spread, quantity.decimals)
        jax = self._published_text(self.methods[variant], quantity)
        cell = Cell(text, float(value.number), spread)
        return judged(cell, self._compare(variant, quantity, value, text, jax)) if jax else cell

    def _published_text(self, title: str, quantity: Quantity) -> str:
        """What was published, digit for digit, or nothing."""
        is_known = title in self.published.index and quantity.key in self.published
        return self.published.at[title, quantity.key] if is_known else ""

    def _compare(self, variant: str, quantity: Quantity, value: Value, text: str, jax: str) -> Comparison:
        """A number of ours held against the published one, which is kept."""
        scenes = self.scenes[variant]
        reasons = [] if set(scenes) == set(self.planned) else [f"{self._scene_count(variant)} scenes"]
        one = compared(
            Number(value.number, text, len(scenes), value.seeds, value.spread),
            jax,
            reasons + self.reasons[variant],
            table=TITLES[self.name].partition(" of")[0],
            dataset=self.dataset,
            variant=variant,
            method=self.methods[variant],
            scene=MEAN,
            metric=quantity.metric,
            level=str(quantity.level),
            title=quantity.column.plain_name,
        )
        self.comparisons.append(one)
        return one

    def _jax(self, title: str, quantity: Quantity) -> Cell:
        text = self._published_text(title, quantity)
        if not text:
            return Cell(MISSING)
        mad = f"{quantity.key}_mad"
        spread = self.published.at[title, mad] if mad in self.published else ""
        return Cell(text, _known(published_number(text)), spread)

    def _delta(self, variant: str) -> list[Cell]:
        cells = []
        for quantity in self.quantities:
            value, jax = self._value(variant, quantity), self._published_text(self.methods[variant], quantity)
            if value is None or not jax or quantity.metric == "params":
                cells.append(Cell(""))
            else:
                delta = value.number - published_number(jax)
                cells.append(Cell(rounded(delta, quantity.decimals, signed=True), delta))
        return cells

    def _states(self) -> dict[str, Callable[[str], str]]:
        """How complete a method is: the columns that have something to say, and what each says of a method."""
        is_due = {
            "Scenes": any(set(scenes) != set(self.planned) for scenes in self.scenes.values()),
            "Seeds": any(len(self._seeds(variant)) > 1 for variant in self.methods),
            "Steps": bool(self.progress),
        }
        states = {"Scenes": self._scene_count, "Seeds": self._seed_count, "Steps": self._steps}
        return {title: text for title, text in states.items() if is_due[title]}

    def _scene_count(self, variant: str) -> str:
        """`3 of 8`, and how many more there are that are not among the 8."""
        scenes, planned = set(self.scenes[variant]), set(self.planned)
        other = f" and {len(scenes - planned)} other" if scenes - planned else ""
        return f"{len(scenes & planned)} of {len(planned)}{other}"

    def _seeds(self, variant: str) -> set[str]:
        """The names of its runs: the first seed has none of its own, and may differ from scene to scene."""
        everyone: list[Run | Progress] = [*self.members[variant], *self.waiting[variant]]
        return {run.variant for run in everyone}

    def _seed_count(self, variant: str) -> str:
        counted = int(self.means.loc[variant]["seeds"].iloc[0]) if self.members[variant] else 0
        total = len(self._seeds(variant))
        return str(total) if counted == total else f"{counted} of {total}"

    def _steps(self, variant: str) -> str:
        """Those done and planned, where the networks are its own."""
        trained = [run for run in self.members[variant] if "model_of" not in run.setting("record")]
        done = sum(run.setting("train", "max_steps") for run in trained)
        steps = done + sum(run.step for run in self.waiting[variant])
        planned = done + sum(run.max_steps for run in self.waiting[variant])
        return f"{steps:,} of {planned:,}" if planned else MISSING

    def _notes(self, has_jax: bool, is_ranked: bool) -> list[str]:
        metrics = {quantity.metric for quantity in self.quantities}
        on = f"; the published ones on {HARDWARE}" if has_jax else ""
        notes = {
            f"Means over the test views{', then over scenes' * (len(self.planned) > 1)}.": True,
            "Jax: as published by Barron et al., ICCV 2021; delta: ours − Jax.": has_jax,
            "±: standard deviation over the seeds.": any(len(self._seeds(variant)) > 1 for variant in self.methods),
            AVG_NOTE: "avg_error" in metrics,
            f"Time: hours of training, median ± median absolute deviation{on}.": "train_hours" in metrics,
            f"Time: seconds of rendering a megapixel{on}.": "seconds_per_megapixel" in metrics,
            f"{RANKS} of ours.": is_ranked,
        }
        return [note for note, is_due in notes.items() if is_due] + self._not_comparable()

    def _not_comparable(self) -> list[str]:
        """Which methods cannot be compared, and why; costs, which always differ, are no reason."""
        refused = [
            one for one in self.comparisons if one.verdict == NOT_COMPARABLE and one.reason not in COSTS.values()
        ]
        reasons = {one.variant: one.reason for one in refused}
        notes = []
        for reason in dict.fromkeys(reasons.values()):
            variants = [variant for variant in reasons if reasons[variant] == reason]
            names = "all of ours" if len(variants) == len(self.methods) else ", ".join(variants)
            notes.append(f"**Not comparable with Jax:** {names} ({reason}).")
        return notes


def _median_hours(seconds: list[float]) -> Value:
    """Median and median absolute deviation, as the paper has them."""
    hours = [value / 3600 for value in seconds]
    median = statistics.median(hours)
    deviation = statistics.median(abs(value - median) for value in hours)
    return Value(median, deviation if len(hours) > 1 else None)


def _thousands(count: int) -> str:
    """`612K` for 612,740, cut off as the paper does; small networks in full."""
    return f"{count // 1000}K" if count >= 100_000 else f"{count:,}"


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number
