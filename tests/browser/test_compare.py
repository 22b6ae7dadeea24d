"""Pictures beside one another: by mouse, touch and keys, and by the address."""

import imageio.v3 as iio
import numpy as np
import pytest

from mipnerf.report.frame import read_metrics
from mipnerf.report.page.images import order_of_views

from .conftest import LONG_NAME, NUM_VIEWS
from .looking import center, pixel, shown

RUNS = "results/bricks/mipnerf/wall"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def rendering(report, level: int, view: int, run: str = RUNS) -> np.ndarray:
    return iio.imread(report.parent / run / f"level_{level}" / "renderings" / f"{view:03d}.png")


def test_the_first_screen_is_truth_best_and_ablation_at_the_coarsest_level(visit, report):
    page = visit(viewport={"width": 1440, "height": 900})
    selects = [select.input_value() for select in page.locator(".pane select:visible").all()]
    assert selects == ["truth", "mipnerf", "mipnerf_wo_ipe"]
    assert page.locator("#pick-level").input_value() == "3"
    middle = order_of_views(range(NUM_VIEWS))[0]
    assert page.locator("#pick-view").input_value() == str(middle)
    for part in (".summary", ".verdict", "#bricks_means", ".stage >> nth=1", "#view-bars"):
        box = page.locator(part).first.bounding_box()
        assert box["y"] + box["height"] <= 900, part
    # Half of the last pane is the best, half its ablation: the very pixels of the files.
    expected = [rendering(report, 3, middle), rendering(report, 3, middle, "results/bricks/mipnerf_wo_ipe/wall")]
    height, width = expected[0].shape[:2]
    for x in (0.1, 0.9):
        assert pixel(page, 1, x, 0.5) == expected[x > 0.5][int(0.5 * height), int(x * width)].tolist()
    assert "PSNR" in page.locator(".pane").nth(1).locator(".scores").first.text_content()


def test_all_panes_zoom_and_move_together(visit):
    page = visit("#scene=bricks/wall&level=0&view=1&show=truth,mipnerf,error:mipnerf,depth:mipnerf&divide=off")
    assert page.locator(".pane").count() == 4
    page.mouse.move(*center(page, 0, 0.25, 0.25))
    page.mouse.wheel(0, -400)
    state = shown(page)
    assert float(state["zoom"]) == pytest.approx(2.718, abs=0.01)
    # The point under the pointer stays where it is.
    assert float(state["x"]) + (0.25 - 0.5) / float(state["zoom"]) == pytest.approx(0.25, abs=0.01)
    before = [pixel(page, pane, 0.5, 0.5) for pane in range(4)]
    page.mouse.move(*center(page, 0, 0.25, 0.25))
    page.mouse.down()
    page.mouse.move(*center(page, 0, 0.05, 0.25), steps=4)
    page.mouse.up()
    moved = shown(page)
    assert float(moved["x"]) == pytest.approx(float(state["x"]) + 0.2 / float(state["zoom"]), abs=0.01)
    assert [pixel(page, pane, 0.5, 0.5) for pane in range(4)] != before
    page.keyboard.press("0")
    assert "zoom" not in shown(page)


def test_a_wheel_that_cannot_zoom_out_scrolls_the_page(visit):
    page = visit(viewport={"width": 1000, "height": 700})
    page.mouse.move(*center(page, 0))
    page.mouse.wheel(0, 300)
    page.wait_for_timeout(400)
    assert page.evaluate("scrollY") > 100
    assert "zoom" not in shown(page)


