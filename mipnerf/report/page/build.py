"""The page: its content from the runs, put into the template in `assets/`."""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mipnerf import __version__
from mipnerf.datasets.images import image_size
from mipnerf.datasets.scene import read_bytes
from mipnerf.report.frame import Run, ordered_names, read_runs
from mipnerf.report.page.budget import ENCODED, IMAGE_BYTES, MAP_BYTES, fitting
from mipnerf.report.page.data import Json, page_data, run_data, training_data
from mipnerf.report.page.embedded import TYPES, Files, data_uri
from mipnerf.report.page.films import Frame, choose_frames
from mipnerf.report.page.images import Comparison, choose_images, read_comparisons
from mipnerf.report.page.orbits import Orbit, Video, choose_orbits, choose_videos
from mipnerf.report.page.runs import details_of, differences_table, times_table
from mipnerf.report.page.sections import choose_figures, dataset_section
from mipnerf.report.page.trainings import Training, progress_table, summary_of_progress
from mipnerf.report.reference import Reference, load_reference
from mipnerf.report.summary import summarise
from mipnerf.report.sweeps import pictured_runs
from mipnerf.report.tables.formats import BOLD, copy_parts, to_html
from mipnerf.report.tables.table import Table
from mipnerf.report.tables.verdict import overall

ASSETS = resources.files(__package__) / "assets"
STYLES = ("base", "viewer", "tables", "plots", "motion", "narrow")
# In this order: plain scripts that see what came before them.
SCRIPTS = (
    *("base", "state", "pictures", "gestures", "viewer", "controls", "loupe", "bars"),
    *("plots", "curves", "film", "orbit", "tables", "figures", "renewal", "main"),
)


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
    pictured: Sequence[Run] | None = None,
    trainings: Sequence[Training] = (),
    renewal: int | None = None,
) -> str:
    """`build_page` of runs that are read, with those that are still trained.

    `pictured` are the runs whose images are shown, if not all. An open page looks for a new one every `renewal`
    seconds.
    """
    runs = list(runs)
    tidy = summarise(runs, reference, asked=["lpips"] if lpips_reason else [])
    names = ordered_names(runs, "dataset")
    datasets, pictures = [], choose_figures(figures, names)
    for name in names:
        members = [run for run in runs if run.dataset == name]
        drawn = [figure for figure in pictures if figure.dataset == name]
        datasets.append(dataset_section(name, members, tidy, reference, drawn, lpips_reason))
    details = [details_of(run) for run in runs]
    scenes = dict.fromkeys((run.dataset, run.scene) for run in runs)
    moving = [
        run for place in scenes for run in pictured_runs([one for one in runs if (one.dataset, one.scene) == place])
    ]
    chosen, num_images = choose_images(runs if pictured is None else pictured, max_bytes)
    comparisons = list(read_comparisons(chosen, data_folders))
    files = Files()
    data = page_data(runs, tidy, reference, trainings)
    frames, num_frames = choose_frames([*moving, *trainings])
    orbits, num_orbits = choose_orbits(moving)
    data |= {
        "sets": [set_data(comparison, files) for comparison in comparisons],
        "maps": map_data(comparisons, files),
        "films": [frame_data(frame, files) for frame in frames],
        "orbits": [orbit_data(orbit, files) for orbit in orbits],
        "renewal": renewal,
    }
    videos = choose_videos(moving)
    style, script = joined(STYLES, "css"), scoped(joined(SCRIPTS, "js"))
    return _template().render(
        version=__version__,
        style=style,
        script=script,
        policy=content_policy(style, script),
        verdict=overall([comparison for dataset in datasets for comparison in dataset.comparisons]),
        num_runs=len(runs),
        num_variants=len(ordered_names(runs, "method")),
        num_scenes=len(scenes),
        datasets=datasets,
        lpips_reason=lpips_reason,
        details=details,
        times=times_table(runs, details),
        differences=differences_table(runs),
        data=data,
        runs=[*map(run_data, runs), *map(training_data, trainings)],
        progress=progress_table(trainings) if trainings else None,
        progress_summary=summary_of_progress(len(runs), trainings),
        num_steps=sum(one.step for one in trainings),
        max_steps=sum(one.max_steps for one in trainings),
        renewal=renewal,
        videos=[video_data(video, files) for video in videos],
        files=files.all,
        num_frames_left_out=num_frames - len(frames),
        num_orbits_left_out=num_orbits - len(orbits),
        num_left_out=num_images - len(chosen),
        max_mebibytes=max_bytes >> 20,
    )


