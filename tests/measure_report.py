"""`python tests/measure_report.py`: how large the report of 2 and of 176 runs is, and how fast a browser opens it.

The runs are synthetic: those of `config/paper.yaml` with 200 test views a scene, and two of them.
"""

import json
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pandas as pd
import psutil
import yaml
from browser import chromium

from mipnerf.config.files import read_suite
from mipnerf.config.runs import resolve_runs
from mipnerf.report.frame import COLUMNS
from mipnerf.report.page.build import build_page
from mipnerf.report.page.images import order_of_views

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "config" / "reference"
NUM_VIEWS, SIZE = 200, 160  # of a scene, and pixels along a side of its images at full resolution
DISTINCT = 24  # views of a run whose images are files of their own; more than the page has room for
LOOKS = 12  # views that are opened one after the other
WATCH = """
window.seen = { tasks: [] };
new PerformanceObserver(list => { for (const task of list.getEntries()) seen.tasks.push(task.duration); })
    .observe({ type: 'longtask', buffered: true });
const note = () => {
    if (document.querySelector('#compare-images[data-drawn]')) seen.drawn ??= performance.now();
    if (document.documentElement?.dataset.ready) seen.ready ??= performance.now();
    if (!seen.ready) requestAnimationFrame(note);
};
requestAnimationFrame(note);
"""


def main() -> None:
    """Print a line for each report."""
    from playwright.sync_api import sync_playwright

    chromium.install()
    heads = ("runs", "made in s", "MiB", "usable s", "ready s", "longest task ms", "heap MiB", "memory MiB")
    print(*(f"{head:>15}" for head in heads))
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        browser = driver.chromium.launch(executable_path=chromium.program())
        folders, data = make_runs(folder)
        for chosen in (folders[:2], folders):
            path, started = folder / "report.html", time.perf_counter()
            path.write_text(build_page(chosen, REFERENCE, data), encoding="utf-8")
            made = time.perf_counter() - started
            found = measure(browser, path)
            numbers = len(chosen), made, path.stat().st_size / 2**20, *found.values()
            print(*(f"{number:>15.4g}" for number in numbers), flush=True)
        browser.close()


def measure(browser: Any, path: Path) -> dict[str, float]:
    """Open a report, look at some of its views, and say how long that took (seconds, milliseconds, mebibytes)."""
    page = browser.new_page(offline=True, viewport={"width": 1440, "height": 900})
    page.set_default_timeout(60_000)
    page.add_init_script(WATCH)
    page.goto(path.as_uri(), wait_until="commit")
    page.locator("html[data-ready]").wait_for(state="attached")
    for _ in range(LOOKS):
        page.keyboard.press("]")
        page.wait_for_timeout(100)
    for part in ("#section-curves", "#section-orbit", "#section-runs"):
        page.locator(part).scroll_into_view_if_needed()
        page.wait_for_timeout(200)
    for box in page.locator(".table:has(tbody tr:nth-child(4))").all():
        if box.is_visible():
            box.get_by_role("button").first.scroll_into_view_if_needed()
            box.locator("thead tr:last-child button").last.click()
            box.get_by_role("searchbox").fill("mipnerf")
            page.wait_for_timeout(100)
    seen = page.evaluate("seen")
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    memory = renderer_memory()
    page.close()
    return {
        "usable": seen["drawn"] / 1000,
        "ready": seen["ready"] / 1000,
        "longest": max(seen["tasks"], default=0),
        "heap": metrics["JSHeapUsedSize"] / 2**20,
        "memory": memory / 2**20,
    }


def renderer_memory() -> int:
    """The resident memory of the largest process of the browser that draws pages, in bytes."""
    processes = psutil.Process().children(recursive=True)
    return max((one.memory_info().rss for one in processes if "--type=renderer" in one.cmdline()), default=0)


