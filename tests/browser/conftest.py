"""The browser in which the tests of this folder look at the report, and the report."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from report_files import add_orbit
from unit.report.conftest import make_images, make_run, reference_folder  # noqa: F401, fixtures

from mipnerf.report.figures.plots import plot_levels, save_figure
from mipnerf.report.figures.strips import plot_strip
from mipnerf.report.frame import read_runs
from mipnerf.report.page.build import build_page
from mipnerf.report.reference import load_reference
from mipnerf.training.history import ValidationRow, picture_name, write_validation

from . import chromium

NUM_VIEWS = 5
FILM_STEPS = (100, 200, 400, 800)
LONG_NAME = "mipnerf_with_a_name_that_is_longer_than_any_other"


@pytest.fixture(scope="session")
def browser():
    """A running Chromium."""
    if reason := chromium.why_not():
        pytest.skip(reason)
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'"
    )
    try:
        chromium.install()
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"Chromium could not be installed: {getattr(error, 'stderr', None) or error}")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium.program())
        yield running
        running.close()


@pytest.fixture(scope="session")
def made() -> dict[str, Path]:
    """What the first test made, for the others."""
    return {}


@pytest.fixture
def report(made, make_run, make_images, reference_folder, tmp_path) -> Path:  # noqa: F811
    """The report of two runs of one scene and one of another, where every kind of content occurs."""
    if "report" in made:
        return made["report"]
    folders = [
        make_run(psnr=30.0, lpips=0.2, test_views=NUM_VIEWS),
        make_run(variant="mipnerf_wo_ipe", psnr=28.5, lpips=0.3, test_views=NUM_VIEWS),
        make_run(variant=LONG_NAME, scene="tower", psnr=9.0, lpips=0.4, test_views=NUM_VIEWS),
    ]
    data = make_images(folders, num_views=NUM_VIEWS)
    add_maps(folders[0])
    for folder in folders[:2]:
        add_film(folder)
        add_orbit(folder)
    runs = read_runs(folders)
    figures = [tmp_path / "plots" / name for name in ("bricks_levels.svg", "bricks_wall_strip.png")]
    save_figure(plot_levels(runs, load_reference(reference_folder)), figures[0])
    save_figure(plot_strip(data, runs[:2]), figures[1])
    path = tmp_path / "report.html"
    scenes = dict.fromkeys(["bricks/wall", "bricks/tower"], data)
    path.write_text(build_page(folders, reference_folder, scenes, figures), encoding="utf-8")
    return made.setdefault("report", path)


def add_maps(folder: Path) -> None:
    """Depth from near to far, and opacity everywhere but at the left, of every rendering of a run."""
    for path in folder.glob("level_*/renderings/???.png"):
        height, width = iio.imread(path).shape[:2]
        depth = np.broadcast_to(np.linspace(0, 65535, width).astype(np.uint16), (height, width))
        iio.imwrite(path.with_name(f"{path.stem}_depth.png"), depth)
        iio.imwrite(path.with_name(f"{path.stem}_acc.png"), np.where(depth > 5000, 255, 0).astype(np.uint8))


def add_film(folder: Path) -> None:
    """What a training leaves of its validations: truth and rendering side by side."""
    generator = np.random.default_rng(1)
    rows = [ValidationRow(step, 3, 0, 20.0 + step / 100, None, step / 10) for step in FILM_STEPS]
    write_validation(folder / "validation.csv", rows)
    (folder / "validation").mkdir()
    for row in rows:
        pixels = generator.integers(0, 256, (4, 8, 3), dtype=np.uint8)
        iio.imwrite(folder / "validation" / picture_name(row.step, row.view), pixels)


@pytest.fixture
def visit(browser, report) -> Callable:
    """A function that opens the report, at an address within it, as `browser.new_page` would with the same arguments.

    The test fails if the page asked for anything but itself, or if its console has anything to say.
    """
    troubles, pages = [], []

    def open_page(address: str = "", **options):
        page = browser.new_page(offline=True, **options)
        page.set_default_timeout(10_000)
        pages.append(page)
        page.on("console", lambda message: troubles.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("requestfailed", lambda request: troubles.append(f"failed: {request.url[:100]}"))
        page.on("request", lambda request: troubles.append(request.url) if is_foreign(request.url) else None)
        page.goto(report.as_uri() + address)
        if options.get("java_script_enabled", True):
            page.locator("html[data-ready]").wait_for(state="attached")
        return page

    def is_foreign(url: str) -> bool:
        return not url.startswith("data:") and url.partition("#")[0] != report.as_uri()

    yield open_page
    for page in pages:
        page.close()
    assert not troubles
