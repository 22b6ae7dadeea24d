"""The report while runs still train: it says how far they are, and renews itself."""

import pytest
import yaml

from mipnerf.config import parse_config
from mipnerf.report.page.build import render_page
from mipnerf.report.page.trainings import read_trainings
from mipnerf.report.progress import gather
from mipnerf.report.reference import load_reference


@pytest.fixture
def renewed(make_run, make_images, reference_folder, tmp_path):
    """A function that writes the page of one finished run and one that has so many rows of its log."""
    done, running = make_run(scene="bricks"), make_run(variant="mipnerf_wo_ipe", scene="bricks")
    data = make_images([done])
    log = running / "checkpoints" / "0123456789abcdef"
    log.mkdir(parents=True)
    lines = (running / "history.csv").read_text().splitlines(keepends=True)
    (log / "run.yaml").write_text(yaml.safe_dump({"train": {"max_steps": 4000}}))
    for name in ("metrics.csv", "history.csv", "config.yaml"):
        (running / name).unlink()
    suite = parse_config(
        {
            "datasets": {"bricks": {"source": "bricks", "scenes": ["bricks"]}},
            "variants": {"mipnerf": {}, "mipnerf_wo_ipe": {}},
            "runs": [{"dataset": "bricks", "variants": ["mipnerf", "mipnerf_wo_ipe"]}],
            "train": {"max_steps": 4000},
        }
    )
    path = tmp_path / "report.html"

    def write(rows: int):
        (log / "history.csv").write_text("".join(lines[: 1 + rows]))
        results = tmp_path / "results"
        evaluated, progress = gather(results, suite)
        trainings = read_trainings(results, progress)
        text = render_page(
            evaluated, load_reference(reference_folder), {"bricks/bricks": data}, trainings=trainings, renewal=1
        )
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_an_open_page_picks_up_the_new_one_and_shows_what_it_showed(browser, renewed):
    page = browser.new_page(offline=True, viewport={"width": 1440, "height": 900})
    page.goto(renewed(10).as_uri())
    page.locator("html[data-ready]").wait_for(state="attached")
    text = page.locator(".so-far p").first
    assert "1 of 2 runs are evaluated. Of the others (1 stopped), 1,000 of 4,000 steps are done." in text.text_content()
    row = page.locator("#progress tbody tr")
    assert row.locator("td").nth(2).text_content() == "1,000/4,000"
    page.locator("#pick-level").select_option("1")
    page.locator("#section-curves").scroll_into_view_if_needed()
    page.locator("#plot-training polyline").nth(1).wait_for(state="attached")
    renewed(30)
    page.locator(".so-far p", has_text="3,000 of 4,000").wait_for(timeout=20_000)
    assert page.locator("#pick-level").input_value() == "1"
    # Who wants to read on says so.
    page.locator("#renewal").click()
    renewed(40)
    page.wait_for_timeout(7000)
    assert "3,000 of 4,000" in text.text_content()
    page.close()


def test_before_any_run_is_evaluated_there_are_curves(browser, renewed, tmp_path):
    path = renewed(20)
    (tmp_path / "results/bricks/mipnerf/bricks/metrics.csv").unlink()
    renewed(20)
    page = browser.new_page(offline=True)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    page.locator("html[data-ready]").wait_for(state="attached")
    assert page.locator(".lead").inner_text() == "No run is evaluated yet."
    assert page.locator("#no-pictures").is_visible()
    page.locator("#section-curves").scroll_into_view_if_needed()
    page.locator("#plot-training polyline").first.wait_for(state="attached")
    assert not errors
    page.close()
