"""Whether a number is the published one: equal, within the spread, better, worse, or not comparable, and why."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import pandas as pd

from mipnerf.report.conditions import differing_conditions, unofficial
from mipnerf.report.frame import SHOWN, Run
from mipnerf.report.reference import MEAN
from mipnerf.report.tables.formats import to_markdown
from mipnerf.report.tables.table import MISSING, Cell, Column, Table, decimals_of, rounded

EQUAL, WITHIN, BETTER, WORSE = "equal", "within spread", "better", "worse"
NOT_COMPARABLE = "not comparable"
VERDICTS = (EQUAL, WITHIN, BETTER, WORSE, NOT_COMPARABLE)
# By how much means over the eight scenes may differ where no seeds tell. The paper's Tables 1 and 3 and the summary in
# the reference's code give the same method PSNRs that differ by up to 0.095 dB.
TOLERANCES = {"psnr": 0.1, "ssim": 0.0005, "lpips": 0.001, "avg_error": 0.0002}
COSTS = {  # why those that are not equal cannot be compared
    "train_hours": "hours of other hardware",
    "seconds_per_megapixel": "seconds of other hardware",
    "params": "another number of parameters",
}
MEAN_SCENES = 8
SHOWN_CELLS = 3  # in the first sentence


@dataclass(frozen=True)
class Comparison:
    """One number of ours and the published one, `jax`, digit for digit.

    `scene` is "mean" in the paper's tables. `spread` is the standard deviation over `seeds`, where there are several;
    `tolerance` by how much the two may differ. `reason` says why they are not comparable.
    """

    table: str
    dataset: str
    variant: str
    method: str
    scene: str
    metric: str
    level: str
    title: str
    ours: float
    jax: str
    delta: float
    spread: float | None
    seeds: int
    tolerance: float | None
    verdict: str
    reason: str

    @property
    def is_quality(self) -> bool:
        """Whether it is an image's, not a cost's."""
        return self.metric in TOLERANCES


@dataclass(frozen=True)
class Number:
    """A number of ours: a mean over `scenes` and `seeds` with its `spread` over the latter, and how it is shown."""

    value: float
    text: str
    scenes: int = 1
    seeds: int = 1
    spread: float | None = None


def compared(number: Number, jax: str, reasons: Sequence[str], **identity: str) -> Comparison:
    """`number` held against the published `jax`; `reasons` are why that cannot be done, `identity` says what it is."""
    spread = number.spread if number.seeds > 1 else None
    tolerance = tolerance_of(identity["metric"], jax, number.scenes, spread, number.seeds)
    verdict, reason = judge(identity["metric"], number, jax, tolerance, "; ".join(reasons))
    delta = number.value - published_number(jax)
    return Comparison(
        **identity,
        ours=number.value,
        jax=jax,
        delta=delta,
        spread=spread,
        seeds=number.seeds,
        tolerance=tolerance,
        verdict=verdict,
        reason=reason,
    )


def judged(cell: Cell, comparison: Comparison) -> Cell:
    """`cell` with the verdict on its number, and why."""
    return replace(cell, verdict=comparison.verdict, reason=reason_of(comparison))


def reason_of(comparison: Comparison) -> str:
    """The verdict on a number with what it rests on, as one sentence."""
    ours, delta = _shown(comparison)
    against = f"published {comparison.jax}, ours {ours}"
    if comparison.verdict == NOT_COMPARABLE:
        return f"{NOT_COMPARABLE}: {comparison.reason} ({against})"
    if comparison.verdict == EQUAL:
        return f"{EQUAL}: {against}"
    over = f" over {comparison.seeds} seeds" if comparison.spread is not None else ""
    return f"{comparison.verdict}: {against}, {delta}; up to {comparison.tolerance:.2g} is within the spread{over}"


def published_number(text: str) -> float:
    """What a published word stands for: `612K` is 612,000; NaN for `~0.16` and the like."""
    try:
        return float(text.replace("K", "e3"))
    except ValueError:
        return math.nan


def reasons_of(runs: list[Run]) -> list[str]:
    """Why the numbers of some runs cannot be held against the published ones of the Blender scenes."""
    other = differing_conditions(runs)
    reasons = [f"other {', '.join(other)}"] if other else []
    return reasons + ["data not the official files"] * (unofficial(runs) is not None)


def judge(metric: str, number: Number, jax: str, tolerance: float | None, reason: str) -> tuple[str, str]:
    """The verdict on `number`, published as `jax`, and the reason if it is that they are not comparable."""
    if reason:
        return NOT_COMPARABLE, reason
    if number.text == jax:
        return EQUAL, ""
    if tolerance is None:
        return NOT_COMPARABLE, COSTS[metric]
    delta = number.value - published_number(jax)
    # A difference that is the tolerance by its digits shall not fail by a last bit.
    if abs(delta) <= tolerance * (1 + 1e-9):
        return WITHIN, ""
    return (BETTER if (delta > 0) == SHOWN[metric].higher_is_better else WORSE), ""


def tolerance_of(metric: str, jax: str, scenes: int, spread: float | None, seeds: int) -> float | None:
    """By how much a mean over `scenes` and `seeds` may differ from one published training; None for a cost.

    With several seeds, twice the standard deviation of such a difference; else that of `TOLERANCES`, which grows where
    fewer scenes average it out. Never less than what rounding to the published digits takes.
    """
    if metric not in TOLERANCES:
        return None
    rounding = 0.5 * 10.0 ** -decimals_of(jax)
    if spread is not None:
        return max(rounding, 2 * spread * math.sqrt(1 + 1 / seeds))
    return max(rounding, TOLERANCES[metric] * math.sqrt(MEAN_SCENES / scenes))


def overall(comparisons: Sequence[Comparison]) -> str:
    """On the means of the paper's tables; on single scenes only where it has no such tables."""
    return _summary([one for one in comparisons if one.scene == MEAN] or comparisons)


