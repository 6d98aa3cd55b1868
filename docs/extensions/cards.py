"""What the site says of the walk: a card for each lesson, and the ledger of its claims.

The extension ``walk`` puts both into pages; nothing is run for them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from greenai_nb.lesson.claims import load_claims
from greenai_nb.suite.run import plan, report, verify

PROMISE = re.compile(r"^\*(.+)\*$", re.MULTILINE)
LEVEL = re.compile(r"^level: (.+?) ·", re.MULTILINE)
UP_TO_DATE, OLDER, NONE = "up to date", "of older code", "none yet"


@dataclass(frozen=True)
class Card:
    """A lesson in a line: what it promises, what it asks for, and what its committed outputs are worth.

    ``time`` and ``memory`` are those of the last published run, empty before that; ``outputs`` says
    whether they were made by the code that is there now.
    """

    name: str
    title: str
    promise: str
    level: str
    time: str
    memory: str
    outputs: str

    @property
    def number(self) -> str:
        """The lesson's number in the walk, as ``11``."""
        return self.name.split("_")[0]


def cards(root: Path) -> list[Card]:
    """The lessons of the walk in order. Raises ``UsageError`` for a notebook without parameters."""
    walk = plan.lessons(root / "notebooks")
    return [_card(lesson, walk, root) for lesson in walk.values()]


def ledger(root: Path) -> list[report.Row]:
    """Every claim of ``claims.yaml`` with what the committed outputs show for it."""
    walk = plan.lessons(root / "notebooks")
    return report.ledger(load_claims(root / "claims.yaml"), verify.reference(walk))


def _card(lesson: plan.Lesson, walk: Mapping[str, plan.Lesson], root: Path) -> Card:
    opening, stamp = lesson.content.cells[0].source, lesson.stamp
    promise, level = PROMISE.search(opening), LEVEL.search(opening)
    outputs = UP_TO_DATE if plan.is_fresh(lesson, walk, root) else OLDER if stamp else NONE
    return Card(
        lesson.name,
        lesson.title,
        promise[1] if promise else "",
        level[1] if level else "",
        _time(stamp["time_s"]) if stamp else "",
        f"{stamp['peak_ram_mb']:.0f} MB" if stamp else "",
        outputs,
    )


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"
