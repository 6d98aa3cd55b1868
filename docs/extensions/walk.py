"""A Sphinx extension: fill the pages of docs/, as templates, with walk, claims and package."""

import ast
import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cards
import jinja2
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from greenai_nb.lesson.slides import Work, slides
from greenai_nb.suite.run import report

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|$#~^])")
NOTEBOOK, LINK = ".ipynb", re.compile(r'(href="[0-9]\d_\w+)\.ipynb"')
PACKAGE, PAGES, ROOMS = "greenai_nb", "docs/", "docs/api/"


def plain(text: str) -> str:
    """A text that Markdown shows as it is, in a table too."""
    return SPECIAL.sub(r"\\\1", text)


def about(package: Path, room: str) -> str:
    """What a room or a sub-room is for, in the words of its docstring; nothing for a module."""
    file = package.joinpath(*room.split("."), "__init__.py")
    return (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "") if file.is_file() else ""


def modules(package: Path, room: str) -> list[str]:
    """Dotted names of a room's public modules and sub-rooms, in order; the ground is the room ''."""
    folder = package / room
    paths = folder.rglob("*.py") if room else folder.glob("*.py")
    names = {".".join(path.relative_to(package).with_suffix("").parts) for path in paths}
    names = {name.removesuffix("__init__").rstrip(".") for name in names} - {room}
    return sorted(name for name in names if "._" not in f".{name}")


class Walk:
    """What the templates are given, read once per build from the checkout at ``root``."""

    def __init__(self, root: Path) -> None:
        self.package = root / PACKAGE
        ledger = cards.ledger(root)
        self.environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(root / PAGES / "_templates"),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters["plain"] = plain
        self.environment.globals |= {
            "cards": cards.cards(root),
            "ledger": ledger,
            "claims_html": report.ledger_html(ledger, "../notebooks/{}.html"),
            "headlines": cards.headlines(root),
            "slides": slides().slides,
            "works": works(ledger),
            "verdicts": Counter(row.verdict for row in ledger),
            "binder": cards.BINDER.format,
            "about": partial(about, self.package),
            "modules": partial(modules, self.package),
            "exists": lambda name: (root / name).is_file(),
        }

    def fill(self, app: Sphinx, name: str, content: list[str]) -> None:
        """Fill in a page of docs/, which is a template; other pages stay as they are."""
        if name.startswith(PAGES):
            content[0] = self.environment.from_string(content[0]).render()

    def changing(
        self, app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], gone: set[str]
    ) -> set[str]:
        """Pages to read again though their files are the same: the walk or a room may have changed."""
        pages = {name for name in env.found_docs if name.startswith(PAGES)}
        return {name for name in pages if not name.startswith(ROOMS) or self.has_grown(name, env)}

    def has_grown(self, name: str, env: BuildEnvironment) -> bool:
        """Whether the room on a page has a module that is not on the page yet."""
        room = name.removeprefix(ROOMS)
        names = modules(self.package, room if about(self.package, room) else "")
        files = (self.package / f"{name.replace('.', '/')}.py" for name in names)
        seen = {Path(env.srcdir, file) for file in env.dependencies.get(name, ())}
        return any(file.is_file() and file not in seen for file in files)


def works(ledger: Sequence[report.Row]) -> list[tuple[int, Work, list[report.Row]]]:
    """The number of each work that the slides cite, the work, and the verdicts on its claims."""
    rows = {row.claim.id: row for row in ledger}
    claims = {name: row.claim for name, row in rows.items()}
    return [
        (number, work, [rows[claim.id] for claim in work.judged(claims)])
        for number, work in slides().works.items()
    ]


def describe(
    app: Sphinx, name: str, template: str, context: dict[str, Any], page: nodes.document | None
) -> None:
    """Describe a page to search engines by its first paragraph, which is a lesson's promise."""
    if page and (opening := page.next_node(nodes.paragraph)):
        tag = jinja2.Template('<meta name="description" content="{{ text | e }}">')
        text = " ".join(opening.astext().split())
        context["metatags"] = context.get("metatags", "") + tag.render(text=text)


def lead_to_pages(app: Sphinx, page: nodes.document) -> None:
    """Make links in the printed output of a notebook lead to pages, as those in its text do."""
    for link in page.findall(nodes.reference):
        if (target := link.get("refuri", "")).endswith(NOTEBOOK) and "/" not in target:
            link["refuri"] = target.removesuffix(NOTEBOOK) + ".html"
    for raw in [*page.findall(nodes.raw)]:
        text = raw.astext()
        raw.replace_self(nodes.raw(raw.rawsource, LINK.sub(r'\1.html"', text), **raw.attributes))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    walk = Walk(app.srcdir)
    app.connect("source-read", walk.fill)
    app.connect("env-get-outdated", walk.changing)
    app.connect("doctree-read", lead_to_pages)
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
