"""The report of the whole paper: 176 runs with 200 views a scene."""

import pytest
from measure_report import REFERENCE, make_runs, measure

from mipnerf.report.page.budget import PAGE_BYTES
from mipnerf.report.page.build import build_page


@pytest.mark.slow
def test_the_page_of_the_paper_keeps_its_size_and_says_what_it_leaves_out(browser, tmp_path):
    folders, data = make_runs(tmp_path)
    assert len(folders) == 176
    path = tmp_path / "report.html"
    path.write_text(build_page(folders, REFERENCE, data), encoding="utf-8")
    assert path.stat().st_size <= PAGE_BYTES
    page = browser.new_page(offline=True)
    page.set_default_timeout(60_000)
    page.goto(path.as_uri())
    page.locator("html[data-ready]").wait_for(state="attached")
    assert "further sets of images are" in page.locator("#section-compare").text_content()
    # The coarsest level is there of every scene, and of what is not, the place is told.
    for scene in page.locator("#pick-scene option").all_text_contents():
        page.locator("#pick-scene").select_option(scene)
        page.locator("#pick-level").select_option(page.locator("#pick-level option").last.get_attribute("value"))
        page.wait_for_timeout(150)
        assert page.locator(".missing:visible").count() == 0, scene
    page.locator("#pick-level").select_option("0")
    page.locator("#pick-view").select_option("199")
    page.wait_for_timeout(200)
    text = page.locator(".missing:visible").first.text_content()
    assert "view 199 at Full is not in this page" in text
    assert_long_tables_are_folded(page)
    page.close()
    # How fast the large one is depends on the machine: `python tests/measure_report.py` tells.
    path.write_text(build_page(folders[:2], REFERENCE, data), encoding="utf-8")
    assert set(measure(browser, path)) == {"usable", "ready", "longest", "heap", "memory"}


def assert_long_tables_are_folded(page):
    """Of the table with most rows, the first are shown until all are asked for; sort, filter and copy mean all."""
    page.locator("details.fold").evaluate_all("all => all.forEach(one => { one.open = true; })")
    boxes = page.locator(".table:has(.unfold)")
    box = max(boxes.all(), key=lambda box: box.locator("tbody tr").count())
    rows, count = box.locator("tbody tr"), box.locator("tbody tr").count()
    unfold, shown = box.locator(".unfold"), box.locator("tbody tr:visible")
    assert shown.count() == 60 < count
    assert unfold.text_content() == f"Show all {count} rows"
    first = rows.first.text_content()
    box.locator("thead tr:last-child button").first.click()
    box.locator("thead tr:last-child button").first.click()
    assert shown.count() == 60
    assert rows.first.text_content() != first
    box.get_by_role("searchbox").fill(word := rows.first.locator("td").first.text_content().strip())
    page.wait_for_timeout(100)
    found = [row for row in rows.all_text_contents() if word.lower() in row.lower()]
    assert shown.count() == min(60, len(found))
    box.get_by_role("searchbox").fill("")
    page.wait_for_timeout(100)
    unfold.click()
    page.wait_for_timeout(500)
    assert shown.count() == count
    assert not unfold.is_visible()
