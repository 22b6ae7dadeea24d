"""The page: its content from the runs, put into the template in `assets/`."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from mipnerf import __version__
from mipnerf.datasets.scene import read_bytes
from mipnerf.report.frame import ordered_names, read_runs
from mipnerf.report.page.budget import ENCODED, IMAGE_BYTES, MAP_BYTES, fitting
from mipnerf.report.page.data import Json, page_data, run_data
from mipnerf.report.page.embedded import TYPES, Files, data_uri
from mipnerf.report.page.images import Comparison, choose_images, read_comparison
from mipnerf.report.page.runs import details_of, differences_table, times_table
from mipnerf.report.page.sections import choose_figures, dataset_section
from mipnerf.report.reference import load_reference
from mipnerf.report.summary import summarise
from mipnerf.report.tables.formats import BOLD, copy_parts, to_html
from mipnerf.report.tables.table import Table
from mipnerf.report.tables.verdict import overall

ASSETS = resources.files(__package__) / "assets"
STYLES = ("base", "viewer", "tables", "plots", "narrow")
# In this order: plain scripts that see what came before them.
SCRIPTS = (
    *("base", "state", "pictures", "gestures", "viewer", "controls", "loupe", "bars"),
    *("plots", "curves", "tables", "figures", "main"),
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
    comparisons = [read_comparison(candidate, data_folders) for candidate in chosen]
    files = Files()
    data = page_data(runs, tidy, reference)
    data |= {"sets": [set_data(comparison, files) for comparison in comparisons], "maps": map_data(comparisons, files)}
    style, script = joined(STYLES, "css"), scoped(joined(SCRIPTS, "js"))
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
        data=data,
        runs=[run_data(run) for run in runs],
        files=files.all,
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


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "sort_keys": False}
    environment.filters |= {"bold": bold, "table_html": table_html, "table_parts": table_parts, "image_uri": image_uri}
    return environment.get_template("page.html.jinja")
