"""The report of what is there while others still train."""

from collections.abc import Sequence
from pathlib import Path

from mipnerf.config import SuiteConfig
from mipnerf.config.runs import resolve_runs, scene_folder
from mipnerf.files import write_text
from mipnerf.report.frame import Run
from mipnerf.report.page.build import render_page
from mipnerf.report.page.trainings import Training
from mipnerf.report.reference import Reference

RENEWAL = 30  # seconds after which an open page looks whether there is a new one


def write_partial(
    path: Path, runs: Sequence[Run], trainings: Sequence[Training], suite: SuiteConfig, reference: Reference
) -> None:
    """Write the page of `runs` and of the `trainings` without metrics; it renews itself while there are some."""
    scenes = {(run.dataset, run.scene) for run in resolve_runs(suite).values()}
    folders = {f"{dataset}/{scene}": Path(scene_folder(suite, dataset, scene)) for dataset, scene in scenes}
    here = {name: folder for name, folder in folders.items() if (folder / "manifest.json").exists()}
    compared = [run for run in runs if f"{run.dataset}/{run.scene}" in here]
    renewal = RENEWAL if trainings else None
    write_text(path, render_page(runs, reference, here, compared=compared, trainings=trainings, renewal=renewal))