def _summary(comparisons: Sequence[Comparison]) -> str:
    """One sentence on all numbers together, and one on those that cannot be compared."""
    quality = [comparison for comparison in comparisons if comparison.is_quality]
    if not quality:
        return "**No published numbers** are there to compare these runs with."
    counts = Counter(comparison.verdict for comparison in quality)
    total = len(quality) - counts[NOT_COMPARABLE]
    found = (reason for one in quality for reason in one.reason.split("; ") if one.verdict == NOT_COMPARABLE)
    reasons = list(dict.fromkeys(found))
    if not total:
        return f"**Not comparable** with the published numbers, all {len(quality):,} of them: {'; '.join(reasons)}."
    parts = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in VERDICTS[:4] if counts[verdict])
    if counts[WORSE]:
        cells = [_named(comparison) for comparison in quality if comparison.verdict == WORSE]
        more = f" and {len(cells) - SHOWN_CELLS:,} more" if len(cells) > SHOWN_CELLS else ""
        sentence = f"**Worse than published** in {'; '.join(cells[:SHOWN_CELLS])}{more}. Of {total:,} numbers: {parts}."
    elif counts[BETTER]:
        sentence = f"**As published, or better.** Of {total:,} numbers: {parts}."
    elif counts[WITHIN]:
        sentence = f"**As published, within the spread.** Of {total:,} numbers: {parts}."
    else:
        sentence = f"**As published, digit for digit:** all {total:,} numbers are equal."
    if counts[NOT_COMPARABLE]:
        sentence += f" {counts[NOT_COMPARABLE]:,} more are not comparable: {'; '.join(reasons)}."
    return sentence


def verdict_frame(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """All comparisons, unrounded, a row each."""
    columns = list(Comparison.__dataclass_fields__)
    return pd.DataFrame([asdict(comparison) for comparison in comparisons], columns=columns)


def verdict_page(comparisons: Sequence[Comparison], notes: Sequence[str] = ()) -> str:
    """The overall sentence, counts for each table, every number that differs, and the rules, in Markdown."""
    parts = ["# Verdict", overall(comparisons), *notes]
    if single := [one for one in comparisons if one.scene != MEAN]:
        parts.append(f"By scene: {_summary(single)}")
    if comparisons:
        parts += ["## Tables", to_markdown(_counts(comparisons))]
    differing = [c for c in comparisons if c.verdict in (WITHIN, BETTER, WORSE)]
    if differing:
        order = sorted(differing, key=lambda comparison: (WORSE, BETTER, WITHIN).index(comparison.verdict))
        parts += ["## Numbers that differ", to_markdown(_cells(order))]
    return "\n\n".join([*parts, "## What the words mean", RULES]) + "\n"


_LISTED = ", ".join(f"{tolerance} ({SHOWN[metric].title})" for metric, tolerance in TOLERANCES.items())
RULES = f"""\
- *{EQUAL}*: shown with as many digits as were published, it has the same digits.
- *{WITHIN}*: it differs by no more than the tolerance. Where a method was trained with n ≥ 2 seeds (`seeds` in `runs`),
  that is 2 s √(1 + 1/n), with the standard deviation s over the seeds: the published number is one training, ours the
  mean of n, and a few seeds tell s only roughly. Else it is, for means over eight scenes,
  {_LISTED},
  and √8 times that for a single scene: the paper's Tables 1 and 3 and the summary in the reference's code give mip-NeRF
  PSNRs that differ by up to 0.095 dB among themselves. Half a unit of the last published digit is always allowed.
- *{BETTER}*, *{WORSE}*: it differs by more.
- *{NOT_COMPARABLE}*: other resolution, budget, network, views or data than published, or a mean over fewer scenes. So
  are hours, seconds and parameters that are not equal; they are no question of quality, and the first sentence leaves
  them out.
"""


def _named(comparison: Comparison) -> str:
    ours, delta = _shown(comparison)
    scene = "" if comparison.scene == MEAN else f" on {comparison.scene}"
    name = f"{comparison.table}, {comparison.method}{scene}, {comparison.title}"
    return f"{name}: {ours}, published {comparison.jax} ({delta})"


def _shown(comparison: Comparison) -> tuple[str, str]:
    """Our number and the difference, with as many decimals as were published."""
    decimals = decimals_of(comparison.jax)
    return rounded(comparison.ours, decimals), rounded(comparison.delta, decimals, signed=True)


def _counts(comparisons: Sequence[Comparison]) -> Table:
    tables = dict.fromkeys(comparison.table for comparison in comparisons)
    rows = []
    for table in tables:
        counts = Counter(comparison.verdict for comparison in comparisons if comparison.table == table)
        rows.append([Cell(table), *(Cell(str(counts[verdict])) for verdict in VERDICTS)])
    return Table("verdict_counts", "Tables", [Column("Table", align="left"), *map(Column, VERDICTS)], rows)


def _cells(comparisons: Sequence[Comparison]) -> Table:
    left, right = ("Table", "Method", "Scene", "Number"), ("ours", "Jax", "delta", "tolerance")
    columns = [Column(title, align="left") for title in left] + [Column(title) for title in right]
    rows = []
    for one in comparisons:
        ours, delta = _shown(one)
        numbers = [ours, one.jax, delta, f"{one.tolerance:.2g}"]
        texts = [one.table, one.method, one.scene, one.title, *numbers, one.verdict]
        rows.append([Cell(text or MISSING) for text in texts])
    return Table("verdict_cells", "Numbers that differ", [*columns, Column("verdict", align="left")], rows)
