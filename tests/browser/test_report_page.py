"""The report as a reader meets it: from disk, without network, in a real browser."""

import csv
import io
import math
import re
import urllib.request

import imageio.v3 as iio
import numpy as np
import pytest

from mipnerf.report.frame import read_runs
from mipnerf.report.reference import load_reference
from mipnerf.report.summary import summarise

PHONE = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}
CELLS = """tables => tables.map(table => [...table.querySelectorAll('thead tr:last-child, tbody tr')].map(
    row => [...row.cells].map(cell => cell.textContent)))"""
VALUES = """table => [...table.tBodies[0].rows].map(
    row => [...row.cells].map(cell => cell.dataset.value ?? cell.textContent))"""
TEXTS = "h1, p, a, td, th, dt, dd, figcaption, label, summary, pre, select"
CONTRASTS = """elements => {
    const linear = x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
    const luminance = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(x => linear(x / 255))
        .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        const colour = getComputedStyle(element).backgroundColor;
        return colour === 'rgba(0, 0, 0, 0)' && element.parentElement ? behind(element.parentElement) : colour;
    };
    return elements.map(element => [luminance(getComputedStyle(element).color), luminance(behind(element))])
        .map(pair => (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05));
}"""


def column(page, table: str, index: int) -> list[str]:
    """The texts of a column of a table, from above."""
    return page.locator(f"#{table} tbody tr td:nth-child({index})").all_text_contents()


def pixels(element) -> np.ndarray:
    """What the browser draws of an element, without its border."""
    element.evaluate("element => Promise.all([...element.querySelectorAll('img')].map(image => image.decode()))")
    return iio.imread(element.screenshot(), extension=".png")[4:-4, 4:-4, :3]


def test_every_table_says_what_the_csv_says(visit, report, reference_folder):
    page = visit()
    links = page.locator("a[download$='.csv']")
    shown = page.locator("table:has(caption)").evaluate_all(CELLS)
    assert links.count() == len(shown) > 3
    for rows, link in zip(shown, links.all(), strict=True):
        text = urllib.request.urlopen(link.get_attribute("href")).read().decode()
        header, *records = csv.reader(io.StringIO(text))
        assert [[cell.replace("—", "") for cell in row] for row in rows[1:]] == records
        assert all(name.endswith(title.rstrip(" ↑↓")) for name, title in zip(header, rows[0], strict=True))
    with page.expect_download() as download:
        links.first.click()
    assert download.value.suggested_filename == links.first.get_attribute("download")
    tidy = summarise(read_runs(report.parent.glob("results/*/*/*")), load_reference(reference_folder))
    for metric, results in tidy.groupby("metric"):
        values = results.set_index(["scene", "variant", "level"])["value"].sort_index()
        for scene, variant, *numbers in page.locator(f"#bricks_{metric}").evaluate(VALUES):
            expected = values[scene, variant].tolist()
            for number, value in zip(numbers, expected, strict=False):
                assert float(number) == value if not math.isnan(value) else number == "—"


def test_headings_sort_by_mouse_and_keyboard(visit):
    page = visit()
    head = page.locator("#bricks_psnr thead tr:last-child th").nth(2)
    button = head.get_by_role("button")
    unsorted = column(page, "bricks_psnr", 3)
    numbers = sorted(float(text) for text in unsorted if text != "—")
    # What is missing comes last in both directions.
    missing = ["—"] * (len(unsorted) - len(numbers))
    assert missing
    assert len(set(numbers)) > 2
    button.click()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, "bricks_psnr", 3) == [f"{number:.2f}" for number in numbers[::-1]] + missing
    button.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, "bricks_psnr", 3) == [f"{number:.2f}" for number in numbers] + missing
    button.press("Enter")
    assert head.get_attribute("aria-sort") is None
    assert column(page, "bricks_psnr", 3) == unsorted
    page.locator("#bricks_psnr thead tr:last-child th").nth(1).get_by_role("button").click()
    assert column(page, "bricks_psnr", 2) == sorted(column(page, "bricks_psnr", 2))


def test_the_divider_moves_by_keyboard_mouse_and_choice(visit):
    page = visit()
    stage, left = page.locator(".stage"), page.locator(".stage img.left")
    page.locator("#pick-scene").select_option("bricks/wall")
    names = page.locator("#pick-left").locator("option").all_text_contents()
    assert names == ["truth", "mipnerf", "mipnerf_wo_ipe"]

    def share() -> float:
        return 100 - float(re.search(r"inset\(0(?:px)? ([\d.]+)%", left.get_attribute("style"))[1])

    assert share() == 50
    page.locator("#the-divider").press("ArrowRight")
    assert share() == 50.5
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.9 * box["height"])
    assert share() == pytest.approx(20, abs=3)
    before = left.get_attribute("src")
    page.locator("#pick-left").select_option("truth")
    assert left.get_attribute("src") != before
    assert page.locator("#left-caption").text_content() == "truth"
    page.locator("#pick-level").select_option("1/8")
    assert left.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [4, 3]
    assert left.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
    assert page.locator("#right-caption").text_content().startswith("mipnerf_wo_ipe: PSNR ")
    page.locator("#pick-difference").check()
    assert pixels(stage).max() > 50
    page.locator("#pick-right").select_option("truth")
    assert pixels(stage).max() == 0
    page.locator("#pick-scene").select_option("bricks/tower")
    assert "mipnerf_wo_ipe" not in page.locator("#pick-left").locator("option").all_text_contents()


def test_figures_are_enlarged_and_escape_closes_them(visit):
    page = visit()
    dialog, button = page.locator("#zoom-dialog"), page.get_by_role("button", name="Enlarge").first
    button.click()
    dialog.locator("img").evaluate("image => image.decode()")
    page.wait_for_function("document.getElementById('zoom-dialog').dataset.scale === '1.00'")
    page.mouse.move(300, 300)
    page.mouse.wheel(0, -200)
    page.wait_for_function("Number(document.getElementById('zoom-dialog').dataset.scale) > 1.2")
    before = dialog.locator("img").get_attribute("style")
    page.mouse.down()
    page.mouse.move(340, 320, steps=3)
    page.mouse.up()
    assert dialog.locator("img").get_attribute("style") != before
    page.keyboard.press("0")
    assert dialog.get_attribute("data-scale") == "1.00"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert button.evaluate("button => button === document.activeElement")


def test_a_phone_shows_all_without_scrolling_sideways(visit):
    page = visit(**PHONE)
    for summary in page.locator("details.run summary").all():
        summary.click()
    width, inner = page.evaluate("[document.scrollingElement.scrollWidth, window.innerWidth]")
    assert width <= inner == 360
    assert page.locator(".scroll").first.evaluate("box => box.scrollWidth > box.clientWidth")
    page.locator(".stage").scroll_into_view_if_needed()
    box = page.locator(".stage").bounding_box()
    page.touchscreen.tap(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"])
    assert float(page.locator("#the-divider").input_value()) == pytest.approx(75, abs=4)


def test_it_can_be_read_in_light_and_dark(visit):
    for scheme, ground in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 24, 29)")):
        page = visit(color_scheme=scheme)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
        assert min(page.locator(TEXTS).evaluate_all(CONTRASTS)) > 4.5  # as WCAG AA asks of text


def test_without_javascript_tables_and_figures_are_there(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("#bricks_psnr").is_visible()
    assert "mipnerf_wo_ipe" in page.locator("#bricks_psnr").inner_text()
    assert page.locator(".zoomable img").first.bounding_box()["height"] > 100
    assert page.locator("noscript").is_visible()
    assert not page.locator("#compare-images").is_visible()
