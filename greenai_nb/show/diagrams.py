"""Diagrams as vector graphics: the XNOR block beside its float twin, and the accept-reject chain.

An SVG here stands alone: the reader's own fonts, a white ground for dark pages, no script, and a title
and a description for those who do not see it. Boxes are as wide as their words. A diagram comes with
its description: ``show_svg(*xnor_block())``.
"""

from dataclasses import dataclass
from html import escape

from greenai_nb.show.style import BLACK, BLUE, GREEN, RED

TEXT_PX = 14
LINE_PX = 19
CHARACTER_PX = 7.8  # a wide estimate for a sans serif at 14 px
PADDING_PX = 14
HEAD_PX = 9
PALE_BLUE, PALE_GREY, WHITE = "#e3f0f9", "#f2f2f2", "#ffffff"

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """Words in a frame around a middle; the first line is bold."""

    middle: Point
    lines: tuple[str, ...]
    fill: str = PALE_GREY
    edge: str = BLACK

    @property
    def width(self) -> float:
        """What the longest line needs, in pixels."""
        return CHARACTER_PX * max(map(len, self.lines)) + 2 * PADDING_PX

    @property
    def height(self) -> float:
        """What the lines need, in pixels."""
        return LINE_PX * len(self.lines) + PADDING_PX

    def side(self, right: float = 0, down: float = 0) -> Point:
        """A point of the frame: (1, 0) is the middle of the right side, (0, -1) of the upper one."""
        x, y = self.middle
        return x + right * self.width / 2, y + down * self.height / 2

    def __str__(self) -> str:
        x, y = self.middle
        left, top = self.side(-1, -1)
        first = y - LINE_PX * (len(self.lines) - 1) / 2 + TEXT_PX / 3
        words = "".join(
            text((x, first + LINE_PX * number), line, bold=number == 0, middle=True)
            for number, line in enumerate(self.lines)
        )
        return (
            f'<g class="box"><rect x="{left:g}" y="{top:g}" width="{self.width:g}" '
            f'height="{self.height:g}" rx="6" fill="{self.fill}" stroke="{self.edge}" '
            f'stroke-width="1.5"/>{words}</g>'
        )


def text(at: Point, words: str, *, bold: bool = False, middle: bool = False, colour: str = BLACK) -> str:
    """A line of words that starts at a point, or has its middle there."""
    weight, anchor = ("bold" if bold else "normal"), ("middle" if middle else "start")
    return (
        f'<text x="{at[0]:g}" y="{at[1]:g}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{colour}">{escape(words)}</text>'
    )


def arrow(*corners: Point, width: float = 1.5, colour: str = BLACK, dashes: str = "none") -> str:
    """A line through corners, at right angles, with a head at its end."""
    *_, (x0, y0), (x, y) = corners
    right, down = _sign(x - x0), _sign(y - y0)
    back = HEAD_PX + width
    foot = x - back * right, y - back * down
    across = (back / 2 + width / 2) * down, (back / 2 + width / 2) * right
    line = " ".join(f"{a:g},{b:g}" for a, b in (*corners[:-1], foot))
    head = " ".join(
        f"{a:g},{b:g}"
        for a, b in (
            (x, y),
            (foot[0] + across[0], foot[1] + across[1]),
            (foot[0] - across[0], foot[1] - across[1]),
        )
    )
    return (
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{width:g}" '
        f'stroke-dasharray="{dashes}"/><polygon points="{head}" fill="{colour}"/>'
    )


