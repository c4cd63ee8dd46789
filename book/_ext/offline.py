"""Sphinx extension: no page loads a script twice, or one that needs a server behind the page.

Jupyter Book adds every script below _static to every page, so MathJax would load a second time and
without its settings; sphinx-thebe declares the same constants twice. In a browser both are errors.
"""

from sphinx.application import Sphinx
from sphinx.config import Config


def leave_mathjax_to_its_renderer(app: Sphinx, config: Config) -> None:
    """Take MathJax from the scripts of every page; its renderer adds it where mathematics is."""
    config.html_js_files = [
        name for name in config.html_js_files if name != config.mathjax_path
    ]


def silence_thebe(app: Sphinx) -> None:
    """Drop what sphinx-thebe, which Jupyter Book always loads, would write into each page."""
    for event, listeners in app.events.listeners.items():
        if event != "builder-inited":
            listeners[:] = [
                each for each in listeners if each.handler.__module__ != "sphinx_thebe"
            ]


def setup(app: Sphinx) -> dict[str, bool]:
    # Before Sphinx turns file names into (name, attributes) pairs, at the default priority.
    app.connect("config-inited", leave_mathjax_to_its_renderer, priority=100)
    app.connect("builder-inited", silence_thebe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
