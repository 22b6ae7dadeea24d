"""The report as a reader meets it: from disk, without network, in a real browser."""

from picture_report import main as picture_report
from PIL import Image

from .looking import center

PHONE = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}
TEXTS = "h1, p, a, td, th, dt, dd, figcaption, label, summary, pre, select, button, output"
CONTRASTS = """elements => {
    const linear = x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
    const luminance = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(x => linear(x / 255))
        .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        const colour = getComputedStyle(element).backgroundColor;
        return colour === 'rgba(0, 0, 0, 0)' && element.parentElement ? behind(element.parentElement) : colour;
    };
    return elements.filter(element => !element.disabled)
        .map(element => [luminance(getComputedStyle(element).color), luminance(behind(element))])
        .map(pair => (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05));
}"""


def test_figures_are_enlarged_and_escape_closes_them(visit):
    page = visit()
    dialog, button = page.locator("#zoom-dialog"), page.get_by_role("button", name="Enlarge").first
    button.click()
    dialog.locator("img").evaluate("image => image.decode()")
    page.locator("#zoom-dialog[data-scale='1.00']").wait_for()
    page.mouse.move(300, 300)
    page.mouse.wheel(0, -200)
    page.wait_for_timeout(100)
    assert float(dialog.get_attribute("data-scale")) > 1.2
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


def test_nothing_is_wider_than_the_window(visit):
    for width, height in ((360, 640), (390, 844), (768, 1024), (1440, 900), (2560, 1440)):
        page = visit(viewport={"width": width, "height": height})
        page.locator("details").evaluate_all("all => all.forEach(details => { details.open = true; })")
        page.locator("section").evaluate_all("all => all.forEach(one => { one.style.contentVisibility = 'visible'; })")
        page.wait_for_timeout(200)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width


def test_a_wide_screen_is_used(visit):
    page = visit(viewport={"width": 2560, "height": 1440})
    panes, table = page.locator("#pane-row").bounding_box(), page.locator("#bricks_means").bounding_box()
    assert panes["width"] > 1200
    assert table["x"] + table["width"] > 2200


def test_what_a_phone_does_not_show_of_a_table_can_be_scrolled_to_and_says_so(visit):
    page = visit(**PHONE)
    box = page.locator(".table:has(#bricks)")
    box.scroll_into_view_if_needed()
    scroll = box.locator(".scroll")
    assert scroll.evaluate("box => box.scrollWidth > box.clientWidth")
    page.locator(".table.more-right:not(.more-left):has(#bricks)").wait_for()
    scroll.evaluate("box => box.scrollTo(1e4, 0)")
    page.locator(".table.more-left:not(.more-right):has(#bricks)").wait_for()


def test_a_phone_shows_what_was_run_and_the_picture_first(visit):
    page = visit(**PHONE)
    tops = [page.locator(part).first.bounding_box()["y"] for part in ("h1", ".lead", ".summary", ".stage", ".choices")]
    assert tops == sorted(tops)
    box = page.locator(".stage").first.bounding_box()
    assert box["y"] + box["height"] < 640
    assert center(page, 1)[0] < 360


def test_it_can_be_read_in_light_and_dark(visit):
    for scheme, ground in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 24, 29)")):
        page = visit(color_scheme=scheme)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
        assert min(page.locator(TEXTS).evaluate_all(CONTRASTS)) > 4.5  # as WCAG AA asks of text


def test_without_javascript_tables_and_figures_are_there(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("#bricks_means").is_visible()
    page.locator("details.fold summary").first.click()
    assert "mipnerf_wo_ipe" in page.locator("#bricks_psnr").inner_text()
    assert page.locator(".zoomable img").first.bounding_box()["height"] > 100
    assert page.locator("noscript").first.is_visible()
    assert not page.locator("#compare-images").is_visible()


def test_the_moving_picture_of_the_readme_can_be_made(browser, report, tmp_path, monkeypatch):
    class Driver:
        """The browser that runs already: there cannot be two drivers."""

        chromium = None

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def launch(self, **_):
            return self

        def new_page(self, **options):
            return browser.new_page(**options)

        def close(self):
            pass

    Driver.chromium = Driver()
    monkeypatch.setattr("playwright.sync_api.sync_playwright", Driver)
    monkeypatch.setattr("picture_report.MOVING_WIDTH", 240)
    picture_report(report, tmp_path)
    with Image.open(tmp_path / "report.webp") as picture:
        assert picture.n_frames > 10
    assert (tmp_path / "report.webp").stat().st_size < 2 << 20