def test_keys_choose_everything(visit):
    page = visit("#scene=bricks/wall&level=3&view=2&show=truth,mipnerf,mipnerf_wo_ipe")
    keys = {"]": ("view", "3"), "[": ("view", "2"), "1": ("level", "0"), "4": ("level", "3"), "m": ("metric", "ssim")}
    for key, (name, value) in keys.items():
        page.keyboard.press(key)
        assert shown(page)[name] == value, key
    page.keyboard.press("l")
    assert page.locator("#loupe canvas").count() == 3 * 4
    page.keyboard.press("d")
    assert shown(page)["divide"] == "off"
    assert page.locator(".pane").count() == 3
    page.keyboard.press("p")
    assert page.locator(".pane").count() == 4
    page.keyboard.press("Shift+P")
    page.keyboard.press("Shift+P")
    assert page.locator(".pane").count() == 2
    page.keyboard.press("+")
    assert float(shown(page)["zoom"]) == 1.5
    before = float(shown(page)["x"])
    page.locator("#view-bars button[tabindex='0']").first.press("ArrowRight")
    assert shown(page)["view"] == "3"
    page.locator("#zoom-in").press("ArrowRight")
    assert float(shown(page)["x"]) > before
    page.keyboard.press("s")
    assert shown(page)["scene"] == "bricks/tower"
    assert LONG_NAME in page.locator(".pane select").first.inner_text()


def test_the_worst_and_the_best_view_are_one_key_away(visit, report):
    rows = read_metrics([report.parent / RUNS / "metrics.csv"])
    values = rows[(rows["level"] == 3) & (rows["metric"] == "psnr")].set_index("view")["value"]
    page = visit()
    page.keyboard.press("w")
    assert shown(page)["view"] == str(values.idxmin())
    page.keyboard.press("b")
    assert shown(page)["view"] == str(values.idxmax())
    assert f"{values.max():.2f}" in page.locator("#announcement").text_content()
    page.locator("#view-worst").click()
    assert shown(page)["view"] == str(values.idxmin())


def test_a_bar_has_the_numbers_of_its_view_and_opens_it(visit, report):
    rows = read_metrics([report.parent / RUNS / "metrics.csv"])
    values = rows[rows["level"] == 3].set_index(["metric", "view"])["value"]
    page = visit()
    strips = page.locator("#view-bars .bars")
    assert strips.count() == 3  # PSNR, SSIM, LPIPS
    for strip, metric, decimals in zip(strips.all(), ("psnr", "ssim", "lpips"), (2, 4, 4), strict=True):
        bars = strip.locator("button")
        assert bars.count() == NUM_VIEWS
        for view, bar in enumerate(bars.all()):
            assert f"mip-NeRF {values[metric, view]:.{decimals}f}" in bar.get_attribute("aria-label")
    strips.nth(1).locator("button").nth(4).click()
    assert shown(page)["view"] == "4"
    assert strips.nth(0).locator("button").nth(4).get_attribute("aria-pressed") == "true"
    assert f"PSNR {values['psnr', 4]:.2f}" in page.locator(".pane").nth(1).locator(".scores").first.text_content()


def test_pixels_have_their_values_under_the_pointer(visit, report):
    page = visit(
        "#scene=bricks/wall&level=0&view=1&show=mipnerf,error:mipnerf,opacity:mipnerf,depth:mipnerf&divide=off"
    )
    page.mouse.move(*center(page, 0, 0.51, 0.3))
    page.wait_for_timeout(200)
    image = rendering(report, 0, 1)
    row, column = int(0.3 * image.shape[0]), int(0.51 * image.shape[1])
    values = page.locator(".pane .values")
    assert values.nth(0).text_content() == " ".join(map(str, image[row, column]))
    truth = iio.imread(report.parent / "data" / "images_test" / "001_d0.png") / 255
    truth = np.round(255 * (truth[..., :3] * truth[..., 3:] + 1 - truth[..., 3:]))
    error = np.abs(truth - image).mean(-1)[row, column] / 255
    assert float(values.nth(1).text_content()) == pytest.approx(error, abs=0.002)
    assert values.nth(2).text_content() == "1.000"
    assert float(values.nth(3).text_content()) == pytest.approx(2 + 4 * column / 31, abs=0.02)
    page.mouse.move(*center(page, 0, 0.01, 0.3))
    page.wait_for_timeout(200)
    assert values.nth(3).text_content() == "—"


