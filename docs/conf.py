"""Settings of the docs site: `make docs` builds it into var/site, `make lint` checks it.

Sphinx reads the whole checkout, not docs/ alone, so that links between README.md, the pages in docs/
and files of the repository work here as they work on GitHub. A dead link, a dead anchor or a page
without a place in the navigation is a warning, and the build treats warnings as errors.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

project = "Lurker"
version = release = _PROJECT["version"]
project_copyright = "the Lurker contributors, MIT licence"
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md"]
exclude_patterns = [".*", "var", "**/__pycache__"]

extensions = ["myst_parser"]
nitpicky = True
myst_heading_anchors = 4  # links to headings, by the names that GitHub gives them
myst_enable_extensions = ["html_image"]  # <img> is checked, too
myst_fence_as_directive = ["mermaid"]  # GitHub draws ```mermaid blocks by itself

html_theme = "furo"
html_title = f"Lurker {release}"
html_static_path = ["site/static"]
html_extra_path = ["site/root"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
highlight_language = "none"  # blocks without a language are not Python


class Mermaid(SphinxDirective):
    """A ```mermaid block: the page shows its text until diagrams.js has drawn it."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        text = "\n".join(self.content)
        return [nodes.literal_block(text, text, classes=["mermaid"], language="none")]


def list_pages(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn the lists of pages on the front page into the navigation, a section for each heading."""
    if docname != root_doc:
        return
    for heading, body in re.findall(
        r"^## (.+?)\n(.*?)(?=^## |\Z)", source[0], re.MULTILINE | re.DOTALL
    ):
        if entries := re.findall(r"^- \[(.+?)\]\((.+?)\.md\)", body, re.MULTILINE):
            lines = [f"{title} <{target}>" for title, target in entries]
            toctree = "\n".join(
                ["```{toctree}", ":hidden:", f":caption: {heading}", "", *lines, "```"]
            )
            source[0] += f"\n{toctree}\n"


def load_mermaid(
    app: Sphinx,
    pagename: str,
    templatename: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Load Mermaid, which has 3 MB, on pages with a diagram only."""
    if doctree and any(
        "mermaid" in block["classes"] for block in doctree.findall(nodes.literal_block)
    ):
        app.add_js_file("mermaid/mermaid.tiny.js", loading_method="defer")
        app.add_js_file("diagrams.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the above with Sphinx."""
    app.add_directive("mermaid", Mermaid)
    app.connect("source-read", list_pages)
    app.connect("html-page-context", load_mermaid)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
