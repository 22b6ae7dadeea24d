"""`python tests/picture_report.py REPORT FOLDER`: a picture of a report, and a short moving one, as in the README."""

import io
import sys
from pathlib import Path
from typing import Any

from browser import chromium
from PIL import Image

SIZE = {"width": 1280, "height": 800}
MOVING_WIDTH = 960  # pixels
MAX_BYTES = 2 << 20


def main(report: Path, folder: Path) -> None:
    """Write report.png and report.webp to `folder`."""
    from playwright.sync_api import sync_playwright

    chromium.install()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium.program())
        page = browser.new_page(offline=True, viewport=SIZE)
        page.goto(report.absolute().as_uri())
        page.locator("html[data-ready]").wait_for(state="attached")
        page.wait_for_timeout(500)
        page.screenshot(path=folder / "report.png")
        frames = [
            (picture.resize((MOVING_WIDTH, MOVING_WIDTH * SIZE["height"] // SIZE["width"])), time)
            for picture, time in film(page)
        ]
        browser.close()
    images, times = zip(*frames, strict=True)
    path = folder / "report.webp"
    images[0].save(path, save_all=True, append_images=images[1:], duration=list(times), loop=0, quality=60, method=6)
    print(f"wrote {folder / 'report.png'} and {path}, {path.stat().st_size / 2**20:.2f} MiB")
    if path.stat().st_size > MAX_BYTES:
        sys.exit(f"{path} is larger than 2 MiB")


def film(page: Any) -> list[tuple[Image.Image, int]]:
    """What a reader does with the page, as pictures with the milliseconds that they stay."""
    frames = []

    def take(milliseconds: int) -> None:
        page.wait_for_timeout(250)
        frames.append((Image.open(io.BytesIO(page.screenshot())).convert("RGB"), milliseconds))

    take(1500)
    for _ in range(8):  # the divider, to the left and back
        page.locator(".divide:visible").evaluate(
            "(one, by) => { one.value = +one.value + by; one.dispatchEvent(new Event('input')); }", -5
        )
        take(80)
    for _ in range(12):
        page.locator(".divide:visible").evaluate(
            "(one, by) => { one.value = +one.value + by; one.dispatchEvent(new Event('input')); }", 5
        )
        take(80)
    for level in (2, 1, 0):  # every resolution
        page.locator("#pick-level").select_option(str(level))
        take(900)
    box = page.locator(".stage").first.bounding_box()
    page.mouse.move(box["x"] + 0.55 * box["width"], box["y"] + 0.55 * box["height"])
    for _ in range(6):  # into the picture
        page.mouse.wheel(0, -90)
        take(110)
    take(900)
    page.locator("#section-orbit").scroll_into_view_if_needed()
    page.locator("#orbit-panes canvas[data-frame]").first.wait_for()
    page.locator("#section-orbit").evaluate("one => one.scrollIntoView({ behavior: 'instant' })")
    for _ in range(12):  # around the scene
        page.locator("#orbit-angle").press("ArrowRight")
        take(110)
    for _ in range(3):  # and away from it
        page.locator("#orbit-level").press("ArrowRight")
        take(800)
    return frames


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
