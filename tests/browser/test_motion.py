"""Learning in pictures, and views from all around."""

import pytest
from report_files import ORBIT_FRAMES

from .conftest import FILM_STEPS
from .looking import shown

GREY = """canvas => {
    const copy = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    return copy.getImageData(0, 0, 1, 1).data[0];
}"""


@pytest.fixture
def around(visit):
    page = visit(viewport={"width": 1440, "height": 900})
    page.locator("#section-orbit").scroll_into_view_if_needed()
    page.locator("#orbit-panes canvas[data-frame]").first.wait_for()
    return page


def greys(page) -> list[int]:
    """The grey of the frame of each variant: 10 for a frame, and 1 for a level."""
    page.wait_for_timeout(150)
    return page.locator("#orbit-panes canvas").evaluate_all(f"all => all.map({GREY})")


def test_a_film_has_the_truth_and_every_step(visit):
    page = visit()
    page.locator("#section-learning").scroll_into_view_if_needed()
    page.locator(".film canvas").first.wait_for()
    assert page.locator(".film-row h3").all_text_contents() == ["mip-NeRF", "mip-NeRF w/o IPE"]
    texts = page.locator(".film").first.locator("figcaption").all_text_contents()
    assert texts == ["truth", *(f"{step} {20 + step / 100:.2f} dB" for step in FILM_STEPS)]
    page.wait_for_timeout(200)
    assert page.locator(".film canvas").first.evaluate("canvas => [canvas.width, canvas.height]") == [4, 4]
    page.locator("#pick-scene").select_option("bricks/tower")
    assert page.locator(".film").count() == 0
    assert page.locator("#no-film").is_visible()


def test_dragging_goes_around_and_the_wheel_away_with_all_variants(around):
    assert greys(around) == [0, 0]
    box = around.locator("#orbit-panes canvas").first.bounding_box()
    x, y = box["x"] + 200, box["y"] + 100
    around.mouse.move(x, y)
    around.mouse.down()
    around.mouse.move(x - 2.5 * 400 / ORBIT_FRAMES, y, steps=5)
    around.mouse.up()
    assert greys(around) == [20, 20]
    around.mouse.wheel(0, 100)
    assert greys(around) == [21, 21]
    for _ in range(4):
        around.mouse.wheel(0, 100)
        around.wait_for_timeout(50)
    assert greys(around)[0] == 23
    assert around.locator("#orbit-text").text_content() == "1/8: a pixel covers 64 times as much as near by"
    assert "zoom" not in shown(around)


def test_sliders_do_the_same_by_key(around):
    around.locator("#orbit-angle").press("ArrowRight")
    around.locator("#orbit-level").press("ArrowRight")
    assert greys(around) == [11, 11]
    assert around.locator("#orbit-angle").get_attribute("aria-valuetext") == "60 degrees"
    assert around.locator("#orbit-level").get_attribute("aria-valuetext") == "1/2"


def test_a_scene_without_them_says_how_to_get_them(around):
    around.locator("#pick-scene").select_option("bricks/tower")
    assert not around.locator("#orbit-box").is_visible()
    assert "orbit={frames: 24" in around.locator("#no-orbit").text_content()


def test_the_address_holds_from_where_the_scene_is_seen(around, visit):
    around.locator("#orbit-angle").press("ArrowRight")
    around.locator("#orbit-level").press("ArrowRight")
    assert (shown(around)["angle"], shown(around)["away"]) == ("1", "1")
    other = visit(around.url.partition("report.html")[2])
    other.locator("#section-orbit").scroll_into_view_if_needed()
    other.locator("#orbit-panes canvas[data-frame='1/1']").first.wait_for()
    assert greys(other) == [11, 11]
    far = visit(around.url.partition("report.html")[2].replace("angle=1&away=1", "angle=-1&away=9"))
    far.locator("#section-orbit").scroll_into_view_if_needed()
    far.locator(f"#orbit-panes canvas[data-frame='{ORBIT_FRAMES - 1}/3']").first.wait_for()
