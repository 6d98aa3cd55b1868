"""What the site shows of the walk: a card for each lesson, and the ledger of its claims.

The extension ``walk`` puts both into pages; no notebook is run for them.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from greenai_nb.lesson.claims import load_claims
from greenai_nb.suite.run import plan, report, verify

BINDER = "https://mybinder.org/v2/gh/greenai-nb/greenai-nb/main?urlpath=lab/tree/notebooks/{}.ipynb"
PROMISE = re.compile(r"^\*(.+)\*$", re.MULTILINE)
LEVEL = re.compile(r"^level: (.+?) ·", re.MULTILINE)
UP_TO_DATE, OLDER, NONE = "up to date", "of older code", "none yet"


@dataclass(frozen=True)
class Card:
    """A lesson in a line: what it promises, what it needs, and whether its outputs are up to date.

    ``reading`` is in minutes. ``time`` and ``memory`` are those of the last published run, empty before
    that; ``outputs`` says whether they were made by the code that is there now.
    """

    name: str
    title: str
    promise: str
    level: str
    reading: int
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


def headlines(root: Path) -> list[str]:
    """Five results in sentences, whose numbers are those of the committed outputs.

    Raises ``KeyError`` where a claim is no longer there.
    """
    walk = plan.lessons(root / "notebooks")
    got = {each["claim"]: each["value"] for each in verify.reference(walk) if each["claim"]}
    link = {name[:2]: f"[{name[:2]}](notebooks/{name}.ipynb)" for name in walk}
    return [
        f"Two published estimates of the electricity that trained GPT-3 differ by a factor of "
        f"**{got['gpt3-estimates-differ']:.1f}**, and three factors explain all of it ({link['01']}).",
        f"At a pruned XNOR network the sparsity regret bound comes to "
        f"**{got['xnor-bound-below-guessing']:.2f} nats** a training image, where guessing costs "
        f"{math.log(10):.2f} ({link['12']}).",
        f"A product of signs on packed bits runs **{got['registers-beat-float']:.0f} times** as fast as "
        f"torch's product of floats on one core, and a whole packed network "
        f"{got['packed-network-beats-float']:.0f} times ({link['22']}).",
        f"Accept-reject classifies **{got['chain-learns-digits']:.1f} %** of the test digits correctly "
        f"without a gradient; SGD is {got['sgd-is-ahead']:.1f} points ahead ({link['31']}).",
        f"With nine tenths of each layer pruned, accept-reject loses "
        f"{got['chain-survives-by-layer']:.1f} points of accuracy. SGD loses "
        f"**{got['sgd-loses-by-layer']:.1f}** at the fastest of three learning rates that validation "
        f"images do not tell apart, and {got['sgd-robustness-follows-its-rate']:.1f} more at the "
        f"slowest ({link['41']}).",
    ]


def _card(lesson: plan.Lesson, walk: Mapping[str, plan.Lesson], root: Path) -> Card:
    opening, stamp = lesson.content.cells[0].source, lesson.stamp
    promise, level = PROMISE.search(opening), LEVEL.search(opening)
    outputs = UP_TO_DATE if plan.is_fresh(lesson, walk, root) else OLDER if stamp else NONE
    return Card(
        lesson.name,
        lesson.title,
        promise[1] if promise else "",
        level[1] if level else "",
        report.reading_minutes(lesson),
        _time(stamp["time_s"]) if stamp else "",
        f"{stamp['peak_ram_mb']:.0f} MB" if stamp else "",
        outputs,
    )


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"
