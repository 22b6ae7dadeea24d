"""The page: its content from the runs, put into the template in `assets/`."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from mipnerf import __version__
from mipnerf.datasets.scene import read_bytes
from mipnerf.report.frame import level_name, ordered_names, read_runs
from mipnerf.report.page.images import MAX_BYTES, Comparison, choose_images, read_comparison
from mipnerf.report.page.runs import CURVE_SIZE, details_of, differences_table, times_table
from mipnerf.report.page.sections import choose_figures, dataset_section
from mipnerf.report.reference import load_reference
from mipnerf.report.summary import summarise
from mipnerf.report.tables.formats import BOLD, to_csv, to_html
from mipnerf.report.tables.table import Table
from mipnerf.report.tables.verdict import overall

ASSETS = resources.files(__package__) / "assets"
TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


def build_page(
    run_folders: Sequence[Path],
    reference_folder: Path,
    data_folders: Mapping[str, Path],
    figures: Sequence[Path] = (),
    lpips_reason: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> str:
    """The whole page as HTML.

    `data_folders` are those of the scenes by `dataset/scene`, `figures` files `{dataset}_*.png` or `.svg`, shown with
    their dataset; `lpips_reason` says why LPIPS was asked for and could not be measured. The images to be compared take
    at most `max_bytes`. The same files give the same page. Raises `DataError` for what is missing or broken.
    """
    runs, reference = read_runs(run_folders), load_reference(reference_folder)
    tidy = summarise(runs, reference, asked=["lpips"] if lpips_reason else [])
    names = ordered_names(runs, "dataset")
    datasets, pictures = [], choose_figures(figures, names)
    for name in names:
        members = [run for run in runs if run.dataset == name]
        drawn = [figure for figure in pictures if figure.dataset == name]
        datasets.append(dataset_section(name, members, tidy, reference, drawn, lpips_reason))
    details = [details_of(run) for run in runs]
    chosen, num_images = choose_images(runs, max_bytes)
    style, script = _asset("page.css"), _asset("page.js")
    return _template().render(
        version=__version__,
        style=style,
        script=script,
        policy=content_policy(style, script),
        verdict=overall([comparison for dataset in datasets for comparison in dataset.comparisons]),
        num_runs=len(runs),
        num_variants=len(ordered_names(runs, "method")),
        num_scenes=len({(run.dataset, run.scene) for run in runs}),
        datasets=datasets,
        lpips_reason=lpips_reason,
        details=details,
        times=times_table(runs, details),
        differences=differences_table(runs),
        comparisons=[comparison_data(read_comparison(candidate, data_folders)) for candidate in chosen],
        num_left_out=num_images - len(chosen),
        max_mebibytes=max_bytes >> 20,
        curve_size=CURVE_SIZE,
    )


def content_policy(style: str, script: str) -> str:
    """Lets the browser load nothing from anywhere, and run this script alone."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    return (
        f"default-src 'none'; img-src data:; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def comparison_data(comparison: Comparison) -> dict[str, Any]:
    """A comparison for the page's script."""
    return {
        "scene": f"{comparison.dataset}/{comparison.scene}",
        "level": level_name(comparison.level),
        "view": comparison.view,
        "width": comparison.width,
        "height": comparison.height,
        "pictures": [
            {"name": picture.name, "scores": picture.scores, "source": data_uri(picture.png, "image/png")}
            for picture in comparison.pictures
        ],
    }


def data_uri(content: bytes, media_type: str) -> str:
    """`content` as a URL that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def table_html(table: Table) -> str:
    """The table without its notes, which are no part of what scrolls."""
    return to_html(replace(table, notes=()))


def bold(text: str) -> str:
    """A sentence as HTML, with what stands between double asterisks in bold."""
    return BOLD.sub(r"<b>\1</b>", escape(text))


def csv_uri(table: Table) -> str:
    """The table as a CSV file to be saved."""
    return data_uri(to_csv(table).encode(), "text/csv")


def image_uri(path: Path) -> str:
    """A picture as a URL that holds it."""
    return data_uri(read_bytes(path), TYPES[path.suffix])


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"bold": bold, "table_html": table_html, "csv_uri": csv_uri, "image_uri": image_uri}
    return environment.get_template("page.html.jinja")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