def test_the_loupe_has_the_same_few_pixels_of_all_levels(visit):
    page = visit("#scene=bricks/wall&level=0&view=1&show=truth,mipnerf&loupe=1")
    heads = page.locator("#loupe thead th").all_text_contents()
    assert heads == ["Full", "1/2", "1/4", "1/8"]
    page.mouse.move(*center(page, 0, 0.2, 0.2))
    page.wait_for_timeout(200)
    picture = "canvas => canvas.toDataURL()"
    before = page.locator("#loupe canvas").first.evaluate(picture)
    page.mouse.move(*center(page, 0, 0.9, 0.9))
    page.wait_for_timeout(200)
    assert page.locator("#loupe canvas").first.evaluate(picture) != before


def test_the_divider_is_dragged_or_moved_by_key(visit):
    page = visit("#scene=bricks/wall&level=3&view=2&show=mipnerf,mipnerf_wo_ipe")
    page.mouse.move(*center(page, 0))
    page.mouse.down()
    page.mouse.move(*center(page, 0, 0.2, 0.5), steps=4)
    page.mouse.up()
    assert float(shown(page)["divide"]) == pytest.approx(20, abs=2)
    assert "zoom" not in shown(page)
    before = float(shown(page)["divide"])
    page.locator(".divide").press("ArrowRight")
    assert float(shown(page)["divide"]) == pytest.approx(before + 0.5, abs=0.3)


def test_a_link_shows_the_same_and_back_goes_back(visit):
    page = visit()
    start = page.locator("#pick-view").input_value()
    page.locator("#pick-level").select_option("0")
    page.locator("#view-after").click()
    page.mouse.move(*center(page, 0))
    page.mouse.wheel(0, -300)
    page.locator("#pick-loupe").click()
    here = shown(page)
    other = visit(page.evaluate("location.hash"))
    assert shown(other) == here
    assert other.locator("#pick-level").input_value() == "0"
    assert pixel(other, 1, 0.3, 0.3) == pixel(page, 1, 0.3, 0.3)
    page.go_back()
    assert page.locator("#pick-loupe").get_attribute("aria-pressed") == "false"
    page.go_back()
    assert page.locator("#pick-view").input_value() == start
    assert page.locator("#pick-level").input_value() == "0"
    page.go_back()
    assert page.locator("#pick-level").input_value() == "3"
    page.go_forward()
    assert page.locator("#pick-level").input_value() == "0"


def test_an_address_that_makes_no_sense_is_made_one_that_does(visit):
    page = visit("#scene=bricks/wall&level=99&view=77&show=nothing&metric=speed&zoom=1e9&x=-5&divide=x")
    assert page.locator("#pick-level").input_value() == "3"
    assert page.locator(".pane").count() == 2
    page.locator("#view-after").click()
    state = shown(page)
    assert float(state["zoom"]) == 64
    assert state["metric"] == "psnr"
    page = visit("#scene=bricks/nowhere")
    assert page.locator("#pick-scene").input_value() == "bricks/wall"


def test_two_fingers_zoom_and_one_divides(visit):
    page = visit("#scene=bricks/wall&level=3&view=2&show=mipnerf,mipnerf_wo_ipe", **PHONE)
    x, y = center(page, 0)
    touch = page.context.new_cdp_session(page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        touch.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(points)]},
        )

    send("touchStart", (x - 20, y), (x + 20, y))
    for shift in range(25, 85, 5):
        send("touchMove", (x - shift, y), (x + shift, y))
    send("touchEnd")
    assert float(shown(page)["zoom"]) > 2
    page.locator("#zoom-reset").tap()
    assert "zoom" not in shown(page)
    x, y = center(page, 0)
    send("touchStart", (x, y))
    for shift in range(10, 110, 10):
        send("touchMove", (x - shift, y))
    send("touchEnd")
    assert float(shown(page)["divide"]) < 40
