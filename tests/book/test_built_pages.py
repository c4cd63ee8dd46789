"""The built pages: numbered captions, links that lead somewhere, nothing from another host."""

import re
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup, Tag

pytestmark = pytest.mark.book

UNRESOLVED = re.compile(r"\{(glue|numref|eq|ref|doc|cite)\b|glue:text")
ELSEWHERE = re.compile(r"(url\(|@import)\s*[\"']?(https?:)?//")
ADDRESSES = {"href", "src", "srcset", "data", "poster", "action"}


@cache
def parsed(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


@pytest.fixture(scope="module")
def articles(html: Path, toc: list[str]) -> dict[str, Tag]:
    """What each page says, without the frame around it, in reading order."""
    found = {name: parsed(html / f"{name}.html").find("article") for name in toc}
    return {name: article for name, article in found.items() if isinstance(article, Tag)}


def captions(article: Tag) -> list[str]:
    return [number.get_text().strip() for number in article.select(".caption-number")]


def addresses(html: Path, page: str) -> list[tuple[Tag, str]]:
    """Every address in a page, with its element."""
    return [
        (element, address)
        for element in parsed(html / f"{page}.html").find_all(True)
        for name, address in element.attrs.items()
        if name in ADDRESSES and isinstance(address, str)
    ]


def test_every_page_is_built(articles, toc):
    assert list(articles) == toc


def test_chapter_4_has_the_reports_figures_and_table(articles):
    wanted = [*(f"Figure 4.{n}" for n in range(1, 8)), "Table 4.1"]
    assert set(wanted) <= set(captions(articles["results"]))
    count = Counter(number for article in articles.values() for number in captions(article))
    assert [number for number, times in count.items() if times > 1] == []


def test_chapter_13_answers_them_one_by_one(articles):
    article = articles["mnist"]
    assert {"Table 13.1", *(f"Figure 13.{n}" for n in range(1, 8))} == set(captions(article))
    for n, figure in enumerate(article.find_all("figure"), 1):
        answered = figure.select_one("figcaption a[href*='results.html#']")
        assert answered is not None and answered.get_text() == f"Figure 4.{n}"


@pytest.mark.parametrize("kind", ["Figure", "Table", "Listing"])
def test_numbers_run_on_within_a_chapter(articles, kind):
    counted: dict[str, int] = {}
    for page, article in articles.items():
        for number in captions(article):
            if number.startswith(f"{kind} "):
                chapter, _, n = number.split()[1].rpartition(".")
                counted[chapter] = counted.get(chapter, 0) + 1
                assert int(n) == counted[chapter], f"{number} on {page}"


def test_every_captioned_figure_has_its_picture(articles):
    for page, article in articles.items():
        for figure in article.find_all("figure"):
            name = f"{page}: {figure.get_text().strip()[:60]}"
            assert figure.select("figcaption .caption-number"), f"{name} has no number"
            pictures = figure.find_all("img")
            assert pictures or figure.find("svg"), f"{name} has no picture"
            for picture in pictures:
                assert len(picture.get("alt", "").split()) > 1, f"{name} has no alternative text"


def test_every_numbered_table_has_rows(articles):
    for page, article in articles.items():
        for number in article.select("table caption .caption-number"):
            table = number.find_parent("table")
            assert table is not None and table.select("tbody tr"), f"{page}: {number.get_text()}"


def test_no_page_shows_an_error(articles):
    for page, article in articles.items():
        assert not article.select(".traceback, .problematic, .system-message"), page
        assert "Traceback (most recent call last)" not in article.get_text(), page


def test_no_output_is_a_warning(articles):
    for page, article in articles.items():
        for output in article.select(".cell_output .stream"):
            assert "WARNING" not in output.get_text(), f"{page}: {output.get_text()[:200]}"


def test_no_role_is_left_unresolved(articles):
    for page, article in articles.items():
        assert not UNRESOLVED.search(article.get_text()), page
        for value in article.select(".pasted-text"):
            assert value.get_text().strip(), page


def test_pages_with_small_parameters_say_so_at_their_top(articles, small):
    for page in (name for name, values in small.items() if values):
        banner = articles[page].find(string=re.compile("small parameters"))
        assert banner is not None, page
        heading = banner.find_previous(["h1", "h2", "h3"])
        assert heading is not None and heading.name == "h1", page


def test_every_internal_link_and_picture_resolves(html, toc):
    for page in toc:
        for element, address in addresses(html, page):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = html / unquote(parts.path or f"{page}.html")
            assert target.is_file(), f"{page}: {element}"
            if parts.fragment and target.suffix == ".html":
                assert parsed(target).find(id=unquote(parts.fragment)), f"{page}: {element}"


def test_nothing_is_loaded_from_another_host(html, toc):
    for page in toc:
        for element, address in addresses(html, page):
            parts = urlsplit(address)
            local = parts.scheme in ("", "data") and not parts.netloc
            assert local or element.name == "a", f"{page}: {element}"
    for style in html.rglob("*.css"):
        assert not ELSEWHERE.search(style.read_text("utf-8")), style


@pytest.mark.parametrize("name", ["mathjax/tex-svg.js", "mathjax/LICENSE"])
def test_what_the_pages_need_travels_with_them(html, name):
    assert (html / "_static" / name).stat().st_size > 1000


def test_pages_below_a_chapter_are_numbered_and_headings_are_not(articles):
    titles = {page: article.find("h1").get_text() for page, article in articles.items()}
    for page, number in [("results", "4."), ("spread", "4.1."), ("typical-mlps", "4.2.")]:
        assert titles[page].startswith(f"{number} "), titles[page]
    for page, article in articles.items():
        for heading in article.select("h2, h3"):
            assert not re.match(r"\d+\.", heading.get_text().strip()), f"{page}: {heading}"


def test_code_that_stands_open_is_a_lesson_and_short(articles):
    for page, article in articles.items():
        for cell in article.select("div.cell:not(.tag_injected-parameters)"):
            source = cell.select_one(":scope > .cell_input")
            if source is not None:
                lines = source.get_text().strip().count("\n") + 1
                assert lines <= 12, f"{page} has {lines} open lines: {source.get_text()[:80]}"


def test_long_tables_are_folded(articles):
    for page, article in articles.items():
        for table in article.select("table:not(.claims)"):
            rows = len(table.select("tbody tr"))
            assert rows <= 12 or table.find_parent("details"), f"{page}: a table of {rows} rows"


def test_claims_have_the_row_that_the_scoreboard_leads_to(html, articles):
    links = articles["scoreboard"].select("table.claims td a")
    assert len(links) > 100
    for link in links:
        page, _, row = link["href"].partition(".html#")
        assert articles[page].find(id=row) is not None, link["href"]
