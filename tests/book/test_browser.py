"""The built pages in a real browser, from a file and without a network."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

pytestmark = pytest.mark.book

SECONDS = 1000  # playwright counts in milliseconds


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        reason = "no chromium on the PATH: install the system's chromium to test in a browser"
        if os.environ.get("EMTDAMP_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A browser's page, and all that went wrong in it."""

    def __init__(self, page: Page):
        self.page = page
        self.problems: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(30 * SECONDS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("requestfailed", lambda request: self.problems.append(f"failed: {request.url}"))
        page.on("request", lambda request: self.requests.append(request.url))

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.type}: {message.text}")


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    page = browser.new_page()
    yield Watched(page)
    page.close()


def test_page_opens_from_a_file_and_fits_the_screen(watched, html: Path, page):
    watched.page.goto((html / f"{page}.html").as_uri(), wait_until="load")
    formulas = watched.page.locator("article .math").count()
    if formulas:
        watched.page.wait_for_function(
            f"document.querySelectorAll('article mjx-container').length >= {formulas}"
        )
    assert watched.page.locator("article mjx-merror, article [data-mjx-error]").count() == 0
    pictures = "[...document.images].filter(i => !i.complete || i.naturalWidth === 0)"
    assert watched.page.evaluate(f"{pictures}.map(i => i.src)") == []
    assert watched.problems == []
    assert [url for url in watched.requests if url.startswith(("http:", "https:"))] == []
    for width in (1280, 390):
        watched.page.set_viewport_size({"width": width, "height": 900})
        watched.page.wait_for_timeout(200)
        root = "document.documentElement"
        excess = watched.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
        assert excess <= 1, f"{excess} pixels wider than a screen of {width}"
        for picture in watched.page.locator("article img").all():
            box = picture.bounding_box()
            assert box is None or box["x"] + box["width"] <= width, "a picture leaves the screen"


@pytest.mark.parametrize("origin", ["file", "http"])
def test_search_finds_a_word(watched, html: Path, address, origin):
    base = html.as_uri() if origin == "file" else address
    watched.page.goto(f"{base}/search.html?q=sparsity")
    results = watched.page.locator("#search-results li a")
    results.first.wait_for()
    results.first.click()
    watched.page.wait_for_load_state("load")
    assert "sparsity" in watched.page.locator("article").inner_text().lower()
    assert watched.problems == []


def test_dark_theme_is_one_click_away(watched, html: Path):
    watched.page.goto((html / "index.html").as_uri())
    before = watched.page.evaluate("document.documentElement.dataset.theme")
    button = watched.page.locator("button.theme-switch-button:visible").first
    for _ in range(3):  # light, dark, as the system has it
        button.click()
        if watched.page.evaluate("document.documentElement.dataset.theme") != before:
            break
    else:
        pytest.fail("the theme did not change")
    assert watched.problems == []


def test_a_click_on_a_heading_sorts_numbers(watched, html: Path):
    watched.page.goto((html / "comparison.html").as_uri())
    table = watched.page.locator("table#table-comparison")
    heads = table.locator("thead th").all_inner_texts()
    column = next(k for k, text in enumerate(heads) if text.startswith("Seconds"))
    for falling in (False, True):
        table.locator("thead th button").nth(column).click()
        cells = table.locator(f"tbody td:nth-child({column + 1})").all_inner_texts()
        seconds = [float(text.split()[0]) for text in cells]
        assert len(seconds) > 5 and seconds == sorted(seconds, reverse=falling)
    assert watched.problems == []
