"""Tables: they say what the files say, whether they are read, sorted, filtered or copied."""

import csv
import io
import math
import re

import pytest

from mipnerf.report.frame import read_runs
from mipnerf.report.page.build import build_page
from mipnerf.report.reference import load_reference
from mipnerf.report.summary import summarise
from mipnerf.report.tables.formats import to_csv, to_latex, to_markdown
from mipnerf.report.tables.paper import paper_tables
from mipnerf.report.tables.short import dataset_tables

CELLS = """table => [...table.querySelectorAll('thead tr:last-child, tbody tr')].map(
    row => [...row.cells].map(cell => cell.textContent))"""
VALUES = """table => [...table.tBodies[0].rows].map(
    row => [...row.cells].map(cell => cell.dataset.value ?? cell.textContent))"""
# What is written is kept, as a page from disk may not be let to the clipboard of this machine.
KEEP_COPIED = """() => { Object.defineProperty(navigator, 'clipboard',
    { value: { writeText: async text => { window.copied = text; } } }); }"""


@pytest.fixture
def open_report(visit):
    """The page with all that is folded open."""
    page = visit()
    page.evaluate(KEEP_COPIED)
    page.locator("details.fold").evaluate_all("all => all.forEach(one => { one.open = true; })")
    return page


@pytest.fixture
def tables(report, reference_folder) -> dict:
    """The tables as they are written to files, by name."""
    runs, reference = read_runs(sorted(report.parent.glob("results/*/*/*"))), load_reference(reference_folder)
    runs = sorted(runs, key=lambda run: (run.scene != "wall", run.variant))
    tidy = summarise(runs, reference)
    return {
        table.name: table
        for table in [*paper_tables(runs, reference), *dataset_tables(runs, tidy, "bricks", reference)]
    }


def copied(page, name: str, kind: str) -> str:
    """What is in the clipboard after a click."""
    page.locator(f".table:has(#{name}) [data-copy={kind}]").click()
    page.wait_for_timeout(50)
    return page.evaluate("window.copied")


def column(page, table: str, index: int) -> list[str]:
    """The texts of a column of a table, from above."""
    return page.locator(f"#{table} tbody tr:not([hidden]) td:nth-child({index})").all_text_contents()


def test_every_table_is_copied_as_it_is_written(open_report, tables):
    page = open_report
    assert page.locator("table:has(caption)").count() == page.locator("[data-copy=csv]").count() > len(tables) > 3
    for name, table in tables.items():
        assert copied(page, name, "csv") == to_csv(table)
        assert copied(page, name, "markdown") == to_markdown(table) + "\n"
        assert copied(page, name, "latex") == to_latex(table)
        header, *records = csv.reader(io.StringIO(to_csv(table)))
        titles, *rows = page.locator(f"#{name}").evaluate(CELLS)
        assert [[cell.replace("—", "") for cell in row] for row in rows] == records
        assert all(long.endswith(title.rstrip(" ↑↓")) for long, title in zip(header, titles, strict=True))


def test_numbers_are_those_of_the_metrics_to_the_last_digit(open_report, report, reference_folder):
    tidy = summarise(read_runs(report.parent.glob("results/*/*/*")), load_reference(reference_folder))
    for metric, results in tidy.groupby("metric"):
        values = results.set_index(["scene", "variant", "level"])["value"].sort_index()
        for scene, variant, *numbers in open_report.locator(f"#bricks_{metric}").evaluate(VALUES):
            for number, value in zip(numbers, values[scene, variant].tolist(), strict=False):
                assert float(number) == value if not math.isnan(value) else number == "—"


def test_headings_sort_by_mouse_and_keyboard(open_report, tables):
    page = open_report
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
    records = list(csv.reader(io.StringIO(copied(page, "bricks_psnr", "csv"))))[1:]
    assert sorted(records) == sorted(list(csv.reader(io.StringIO(to_csv(tables["bricks_psnr"]))))[1:])
    assert [record[2] or "—" for record in records] == column(page, "bricks_psnr", 3)
    button.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, "bricks_psnr", 3) == [f"{number:.2f}" for number in numbers] + missing
    button.press("Enter")
    assert head.get_attribute("aria-sort") is None
    assert column(page, "bricks_psnr", 3) == unsorted
    page.locator("#bricks_psnr thead tr:last-child th").nth(1).get_by_role("button").click()
    assert column(page, "bricks_psnr", 2) == sorted(column(page, "bricks_psnr", 2))


def test_a_filter_leaves_rows_and_copies_them(open_report, tables):
    page = open_report
    page.locator(".table:has(#bricks_psnr) input").fill("wall ipe")
    page.wait_for_timeout(100)
    assert column(page, "bricks_psnr", 2) == ["mipnerf_wo_ipe"]
    assert "1 of " in page.locator("#announcement").text_content()
    lines = to_markdown(tables["bricks_psnr"]).splitlines()
    assert copied(page, "bricks_psnr", "markdown").splitlines() == [
        *lines[:2],
        *(line for line in lines if "wall" in line and "ipe" in line),
    ]
    latex = copied(page, "bricks_psnr", "latex")
    assert latex.count(r"\\") == 2
    assert r"\end{tabular}" in latex


def test_a_verdict_gives_its_reason_and_the_rows_of_the_paper_are_told_apart(
    browser, make_run, make_images, reference_folder, tmp_path
):
    budget = {"max_steps": 1_000_000, "batch_size": 4096, "width": 800, "height": 800}
    folders = [make_run("multiscale_blender", scene="lego", psnr=33.0, lpips=0.1, **budget)]
    data = make_images(folders)
    path = tmp_path / "paper.html"
    path.write_text(build_page(folders, reference_folder, {"multiscale_blender/lego": data}))
    page = browser.new_page(offline=True)
    page.goto(path.as_uri())
    page.locator("html[data-ready]").wait_for(state="attached")
    ours = page.locator("#table1 tbody tr").filter(has_text="ours").first
    cell = ours.locator("td[data-verdict]").first
    cell.hover()
    tip = page.locator("#tip")
    reason = r"not comparable: 1 of 8 scenes; other test views \(published \d+\.\d+, ours \d+\.\d+\)"
    assert re.fullmatch(reason, tip.text_content())
    page.mouse.move(0, 0)
    assert tip.is_hidden()
    cell.focus()
    assert tip.is_visible()
    first = tip.text_content()
    page.keyboard.press("ArrowRight")
    assert tip.text_content() != first
    assert page.evaluate("document.activeElement.getAttribute('aria-describedby')") == "tip"
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    published = page.locator("#table1 tr.published td").first
    grounds = [row.evaluate("cell => getComputedStyle(cell).backgroundColor") for row in (cell, published)]
    assert grounds[0] != grounds[1]
    assert published.evaluate("cell => getComputedStyle(cell).fontStyle") == "italic"
    page.close()
