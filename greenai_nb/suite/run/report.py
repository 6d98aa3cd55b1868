"""The two faces of a run: a closing table in the terminal and one page that opens offline."""

import math
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenai_nb import machine
from greenai_nb.lesson.claims import Claim
from greenai_nb.suite.run.fingerprint import source
from greenai_nb.suite.run.plan import STAMP

if TYPE_CHECKING:
    from rich.table import Table

PNG = "image/png"
PICTURES = {PNG, "image/svg+xml"}
NOT_RUN, NOT_OBTAINED = "not run", "not obtained"
COLOURS = {"holds": "green", "fails": "red", "undecided": "yellow"}


@dataclass(frozen=True)
class Row:
    """A claim beside what the run obtained."""

    claim: Claim
    obtained: str
    verdict: str
    provenance: str


def ledger(claims: Mapping[str, Claim], found: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Every claim with what was obtained for it, in the order of ``claims.yaml``."""
    last = {record["claim"]: record for record in found if record["claim"]}
    rows = []
    for name, claim in claims.items():
        if name not in last:
            rows.append(Row(claim, "", NOT_RUN, claim.provenance))
            continue
        record = last[name]
        text = NOT_OBTAINED
        if _known(record["value"]):
            text = f"{record['value']:.5g} {record['unit']}".strip()
        if _known(record["lo"]) and _known(record["hi"]) and record["lo"] != record["hi"]:
            text += f" [{record['lo']:.4g}, {record['hi']:.4g}]"
        rows.append(Row(claim, text, record["verdict"], record["provenance"]))
    return rows


def _known(number: float | None) -> bool:
    """Whether a number was obtained; a table has NaN where a record has None."""
    return number is not None and not math.isnan(number)


def closing_table(rows: Sequence[Row]) -> "Table":
    """The ledger for the terminal."""
    from rich.table import Table

    table = Table(title="Claims")
    for column in ("claim", "expected", "obtained", "verdict", "provenance"):
        table.add_column(column, overflow="fold")
    for row in rows:
        colour = COLOURS.get(row.verdict, "default")
        verdict = f"[{colour}]{row.verdict}[/{colour}]"
        table.add_row(row.claim.id, row.claim.expected, row.obtained, verdict, row.provenance)
    return table


def figures(notebook: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The pictures of an executed notebook as data addresses, with their descriptions."""
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            for mime in PICTURES & output.get("data", {}).keys():
                text = source({"source": output["data"][mime]})
                content = text.replace("\n", "") if mime == PNG else b64encode(text.encode()).decode()
                alt = output.get("metadata", {}).get(mime, {}).get("alt", "")
                found.append((f"data:{mime};base64,{content}", alt))
    return found


def page(
    profile: str,
    rows: Sequence[Row],
    notebooks: Mapping[str, Mapping[str, Any]],
    failed: Sequence[str],
) -> str:
    """The offline page of a run: verdicts, what each notebook cost, and every figure."""
    from jinja2 import Environment

    template = (files("greenai_nb.suite") / "report.html.j2").read_text()
    lessons = [
        {
            "name": name,
            "title": source(notebook["cells"][0]).splitlines()[0].lstrip("# "),
            "stamp": notebook["metadata"][STAMP],
            "figures": figures(notebook),
        }
        for name, notebook in notebooks.items()
    ]
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        profile=profile, rows=rows, lessons=lessons, failed=failed, card=machine.card()
    )


def read_notebooks(out: Path) -> dict[str, Mapping[str, Any]]:
    """The executed notebooks of a run by name."""
    import json

    return {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("*.ipynb"))}
