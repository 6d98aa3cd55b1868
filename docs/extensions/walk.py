"""A Sphinx extension: pages of docs/ are templates that know the walk, its claims and the package."""

import ast
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from greenai_nb.suite import site

BINDER = "https://mybinder.org/v2/gh/greenai-nb/greenai-nb/main?urlpath=lab/tree/notebooks/{}.ipynb"
MARKS = {"holds": "✓", "fails": "✗", "undecided": "?"}
SPECIAL = re.compile(r"([\\`*_{}\[\]<>|$#~^])")
NOTEBOOK = ".ipynb"
PACKAGE, PAGES, ROOMS = "greenai_nb", "docs/", "docs/api/"


def plain(text: str) -> str:
    """A text that Markdown shows as it is, in a table too."""
    return SPECIAL.sub(r"\\\1", text)


def about(package: Path, room: str) -> str:
    """What a room is for, in the words of its docstring."""
    return ast.get_docstring(ast.parse((package / room / "__init__.py").read_text())) or ""


def modules(package: Path, room: str) -> list[str]:
    """Names of the public modules of a room, in order."""
    names = sorted(path.stem for path in (package / room).glob("*.py"))
    return [name for name in names if not name.startswith("_")]


class Walk:
    """What the templates are given, read once a build from the checkout at ``root``."""

    def __init__(self, root: Path) -> None:
        self.package = root / PACKAGE
        ledger = site.ledger(root)
        self.environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(root / PAGES / "_templates"),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters["plain"] = plain
        self.environment.globals |= {
            "cards": site.cards(root),
            "ledger": ledger,
            "verdicts": Counter(row.verdict for row in ledger),
            "marks": MARKS,
            "binder": BINDER.format,
            "about": partial(about, self.package),
            "modules": partial(modules, self.package),
            "exists": lambda name: (root / name).is_file(),
        }

    def fill(self, app: Sphinx, name: str, content: list[str]) -> None:
        """Fill the template that a page of docs/ is; others are pages as they stand."""
        if name.startswith(PAGES):
            content[0] = self.environment.from_string(content[0]).render()

    def changing(
        self, app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], gone: set[str]
    ) -> set[str]:
        """Pages to read again though their files are the same: the walk or a room may be new."""
        pages = {name for name in env.found_docs if name.startswith(PAGES)}
        return {name for name in pages if not name.startswith(ROOMS) or self.has_grown(name, env)}

    def has_grown(self, name: str, env: BuildEnvironment) -> bool:
        """Whether the room on a page has a module that the page was made without."""
        seen = {Path(file).stem for file in env.dependencies.get(name, ())}
        return not seen.issuperset(modules(self.package, name.removeprefix(ROOMS)))


def describe(
    app: Sphinx, name: str, template: str, context: dict[str, Any], page: nodes.document | None
) -> None:
    """Describe a page to search engines by its first paragraph, which is a lesson's promise."""
    if page and (opening := page.next_node(nodes.paragraph)):
        tag = jinja2.Template('<meta name="description" content="{{ text | e }}">')
        text = " ".join(opening.astext().split())
        context["metatags"] = context.get("metatags", "") + tag.render(text=text)


def lead_to_pages(app: Sphinx, page: nodes.document) -> None:
    """Let the links in what a notebook has printed lead to pages, as those in its text do."""
    for link in page.findall(nodes.reference):
        if (target := link.get("refuri", "")).endswith(NOTEBOOK) and "/" not in target:
            link["refuri"] = target.removesuffix(NOTEBOOK) + ".html"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    walk = Walk(app.srcdir)
    app.connect("source-read", walk.fill)
    app.connect("env-get-outdated", walk.changing)
    app.connect("doctree-read", lead_to_pages)
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