def set_data(comparison: Comparison, files: Files) -> Json:
    """A comparison for the page's script, its images among the `files`."""
    return {
        "scene": f"{comparison.dataset}/{comparison.scene}",
        **{key: getattr(comparison, key) for key in ("level", "view", "width", "height")},
        "pictures": {name: files.add(content) for name, content in comparison.pictures.items()},
    }


def map_data(comparisons: Sequence[Comparison], files: Files, max_bytes: float = MAP_BYTES) -> list[Json]:
    """Depths and opacities for the page's script, as many as there is room for, the coarse levels first."""
    found = [(comparison, each) for comparison in comparisons for each in comparison.maps]
    found.sort(key=lambda pair: -pair[0].level)
    kept = fitting((ENCODED * (len(each.depth) + len(each.opacity)) for _, each in found), max_bytes)
    return [
        {
            "scene": f"{comparison.dataset}/{comparison.scene}",
            **{key: getattr(comparison, key) for key in ("level", "view")},
            **{key: getattr(each, key) for key in ("variant", "low", "high")},
            "depth": files.add(each.depth),
            "opacity": files.add(each.opacity),
        }
        for comparison, each in (found[i] for i in kept)
    ]


def frame_data(frame: Frame, files: Files) -> Json:
    """A picture of a training for the page's script."""
    run, row = frame.run, frame.row
    return {
        "scene": f"{run.dataset}/{run.scene}",
        "variant": run.variant,
        "step": row.step,
        "level": row.level,
        "view": row.view,
        "psnr": row.psnr,
        "file": files.add(frame.content()),
    }


def orbit_data(orbit: Orbit, files: Files) -> Json:
    """Views from all around for the page's script."""
    return {
        "scene": f"{orbit.run.dataset}/{orbit.run.scene}",
        "variant": orbit.run.variant,
        "frames": orbit.frames,
        "columns": orbit.columns,
        "sizes": orbit.sizes,
        "sheets": [files.add(sheet) for sheet in orbit.sheets],
    }


def video_data(video: Video, files: Files) -> Json:
    """A video for the template: where it is, and its content where there was room."""
    run = video.run
    return {
        "name": f"{run.dataset}/{run.variant}/{run.scene}: {video.path.stem.removeprefix('video_').replace('_', ' ')}",
        "link": f"{run.dataset}/{run.variant}/{run.scene}/{video.path.name}",
        "file": files.add(read_bytes(video.path), TYPES[video.path.suffix]) if video.is_shown else None,
        "poster": files.add(video.poster) if video.poster else None,
    }


def content_policy(style: str, script: str) -> str:
    """Lets the browser load nothing from anywhere, and run this script alone."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    return (
        "default-src 'none'; img-src data:; media-src data:; "
        f"script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; base-uri 'none'; form-action 'none'"
    )


def joined(names: Iterable[str], ending: str) -> str:
    """Files of `assets/`, one after the other."""
    return "\n".join((ASSETS / f"{name}.{ending}").read_text(encoding="utf-8") for name in names)


def scoped(script: str) -> str:
    """A script that leaves no names behind."""
    return f'(() => {{\n"use strict";\n{script}}})();'


def table_html(table: Table) -> str:
    """The table without its notes, which are no part of what scrolls."""
    return to_html(replace(table, notes=()))


def table_parts(table: Table) -> dict[str, dict[str, Any]]:
    """What the page copies of a table."""
    return {name: asdict(parts) for name, parts in copy_parts(table).items()}


def bold(text: str) -> str:
    """A sentence as HTML, with what stands between double asterisks in bold."""
    return BOLD.sub(r"<b>\1</b>", escape(text))


def image_uri(path: Path) -> str:
    """A picture as a URL that holds it."""
    return data_uri(read_bytes(path), TYPES[path.suffix])


def size_attributes(path: Path) -> Markup:
    """How large a picture is, so that the page does not move when it comes."""
    if path.suffix == ".svg":
        sizes = re.findall(r'(?:width|height)="([\d.]+)(?:pt)?"', path.read_text(encoding="utf-8")[:2000])[:2]
    else:
        width, height = image_size(path)
        sizes = [str(width), str(height)]
    if len(sizes) < 2:
        return Markup()
    return Markup(f'width="{round(float(sizes[0]))}" height="{round(float(sizes[1]))}"')


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "sort_keys": False}
    for function in (bold, table_html, table_parts, image_uri, size_attributes):
        environment.filters[function.__name__] = function
    return environment.get_template("page.html.jinja")
