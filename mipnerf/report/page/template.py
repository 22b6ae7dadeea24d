"""The frame of the page: template, style and script in `assets/`, and how the template shows what it is given."""

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mipnerf.datasets.images import image_size
from mipnerf.datasets.scene import read_bytes
from mipnerf.report.page.embedded import TYPES, data_uri
from mipnerf.report.tables.formats import BOLD, copy_parts, to_html
from mipnerf.report.tables.table import Table

ASSETS = resources.files(__package__) / "assets"
STYLES = ("base", "viewer", "tables", "plots", "motion", "narrow")
# In this order: plain scripts that see what came before them.
SCRIPTS = (
    *("base", "state", "pictures", "gestures", "viewer", "controls", "loupe", "bars"),
    *("plots", "curves", "film", "orbit", "tables", "figures", "renewal", "main"),
)


def render(**values: Any) -> str:
    """The page with these values."""
    style, script = joined(STYLES, "css"), scoped(joined(SCRIPTS, "js"))
    return _template().render(style=style, script=script, policy=content_policy(style, script), **values)


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
