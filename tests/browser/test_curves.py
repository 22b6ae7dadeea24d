"""Curves: lines that can be switched, with their values under the pointer."""

import pytest

from mipnerf.report.frame import read_history, read_runs
from mipnerf.report.reference import load_reference
from mipnerf.report.summary import summarise

from .looking import number_in


@pytest.fixture
def curves(visit):
    page = visit(viewport={"width": 1440, "height": 900})
    page.locator("#section-curves").scroll_into_view_if_needed()
    page.locator("#plot-training svg").first.wait_for()
    return page


def test_training_is_drawn_against_steps_and_time(curves, report):
    log = read_history(report.parent / "results/bricks/mipnerf/wall/history.csv")
    plot, values = curves.locator("#plot-training .plot-box svg"), curves.locator("#plot-training output")
    assert plot.locator("polyline").count() == 2
    plot.focus()
    curves.keyboard.press("ArrowLeft")
    curves.keyboard.press("ArrowRight")
    assert values.text_content().startswith("step 4,000: mip-NeRF ")
    assert f"mip-NeRF {log['psnr'].iloc[-1]:.2f}" in values.text_content()
    curves.get_by_role("button", name="time", exact=True).click()
    plot.focus()
    curves.keyboard.press("ArrowRight")
    curves.keyboard.press("ArrowLeft")
    assert values.text_content().startswith("minute ")
    assert number_in(values.text_content()) < log["seconds"].iloc[-1] / 60


def test_variants_are_switched_off_and_on(curves):
    button = curves.locator("#plot-training").get_by_role("button", name="mip-NeRF w/o IPE", exact=True)
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert curves.locator("#plot-training polyline").count() == 1
    button.press("Enter")
    assert curves.locator("#plot-training polyline").count() == 2


def test_quality_against_resolution_has_the_means_of_the_tables(curves, report, reference_folder):
    tidy = summarise(read_runs(report.parent.glob("results/*/*/*")), load_reference(reference_folder))
    # The mean over scenes, where one variant has them all; no variant of these has.
    curves.locator("#pick-scene").select_option("bricks/wall")
    expected = tidy[(tidy["scene"] == "mean") & (tidy["metric"] == "psnr")]
    assert expected["value"].isna().all()
    assert curves.locator("#plot-levels .series").count() == 0


def test_values_are_shown_under_the_pointer(browser, make_run, make_images, reference_folder, tmp_path):
    from mipnerf.report.page.build import build_page

    scenes = ("lego", "ship")
    folders = [
        make_run("multiscale_blender", variant, scene, psnr=psnr)
        for variant, psnr in (("mipnerf", 33.0), ("mipnerf_wo_ipe", 31.0))
        for scene in scenes
    ]
    data = make_images(folders)
    path = tmp_path / "report.html"
    path.write_text(build_page(folders, reference_folder, {f"multiscale_blender/{scene}": data for scene in scenes}))
    tidy = summarise(read_runs(folders), load_reference(reference_folder)).set_index(
        ["scene", "variant", "metric", "level"]
    )
    page = browser.new_page(offline=True, viewport={"width": 1440, "height": 900})
    page.goto(path.as_uri())
    page.locator("html[data-ready]").wait_for(state="attached")
    box = page.locator("#plot-levels svg").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 40)
    text = page.locator("#plot-levels output").text_content()
    mean = [tidy.at[("mean", variant, "psnr", "3"), "value"] for variant in ("mipnerf", "mipnerf_wo_ipe")]
    assert text == f"1/8: mip-NeRF {mean[0]:.2f}; mip-NeRF w/o IPE {mean[1]:.2f}"
    page.locator("#section-curves").scroll_into_view_if_needed()
    page.locator("#plot-deltas svg").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    delta = tidy["delta"].xs(("psnr", "mean"), level=("metric", "level")).dropna()
    assert any(f"{value:+.2f}" in page.locator("#plot-deltas output").text_content() for value in delta)
    page.close()
