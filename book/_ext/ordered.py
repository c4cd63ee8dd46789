"""Sphinx extension: pages are read, and so executed, in the order of the table of contents, and
numbered by chapter and page: 10.1 is the first page below chapter 10, headings have no number.

Sphinx reads pages by their names, and counts a chapter's own headings among its pages.
"""

from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def pages_below(env: BuildEnvironment, page: str) -> Iterator[str]:
    """The page and all below it, in reading order."""
    yield page
    for child in env.toctree_includes.get(page, []):
        yield from pages_below(env, child)


def in_reading_order(app: Sphinx, env: BuildEnvironment, names: list[str]) -> None:
    """Sort the pages that are about to be read."""
    order = list(app.config.external_site_map)
    names.sort(key=lambda name: order.index(name) if name in order else len(order))


def number_pages(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Give chapters and the pages below them numbers, and take those of headings away."""
    for chapter in env.toctree_includes.get(app.config.root_doc, []):
        number = env.toc_secnumbers.get(chapter, {}).get("")
        if not number:
            continue
        for count, page in enumerate(pages_below(env, chapter)):
            own = (*number[:1], count) if count else number[:1]
            env.toc_secnumbers[page] = {
                anchor: () if anchor else own for anchor in env.toc_secnumbers[page]
            }
            env.titles[page]["secnumber"] = own
            for reference in env.tocs[page].findall(nodes.reference):
                reference.attributes.pop("secnumber", None)
                if not reference["anchorname"]:
                    reference["secnumber"] = own
    return []


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("env-before-read-docs", in_reading_order)
    app.connect(
        "env-get-updated", number_pages, priority=900
    )  # after Sphinx has numbered
    return {"parallel_read_safe": True, "parallel_write_safe": True}
