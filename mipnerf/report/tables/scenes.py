"""The supplement of a dataset: every method on every scene, beside all that was published of mip-NeRF on it."""

import pandas as pd

from mipnerf.report.frame import Run, ordered_names
from mipnerf.report.names import scene_table
from mipnerf.report.reference import LEVEL_COLUMNS, MEAN, METHODS, Reference
from mipnerf.report.rows import METRICS, QUALITY
from mipnerf.report.summary import count_seeds, expected_levels, summarise
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
    seeds_cell,
)
from mipnerf.report.tables.verdict import Comparison, Number, compared, judged, reasons_of

PUBLISHED = "mipnerf"  # the variant of which numbers of single scenes are known


def scenes_table(runs: list[Run], reference: Reference, dataset: str) -> tuple[Table, list[Comparison]]:
    """Metric, method and source in rows, scenes and their mean in columns; and all comparisons with the paper's.

    Numbers are means over the levels, and over seeds. A mean over scenes is missing where a method lacks one of them.
    """
    scenes = ordered_names(runs, "scene")
    columns = [Column(title, align="left") for title in ("Metric", "Method", SOURCE)]
    columns += [Column(scene) for scene in scenes] + [Column(f"mean of {len(scenes)}")] * (len(scenes) > 1)
    rows: list[list[Cell]] = []
    breaks, comparisons = [], []
    results = summarise(runs, reference) if runs else pd.DataFrame(columns=["metric", "level"])
    for metric in [metric for metric in QUALITY if metric in set(results["metric"])]:
        part = results[(results["metric"] == metric) & (results["level"] == MEAN)]
        texts = reference.scene_texts(dataset, metric) if _has_published_levels(runs, dataset) else {}
        block, found = _metric_rows(runs, part, texts, scenes + [MEAN] * (len(scenes) > 1))
        breaks.append(len(rows))
        rows += block
        comparisons += found
    title = f"{dataset}, by scene"
    return Table(scene_table(dataset), title, columns, rows, _notes(runs, results, rows), breaks), comparisons


def _has_published_levels(runs: list[Run], dataset: str) -> bool:
    """Whether an average of ours is over as many levels as the published ones."""
    return len(expected_levels(runs)) == len(LEVEL_COLUMNS.get(dataset, ["only"]))


def _metric_rows(
    runs: list[Run], part: pd.DataFrame, texts: dict[str, dict[str, str]], scenes: list[str]
) -> tuple[list[list[Cell]], list[Comparison]]:
    """The rows of one metric in the columns `scenes`, of which it may lack some.

    `part` are its means over levels, `texts` what was published, by source and scene.
    """
    metric = part["metric"].iloc[0]
    jax = texts.get("jax", {})
    decimals = max((decimals_of(text) for text in jax.values()), default=METRICS[metric].decimals)
    better = Column("", better=METRICS[metric].better)
    methods = {
        method: group.set_index("scene").reindex(scenes) for method, group in part.groupby("variant", sort=False)
    }
    seeds = count_seeds(runs)
    own = [
        [seeds_cell(row.value, row.spread, row.seeds, seeds[method], decimals) for row in group.itertuples()]
        for method, group in methods.items()
    ]
    marked = ranked(own, [better] * len(scenes))
    rows, comparisons = [], []
    for (method, group), cells in zip(methods.items(), marked, strict=True):
        head = [Cell(METRICS[metric].title), Cell(method)]
        found = _compare(runs, method, group, cells, jax) if method == PUBLISHED else []
        comparisons += found
        by_scene = {one.scene: one for one in found}
        judged_cells = [
            judged(cell, by_scene[scene]) if scene in by_scene else cell
            for cell, scene in zip(cells, scenes, strict=True)
        ]
        rows.append([*head, Cell(OURS), *judged_cells])
        for source, published in texts.items() if method == PUBLISHED else ():
            others = _published(published, scenes)
            rows.append([*head, Cell(JAX if source == "jax" else source), *others])
            if source == "jax":
                rows.append(
                    [*head, Cell(DELTA), *(_delta(*pair, decimals) for pair in zip(cells, others, strict=True))]
                )
    return rows, comparisons


def _published(texts: dict[str, str], scenes: list[str]) -> list[Cell]:
    """The published numbers of the scenes, and their mean, which is ours to compute, where all are known."""
    known = {scene: Cell(text, float(text)) for scene, text in texts.items()}
    if MEAN in scenes and set(scenes) - {MEAN} <= set(known):
        numbers = [float(texts[scene]) for scene in scenes if scene != MEAN]
        decimals = max(decimals_of(text) for text in texts.values())
        mean = sum(numbers) / len(numbers)
        known[MEAN] = Cell(rounded(mean, decimals), mean)
    return [known.get(scene, Cell(MISSING)) for scene in scenes]


def _delta(ours: Cell, jax: Cell, decimals: int) -> Cell:
    if ours.number is None or jax.number is None:
        return Cell("")
    delta = ours.number - jax.number
    return Cell(rounded(delta, decimals, signed=True), delta)


def _compare(
    runs: list[Run], method: str, group: pd.DataFrame, cells: list[Cell], jax: dict[str, str]
) -> list[Comparison]:
    found = []
    for row, cell in zip(group.itertuples(), cells, strict=True):
        if row.Index in jax and cell.number is not None:
            members = [run for run in runs if (run.method, run.scene) == (method, row.Index)]
            spread = None if pd.isna(row.spread) else row.spread
            found.append(
                compared(
                    Number(row.value, cell.text.split()[0], 1, int(row.seeds), spread),
                    jax[row.Index],
                    reasons_of(members),
                    table=f"{row.dataset}, by scene",
                    dataset=row.dataset,
                    variant=method,
                    method=METHODS[row.dataset][method],
                    scene=row.Index,
                    metric=row.metric,
                    level=MEAN,
                    title=METRICS[row.metric].title,
                )
            )
    return found


def _notes(runs: list[Run], results: pd.DataFrame, rows: list[list[Cell]]) -> list[str]:
    if not runs:
        return ["No run has metrics yet."]
    levels, sources = len(expected_levels(runs)), {row[2].text for row in rows} - {OURS, DELTA, JAX}
    notes = [f"Means over the test views, then over {levels} levels."] if levels > 1 else ["Means over the test views."]
    if JAX in {row[2].text for row in rows}:
        notes.append("Jax: as published with Barron et al., ICCV 2021; delta: ours − Jax.")
    if sources:
        names = ", ".join(sorted(sources))
        notes.append(
            f"{names}: other PyTorch implementations, as they say themselves; their LPIPS is of other weights."
        )
    if results["seeds"].max() > 1:
        notes.append(f"Means over up to {results['seeds'].max():.0f} seeds ± standard deviation.")
    if any(cell.rank for row in rows for cell in row):
        notes.append(f"{RANKS} of ours.")
    return notes