def make_runs(folder: Path) -> tuple[list[Path], dict[str, Path]]:
    """The folders of all runs of the paper with files as evaluation leaves them, and the data of each scene."""
    generator = np.random.default_rng(0)
    data = make_scene(folder / "data", generator)
    renderings = [write_image(folder / f"rendering_{level}.png", level, generator) for level in range(4)]
    first = set(order_of_views(range(NUM_VIEWS))[:DISTINCT])
    suite = read_suite(ROOT, [ROOT / "config" / "paper.yaml"])
    folders = []
    for run in resolve_runs(suite).values():
        home = folder / "results" / run.name
        for level in range(run.levels):
            images = home / f"level_{level}" / "renderings"
            images.mkdir(parents=True)
            for view in range(NUM_VIEWS):
                path = images / f"{view:03d}.png"
                if view in first:
                    path.write_bytes(commented(renderings[level].read_bytes(), str(path)))
                else:
                    os.link(renderings[level], path)
        pd.DataFrame(rows_of(run.dataset, run.variant, run.scene, run.levels, generator), columns=COLUMNS).to_csv(
            home / "metrics.csv", index=False
        )
        step = np.arange(100, 20100, 100)
        history = {"step": step, "loss": 0.01, "psnr": 30 - 15 * np.exp(-step / 4000), "lr": 1e-3, "rays_per_s": 1e5}
        pd.DataFrame(history | {"seconds": step * 0.1}).to_csv(home / "history.csv", index=False)
        record = {"num_parameters": 612740, "device": "synthetic", "threads": 2, "train_seconds": 2000.0}
        record |= {"width": SIZE, "height": SIZE, "train_views": 100, "data_verified": None}
        config = run.model_dump() | {"package_version": "synthetic", "record": record}
        (home / "config.yaml").write_text(yaml.safe_dump(config))
        folders.append(home)
    scenes = {"/".join([path.parts[-3], path.parts[-1]]): data for path in folders}
    return folders, scenes


def commented(png: bytes, text: str) -> bytes:
    """A PNG with a comment, so that it is a file of its own."""
    chunk = b"tEXtComment\0" + text.encode()
    end = png.rindex(b"IEND") - 4
    return png[:end] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[end:]


def rows_of(
    dataset: str, variant: str, scene: str, levels: int, generator: np.random.Generator
) -> Iterator[tuple[Any, ...]]:
    """Values of all metrics, views and levels of a run."""
    best = 30 + 2 * ("mipnerf" in variant) + generator.normal()
    for level in range(levels):
        noise = generator.normal(size=NUM_VIEWS)
        for view in range(NUM_VIEWS):
            name = dataset, variant, scene, level, view
            yield (*name, "psnr", best + level + noise[view])
            yield (*name, "ssim", 0.93 + 0.01 * level + 0.005 * noise[view])
            yield (*name, "lpips", 0.05 + 0.002 * abs(noise[view]))
            yield (*name, "seconds_per_megapixel", 3.0)


def make_scene(folder: Path, generator: np.random.Generator) -> Path:
    """A converted scene whose views all have the same images."""
    (folder / "images").mkdir(parents=True)
    camera = {"cam2world": np.eye(4).tolist(), "pix2cam": np.eye(3).tolist(), "focal": 40.0}
    camera |= {"near": 2.0, "far": 6.0, "lossmult": 1.0}
    split: dict[str, list[Any]] = {key: [] for key in ("file_path", "label", "width", "height", *camera)}
    for level in range(4):
        write_image(folder / "images" / f"{level}.png", level, generator, channels=4)
    for _ in range(NUM_VIEWS):
        for level in range(4):
            entry = {
                "file_path": f"images/{level}.png",
                "label": level,
                "width": SIZE >> level,
                "height": SIZE >> level,
            }
            for key, value in (entry | camera).items():
                split[key].append(value)
    (folder / "metadata.json").write_text(json.dumps({"test": split}))
    return folder


def write_image(path: Path, level: int, generator: np.random.Generator, channels: int = 3) -> Path:
    """Smooth colours with some noise, which have about the size of a rendering."""
    side = SIZE >> level
    ramp = np.linspace(0, 200, side)
    smooth = (ramp[:, None, None] + ramp[None, :, None]) / 2 + generator.integers(0, 24, (side, side, channels))
    iio.imwrite(path, smooth.astype(np.uint8))
    return path


if __name__ == "__main__":
    main()
