"""Write what README says of the walk from the committed outputs: results, verdicts, table, picture.

Run ``python tools/front_page.py`` after a publication; ``make publish`` does.
"""

import re
import sys
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt

from greenai_nb.files import write_atomic
from greenai_nb.lesson import project
from greenai_nb.show.figure import png
from greenai_nb.show.style import BLUE, GREEN, ORANGE, RED, use_style
from greenai_nb.suite.run import plan, verify

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs" / "extensions"))
import cards  # noqa: E402

PICTURE = "docs/_static/front.png"
BADGE = "https://mybinder.org/badge_logo.svg"
PART = "<!-- {0}: tools/front_page.py writes what stands here -->\n{1}\n<!-- end of {0} -->"


def results() -> str:
    """Five sentences with numbers, and how many claims hold."""
    ledger = cards.ledger(ROOT)
    verdicts = Counter(row.verdict for row in ledger)
    kinds = Counter(row.claim.kind for row in ledger)
    counts = f"**{verdicts['holds']} hold**, {verdicts['fails']} fail"
    counts += f" and {verdicts['undecided']} are undecided"
    if verdicts["recorded"]:
        counts += f"; {verdicts['recorded']} are about other data or larger runs, and not judged here"
    about = f"{kinds['identity']} are identities, {kinds['experiment']} experiments"
    lines = [f"* {sentence}" for sentence in cards.headlines(ROOT)]
    return "\n".join([*lines, f"* Of {len(ledger)} claims ({about}), {counts}."])


def walk() -> str:
    """The lessons with their promise, the minutes to read and to run them, and a badge each."""
    rows = [
        f"| {card.number} | [{card.title}](notebooks/{card.name}.ipynb): {card.promise} "
        f"| {card.reading} min | {card.time} | {card.memory} "
        f"| [![Binder]({BADGE})]({cards.BINDER.format(card.name)}) |"
        for card in cards.cards(ROOT)
    ]
    return "\n".join(["| | notebook | read | run | memory | open |", "|---|---|---|---|---|---|", *rows])


def page(text: str) -> str:
    """README with its written parts made anew."""
    for name, content in (("results", results()), ("walk", walk())):
        parts = PART.format(name, f"\n{content}\n")
        pattern = re.escape(PART.format(name, "\0")).replace("\0", ".*?")
        text = re.sub(pattern, lambda _, parts=parts: parts, text, flags=re.DOTALL)
    return text


def picture() -> bytes:
    """Three results side by side: what signs gain, what pruning takes, and what packing costs."""
    found = verify.reference(plan.lessons(project.notebooks()))
    got = {each["claim"] or each["name"]: each["value"] for each in found}
    panels = (
        (
            "Products of signs",
            "times the speed of float32",
            {
                "in NumPy": (got["numpy_bits_over_float32"], ORANGE),
                "product, packed": (got["registers-beat-float"], BLUE),
                "network, packed": (got["packed-network-beats-float"], BLUE),
            },
        ),
        (
            "98 % of the weights pruned",
            "points of accuracy lost",
            {
                "accept-reject": (got["chain-survives-98-percent"], BLUE),
                "SGD with L1": (got["l1-survives-98-percent"], GREEN),
                "SGD, fastest rate": (got["sgd-loses-at-98-percent"], RED),
            },
        ),
        (
            "XNOR network, bits",
            "times its float twin",
            {
                "derived energy": (1 / got["packing-saves-derived-energy"], GREEN),
                "CPU time here": (got["packed-small-net-saves-little"], RED),
            },
        ),
    )
    use_style()
    fig, axes = plt.subplots(1, 3, figsize=(8, 2.6))
    for ax, (title, label, bars) in zip(axes, panels, strict=True):
        values, colours = zip(*bars.values(), strict=True)
        ax.barh([*bars], values, color=colours, height=0.6)
        for place, value in enumerate(values):
            ax.text(max(value, 0), place, f" {value:.2g}", va="center")
        ax.set(xlim=(min(0, *values), 1.3 * max(values)), ylim=(len(bars) - 0.4, -0.6))
        ax.set_xlabel(label, fontsize=9)
        ax.set_title(title, loc="left", fontsize=9)
        ax.grid(axis="y", visible=False)
    axes[2].axvline(1, color="black", linewidth=1)
    return png(fig)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    write_atomic(readme, page(readme.read_text("utf-8")))
    write_atomic(ROOT / PICTURE, picture())
