"""The page: its content from the runs, put into the template in `assets/`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mipnerf import __version__
from mipnerf.report.frame import Run, ordered_names, read_runs
from mipnerf.report.page.budget import IMAGE_BYTES
from mipnerf.report.page.data import page_data, run_data, training_data
from mipnerf.report.page.media import gather_media
from mipnerf.report.page.runs import details_of, differences_table, times_table
from mipnerf.report.page.sections import choose_figures, dataset_section
from mipnerf.report.page.template import render
from mipnerf.report.page.trainings import Training, progress_table, summary_of_progress
from mipnerf.report.reference import Reference, load_reference
from mipnerf.report.summary import summarise
from mipnerf.report.tables.verdict import overall


def build_page(
    run_folders: Sequence[Path],
    reference_folder: Path,
    data_folders: Mapping[str, Path],
    figures: Sequence[Path] = (),
    lpips_reason: str | None = None,
    max_bytes: int = IMAGE_BYTES,
) -> str:
    """The whole page as HTML.

    `data_folders` are those of the scenes by `dataset/scene`, `figures` files `{dataset}_*.png` or `.svg`, shown with
    their dataset; `lpips_reason` says why LPIPS was asked for and could not be measured. The images to be compared take
    at most `max_bytes`. The same files give the same page. Raises `DataError` for what is missing or broken.
    """
    runs = read_runs(run_folders)
    return render_page(runs, load_reference(reference_folder), data_folders, figures, lpips_reason, max_bytes)


def render_page(
    runs: Sequence[Run],
    reference: Reference,
    data_folders: Mapping[str, Path],
    figures: Sequence[Path] = (),
    lpips_reason: str | None = None,
    max_bytes: int = IMAGE_BYTES,
    compared: Sequence[Run] | None = None,
    trainings: Sequence[Training] = (),
    renewal: int | None = None,
) -> str:
    """`build_page` of runs that are read, with those that are still trained.

    `compared` are the runs whose images are shown, if not all. An open page looks for a new one every `renewal`
    seconds.
    """
    runs = list(runs)
    tidy = summarise(runs, reference, asked=["lpips"] if lpips_reason else [])
    names = ordered_names(runs, "dataset")
    datasets, drawn = [], choose_figures(figures, names)
    for name in names:
        members = [run for run in runs if run.dataset == name]
        own = [figure for figure in drawn if figure.dataset == name]
        datasets.append(dataset_section(name, members, tidy, reference, own, lpips_reason))
    details = [details_of(run) for run in runs]
    media = gather_media(runs, trainings, data_folders, max_bytes, compared)
    return render(
        version=__version__,
        num_runs=len(runs),
        num_variants=len(ordered_names(runs, "method")),
        num_scenes=len({(run.dataset, run.scene) for run in runs}),
        verdict=overall([comparison for dataset in datasets for comparison in dataset.comparisons]),
        datasets=datasets,
        lpips_reason=lpips_reason,
        details=details,
        times=times_table(runs, details),
        differences=differences_table(runs),
        progress=progress_table(trainings) if trainings else None,
        progress_summary=summary_of_progress(len(runs), trainings),
        num_steps=sum(one.step for one in trainings),
        max_steps=sum(one.max_steps for one in trainings),
        renewal=renewal,
        data=page_data(runs, tidy, reference, trainings) | media.data | {"renewal": renewal},
        runs=[*map(run_data, runs), *map(training_data, trainings)],
        videos=media.videos,
        files=media.files,
        left_out=media.left_out,
        max_mebibytes=max_bytes >> 20,
    )
