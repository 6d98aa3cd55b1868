"""Report on a run: a closing table in the terminal, and one page that opens offline."""

import math
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from rich.table import Column, Table

from greenai_nb import machine
from greenai_nb.lesson.claims import FAILS, HOLDS, RECORDED, UNDECIDED, Claim
from greenai_nb.lesson.records import amount
from greenai_nb.lesson.slides import named, slides
from greenai_nb.machine import STEPS_MIME
from greenai_nb.suite.run import plan
from greenai_nb.suite.run.paper import kept, obtained

PNG = "image/png"
PICTURES = {PNG, "image/svg+xml"}
EXPLORER_SCRIPT = Path(__file__).with_name("explorer.js").read_text("utf-8")
NOT_RUN = "not run"
ORDER = (FAILS, UNDECIDED, HOLDS, RECORDED, NOT_RUN)
COLOURS = {"holds": "green", "fails": "red", "undecided": "yellow"}


@dataclass(frozen=True)
class Row:
    """A claim, and what the run obtained for it."""

    claim: Claim
    obtained: str
    verdict: str
    provenance: str
    reason: str
    paper: tuple[tuple[str, str], ...]  # what paper size obtained, and the verdict on it

    @property
    def slide(self) -> str:
        """The slide that the claim is about; empty for a claim of our own."""
        return named(self.claim.source)


def ledger(claims: Mapping[str, Claim], records: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Every claim with what was obtained for it, also at paper size, in the order of ``claims.yaml``."""
    last = {record["claim"]: record for record in records if record["claim"]}
    large: dict[str, list[tuple[str, str]]] = {}
    for record in kept():
        if record["claim"] and record["verdict"] != RECORDED:
            large.setdefault(record["claim"], []).append((obtained(record), record["verdict"]))
    rows = []
    for name, claim in claims.items():
        shown = "", NOT_RUN, claim.provenance, ""
        if got := last.get(name):
            shown = amount(got), got["verdict"], got["provenance"], got["reason"] or ""
        rows.append(Row(claim, *shown, tuple(large.get(name, ()))))
    return rows


def ledger_html(rows: Sequence[Row], address: str) -> str:
    """The ledger as HTML: first what failed and why, then all claims by slide.

    ``address`` is where a notebook is found, with ``{}`` in place of its name.
    """
    verdicts = Counter(row.verdict for row in sorted(rows, key=lambda row: ORDER.index(row.verdict)))
    groups: dict[str, list[Row]] = {slide.title: [] for slide in slides().slides}
    beyond: list[Row] = []
    for row in rows:
        groups.get(row.slide, beyond).append(row)
    by_slide = [(title, found) for title, found in groups.items() if found]
    by_slide += [("Beyond the slides", beyond)] if beyond else []
    missing = {name: [row for row in rows if row.verdict == name] for name in (FAILS, UNDECIDED)}
    large = Counter(verdict for row in rows for _, verdict in row.paper)
    values = {"verdicts": verdicts, "at_paper_size": large, "by_slide": by_slide, "missing": missing}
    identities = sum(row.claim.kind == "identity" for row in rows)
    return render("run/ledger.html.j2", rows=rows, address=address, identities=identities, **values)


def folding(title: str, *columns: str) -> Table:
    """A table for the terminal in which long texts wrap."""
    return Table(*(Column(name, overflow="fold") for name in columns), title=title)


def closing_table(rows: Sequence[Row]) -> Table:
    """The ledger for the terminal."""
    table = folding("Claims", "claim", "expected", "obtained", "verdict", "provenance")
    for row in rows:
        colour = COLOURS.get(row.verdict, "default")
        verdict = f"[{colour}]{row.verdict}[/{colour}]"
        table.add_row(row.claim.id, row.claim.expected, row.obtained, verdict, row.provenance)
    return table


def figures(notebook: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The pictures of an executed notebook and its explorers, in order.

    A picture is given as its data URL and description, an explorer as an empty URL and its HTML.
    """
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            for mime in PICTURES & data.keys():
                text = data[mime]
                content = text.replace("\n", "") if mime == PNG else b64encode(text.encode()).decode()
                alt = output.get("metadata", {}).get(mime, {}).get("alt", "")
                found.append((f"data:{mime};base64,{content}", alt))
            if STEPS_MIME in data:
                found.append(("", explorer(data[STEPS_MIME])))
    return found


def reading_minutes(lesson: plan.Lesson) -> int:
    """How long a reader takes: 130 words a minute, 45 seconds a figure, rounded up to five minutes."""
    texts = (cell.source for cell in lesson.content.cells if cell.cell_type == "markdown")
    words = sum(len(text.split()) for text in texts)
    return 5 * math.ceil((words / 130 + 0.75 * len(figures(lesson.content))) / 5)


def explorer(index: Mapping[str, Any]) -> str:
    """The sliders of an explorer over its steps, for a page beside the notebook."""
    return render("run/explorer.html.j2", index=index)


def page(profile: str, rows: Sequence[Row], results: plan.Walk, failed: Sequence[str]) -> str:
    """The offline page of a run: verdicts, what each notebook cost, and every figure."""
    lessons = [(lesson, figures(lesson.content)) for lesson in results.values()]
    ledger = ledger_html(rows, "#{}")
    values = {"profile": profile, "ledger": ledger, "lessons": lessons, "failed": failed}
    return render("run/report.html.j2", card=machine.card(), script=EXPLORER_SCRIPT, **values)


def render(template: str, **values: Any) -> str:
    """A page from a template of the suite."""
    loader = PackageLoader("greenai_nb.suite", ".")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(template).render(values)
