"""The numbers of the page for its script: what there is, and of each run its views and its training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from mipnerf.report.figures.comparisons import costs_and_quality
from mipnerf.report.frame import SHOWN, Run, ordered_names
from mipnerf.report.names import title_of
from mipnerf.report.page.images import order_of_views
from mipnerf.report.page.trainings import Training
from mipnerf.report.reference import MEAN, Reference
from mipnerf.report.rows import METRICS
from mipnerf.report.summary import expected_levels
from mipnerf.training.history import ValidationRow, read_rows, read_validation

VIEW_METRICS = ("psnr", "ssim", "lpips")  # of single views
ABLATION = "mipnerf_wo_ipe"  # what the paper is about, where it was trained
CURVE_POINTS = 150
CURVE_DIGITS = 6
COLORS = ("magma", "viridis", "gray")
Json = dict[str, Any]


def page_data(
    runs: Sequence[Run], tidy: pd.DataFrame, reference: Reference, trainings: Sequence[Training] = ()
) -> Json:
    """What the page has of datasets, runs and means; `tidy` is what `summarise` gives for the runs.

    Trainings without metrics stand behind the runs; they have curves alone.
    """
    everyone: list[Run | Training] = [*runs, *trainings]
    views: dict[str, list[set[int]]] = {}
    for run in runs:
        views.setdefault(f"{run.dataset}/{run.scene}", []).append(set(run.views))
    common = {scene: sorted(set.intersection(*of_runs)) for scene, of_runs in views.items()}
    return {
        "metrics": {
            name: {"title": metric.title, "decimals": metric.decimals, "better": metric.better}
            for name, metric in SHOWN.items()
        },
        "datasets": [
            dataset_data(name, runs, tidy, reference, trainings) for name in ordered_names(everyone, "dataset")
        ],
        "runs": [
            {
                "dataset": run.dataset,
                "variant": run.variant,
                "method": run.method,
                "scene": run.scene,
                "title": title_of(run.variant),
                "element": f"run-{i}",
            }
            for i, run in enumerate(everyone)
        ],
        "views": {scene: sorted(set.union(*of_runs)) for scene, of_runs in views.items()},
        "middle": {scene: order_of_views(seen)[0] for scene, seen in common.items() if seen},
        "colors": {name: color_text(name) for name in COLORS},
    }


def dataset_data(
    name: str,
    runs: Sequence[Run],
    tidy: pd.DataFrame,
    reference: Reference,
    trainings: Sequence[Training] = (),
) -> Json:
    """A dataset: its names, its means over the views beside what was published, and what its methods cost."""
    members = [run for run in runs if run.dataset == name]
    results = tidy[tidy["dataset"] == name]
    metrics = [metric for metric in VIEW_METRICS if any(metric in set(run.metrics["metric"]) for run in members)]
    everyone: list[Run | Training] = [*members, *(training for training in trainings if training.dataset == name)]
    methods = ordered_names(everyone, "method")
    columns = ["scene", "variant", "metric", "level", "value", "jax", "spread"]
    return {
        "name": name,
        "scenes": ordered_names(everyone, "scene"),
        "methods": methods,
        "titles": {method: title_of(method) for method in methods},
        "levels": len(expected_levels(members)) if members else 1,
        "metrics": metrics or ["psnr"],
        "contrast": contrast_of(results, methods),
        "results": _rows(results[columns]),
        "costs": _rows(costs_and_quality(members, reference)) if members else [],
    }


def contrast_of(results: pd.DataFrame, methods: Sequence[str]) -> list[str]:
    """The best method by its average PSNR, and the one that shows why: the ablation, or the worst where it is coarsest.

    `results` are those of one dataset; fewer where there are not two.
    """
    means = mean_psnr(results)
    if MEAN not in means or means[MEAN].isna().all():
        return list(methods[:2])
    known = means[MEAN].dropna().sort_values(ascending=False, kind="stable")
    best, coarsest = known.index[0], means.columns[-2]
    others = means.drop(index=best)[coarsest].dropna().sort_values(kind="stable")
    if others.empty:
        return [best]
    return [best, ABLATION if ABLATION in others.index else others.index[0]]


def mean_psnr(results: pd.DataFrame) -> pd.DataFrame:
    """PSNR of one dataset, a row for each method and a column for each level and their mean, over scenes."""
    psnr = results[results["metric"] == "psnr"]
    if (psnr["scene"] == MEAN).any():
        psnr = psnr[psnr["scene"] == MEAN]
    levels = list(dict.fromkeys(psnr["level"]))
    return psnr.pivot_table(index="variant", columns="level", values="value", sort=False, dropna=False)[levels]


def run_data(run: Run) -> Json:
    """The numbers of every view of a run as they are in metrics.csv, [level][view], and the curves of its training."""
    levels, rows = sorted({int(level) for level in run.metrics["level"]}), run.metrics
    keys = zip(rows["metric"], rows["level"], rows["view"], strict=True)
    values = dict(zip(keys, rows["value"].tolist(), strict=True))
    data: Json = {"views": run.views, "levels": levels}
    for metric in METRICS:
        if metric in VIEW_METRICS and metric in set(rows["metric"]):
            data[metric] = [[values.get((metric, level, view)) for view in run.views] for level in levels]
    return data | curves_in(run.folder)


def training_data(training: Training) -> Json:
    """What there is of a training: its curves so far."""
    data: Json = {"views": [], "levels": []}
    return data | curves_in(training.log or training.folder)


def curves_in(folder: Path) -> Json:
    """The curves of the training whose history.csv and validation.csv are in `folder`, as far as they are there."""
    return {
        "training": training_curve(folder / "history.csv"),
        "validation": validation_curve(folder / "validation.csv"),
    }


def training_curve(path: Path) -> Json:
    """Steps, minutes and PSNR of the training batches, in means of neighbouring rows."""
    rows = read_rows(path)
    curve = {
        "step": [row.step for row in rows],
        "minutes": [row.seconds / 60 for row in rows],
        "psnr": [row.psnr for row in rows],
    }
    return {key: _short(thinned(np.array(values, dtype=float))) for key, values in curve.items()}


def validation_curve(path: Path) -> Json:
    """Steps, minutes and mean PSNR of the views that are not trained on, and their level."""
    steps: dict[int, list[ValidationRow]] = {}
    for row in read_validation(path):
        steps.setdefault(row.step, []).append(row)
    return {
        "step": list(steps),
        "minutes": _short([rows[0].seconds / 60 for rows in steps.values()]),
        "psnr": _short([float(np.mean([row.psnr for row in rows])) for rows in steps.values()]),
        "level": next((rows[0].level for rows in steps.values()), None),
    }


def thinned(values: np.ndarray) -> np.ndarray:
    """`values` in means of neighbours, so that they are not more than a curve has points."""
    if len(values) == 0:
        return values
    return np.array([part.mean() for part in np.array_split(values, min(CURVE_POINTS, len(values)))])


def color_text(name: str) -> str:
    """The 256 colours of a scale as hexadecimal digits, six each."""
    table = np.round(255 * mpl.colormaps[name](np.arange(256))[:, :3]).astype(np.uint8)
    return table.tobytes().hex()


def _short(values: Sequence[float] | np.ndarray) -> list[float]:
    return [float(f"{value:.{CURVE_DIGITS}g}") for value in values]


def _rows(frame: pd.DataFrame) -> list[Mapping[str, Any]]:
    """The rows of a frame as JSON has them: null for what is missing."""
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(key): getattr(value, "item", lambda v=value: v)() for key, value in row.items()} for row in records]