def document(width: float, height: float, title: str, description: str, *parts: object) -> str:
    """An SVG of its own, with what is drawn on a white ground."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" style="max-width:100%;height:auto" '
        f'font-family="sans-serif" font-size="{TEXT_PX}">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
        f'<rect width="{width:g}" height="{height:g}" fill="{WHITE}"/>'
        f"{''.join(map(str, parts))}</svg>"
    )


FLOAT, SIGN, COUNT = ("float, 32 bits", 5.0), ("sign, 1 bit", 1.5), ("integer, 32 bits", 5.0)
FLOAT_STEPS = (
    (("input",), FLOAT),
    (("batch norm",), FLOAT),
    (("ReLU",), FLOAT),
    (("convolution", "multiply, add", "weights: floats, 32 bits each"), FLOAT),
    (("pooling",), FLOAT),
)
XNOR_STEPS = (
    (("input",), FLOAT),
    (("batch norm",), FLOAT),
    (("sign",), SIGN),
    (("binary convolution", "XNOR, popcount", "weights: signs, 1 bit each"), COUNT),
    (("scale", "one float for each filter"), FLOAT),
    (("pooling",), FLOAT),
)
XNOR_WORDS = (
    "Two columns of steps. The float twin: input, batch norm, ReLU, convolution with float weights, "
    "pooling; every value between them is a float of 32 bits. The XNOR block: input, batch norm, sign, "
    "binary convolution by XNOR and popcount with weights of 1 bit, scale by one float for each filter, "
    "pooling. Between sign and convolution a value has 1 bit; the convolution gives integers of 32 "
    "bits, the scale makes them floats again."
)


def xnor_block() -> tuple[str, str]:
    """The block of the slides beside its float twin, with type and bits of each value on the arrows."""
    heights_float, heights_xnor = (70, 140, 210, 300, 480), (70, 140, 210, 300, 400, 480)
    parts = [text((170, 28), "float twin", bold=True, middle=True)]
    parts += _column(170, heights_float, FLOAT_STEPS, BLACK)
    parts += [text((530, 28), "XNOR block", bold=True, middle=True, colour=BLUE)]
    parts += _column(530, heights_xnor, XNOR_STEPS, BLUE)
    return document(720, 560, "The XNOR block beside its float twin", XNOR_WORDS, *parts), XNOR_WORDS


def _column(
    x: float,
    heights: tuple[float, ...],
    steps: tuple[tuple[tuple[str, ...], tuple[str, float]], ...],
    colour: str,
) -> list[str]:
    """Steps from top to bottom; an arrow is as thick as what passes through it is large."""
    one_bit = ("sign", "binary convolution")
    boxes = [
        Box((x, y), lines, PALE_BLUE if lines[0] in one_bit else PALE_GREY, colour)
        for y, (lines, _) in zip(heights, steps, strict=True)
    ]
    ends = [*(box.side(down=-1)[1] for box in boxes[1:]), heights[-1] + 68]
    parts = [str(box) for box in boxes]
    for box, end, (_, (words, width)) in zip(boxes, ends, steps, strict=True):
        start = box.side(down=1)[1]
        parts.append(arrow((x, start), (x, end), width=width, colour=colour))
        parts.append(text((x + 14, (start + end) / 2 + TEXT_PX / 3), words))
    return parts


CHAIN_WORDS = (
    "A loop of boxes. From the state w the chain proposes w', computes the change of the loss and the "
    "ratio of the priors, and accepts with probability min(1, exp(-lambda times change) times ratio of "
    "the priors). If it accepts, the next state is w'; if it rejects, the next state is w once more. "
    "From the next state the loop starts again."
)


def accept_reject_chain() -> tuple[str, str]:
    """One step of the chain: propose, compare, accept or reject, and again from the next state."""
    state = Box((105, 70), ("state w", "all weights"))
    propose = Box((340, 70), ("propose w'", "change a weight or a few"))
    compare = Box((620, 70), ("compare", "change of the loss, w to w'", "ratio of the priors, w' to w"))
    chance = Box(
        (620, 240),
        ("accept with probability", "min(1, exp(-λ · change)", "· ratio of the priors)"),
        PALE_BLUE,
        BLUE,
    )
    accept = Box((340, 190), ("accept", "go to w'"), WHITE, GREEN)
    reject = Box((340, 290), ("reject", "count w again"), WHITE, RED)
    following = Box((105, 240), ("next state", "w' or w"))
    parts = [
        state, propose, compare, chance, accept, reject, following,
        arrow(state.side(1), propose.side(-1)),
        arrow(propose.side(1), compare.side(-1)),
        arrow(compare.side(down=1), chance.side(down=-1)),
        arrow(following.side(down=-1), state.side(down=1)),
        text((113, 160), "repeat"),
    ]  # fmt: skip
    for box, up, colour, dashes in ((accept, -0.5, GREEN, "none"), (reject, 0.5, RED, "6 3")):
        for start, end in ((chance.side(-1, up), box.side(1)), (box.side(-1), following.side(1, up))):
            bend = (start[0] + end[0]) / 2
            corners = start, (bend, start[1]), (bend, end[1]), end
            parts.append(arrow(*corners, colour=colour, dashes=dashes))
    return document(770, 340, "One step of the accept-reject chain", CHAIN_WORDS, *parts), CHAIN_WORDS


def _sign(difference: float) -> int:
    return (difference > 0) - (difference < 0)
