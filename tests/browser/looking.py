"""What tests ask of the page again and again."""

import re
from typing import Any
from urllib.parse import parse_qs

import imageio.v3 as iio


def shown(page: Any) -> dict[str, str]:
    """What the address says is shown, once it says so."""
    page.wait_for_timeout(250)  # moving and zooming are told late
    return {key: values[0] for key, values in parse_qs(page.evaluate("location.hash").lstrip("#")).items()}


def pixel(page: Any, pane: int, x: float, y: float) -> list[int]:
    """The colour that the screen shows at (x, y) in [0, 1] of a pane."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(150)
    left, top = center(page, pane, x, y)
    picture = page.screenshot(clip={"x": int(left), "y": int(top), "width": 1, "height": 1})
    return iio.imread(picture, extension=".png")[0, 0, :3].tolist()


def center(page: Any, pane: int = 0, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
    """A point of a pane, in pixels of the window."""
    stage = page.locator(".stage").nth(pane)
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def number_in(text: str) -> float:
    """The first number of a text."""
    return float(re.search(r"-?[\d.]+", text)[0])
