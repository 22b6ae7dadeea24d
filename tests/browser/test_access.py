"""The page without a mouse, for screen readers, with less motion, and on paper."""

import json
import re

import pytest

from .looking import center, shown

LINKS = """() => [...document.querySelectorAll('a, button, select, input, summary, [tabindex="0"]')]
    .filter(one => one.checkVisibility() && !one.disabled && one.tabIndex >= 0).length"""


def violations(page) -> list[str]:
    """What axe-core has to say against the page as it is."""
    found = pytest.importorskip("axe_playwright_python.sync_playwright").Axe().run(page).response["violations"]
    return [
        json.dumps([rule["id"], rule["nodes"][0]["html"][:200], rule["nodes"][0]["failureSummary"]]) for rule in found
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing(visit, scheme, width):
    page = visit(
        "#scene=bricks/wall&level=1&view=1&loupe=1", color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    page.locator("details").evaluate_all("all => all.forEach(details => { details.open = true; })")
    page.locator("#section-curves").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    assert not violations(page)
    page.get_by_role("button", name="Enlarge").first.click()
    assert not violations(page)


def test_everything_is_reached_by_tab_and_seen_when_it_is(visit):
    page = visit(reduced_motion="reduce")
    page.locator("#section-curves").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    page.evaluate("scrollTo(0, 0)")
    count = page.evaluate(LINKS)
    reached = set()
    for _ in range(count + 20):
        page.keyboard.press("Tab")
        place = page.evaluate(
            """() => { const one = document.activeElement, box = one.getBoundingClientRect();
            one.dataset.reached = 1;
            const isSeen = box.bottom > 0 && box.top < innerHeight;
            return [one === document.body, isSeen, getComputedStyle(one).outlineStyle]; }"""
        )
        if place[0]:
            break
        assert place[1:] == [True, "solid"], page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        reached.add(page.evaluate("document.querySelectorAll('[data-reached]').length"))
    # Of radio-like groups of bars, one is a stop; a sort of browsers adds boxes that scroll.
    assert max(reached) >= count


def test_keys_within_fields_are_letters(visit):
    page = visit()
    before = shown(page)
    page.locator("details.fold summary").first.click()
    page.locator(".table:has(#bricks_psnr) input").fill("")
    page.keyboard.type("wdlp1")
    assert page.locator(".table:has(#bricks_psnr) input").input_value() == "wdlp1"
    assert shown(page) == before


def test_less_motion_is_respected(visit):
    page = visit(reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    moving = """() => [...document.querySelectorAll('*')].flatMap(one => ['', '::before', '::after']
        .map(part => getComputedStyle(one, part || null).transitionDuration))
        .filter(time => parseFloat(time) > 0).length"""
    assert page.evaluate(moving) == 0


def test_it_prints_to_pages_that_can_be_read(visit, tmp_path):
    page = visit()
    path = tmp_path / "report.pdf"
    page.pdf(path=path, format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", path.read_bytes())) >= 2
    page.emulate_media(media="print")
    assert not page.locator(".choices").is_visible()
    assert not page.locator(".tools").first.is_visible()
    assert page.locator(".pane canvas").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"


def test_the_pointer_is_told_apart_from_the_finger(visit):
    """A finger that moves up or down scrolls the page, as long as nothing is enlarged."""
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.locator(".stage").first.evaluate("stage => getComputedStyle(stage).touchAction") == "pan-y"
    page.locator("#zoom-in").tap()
    assert page.locator(".stage").first.evaluate("stage => getComputedStyle(stage).touchAction") == "none"
    assert center(page)[0] < 390
