"""Figures with descriptions, one plotting style, panels and sliders; draws and never trains."""

from greenai_nb.show.explore import explore
from greenai_nb.show.figure import show, show_svg
from greenai_nb.show.lines import band, label_ends
from greenai_nb.show.style import BLACK, BLUE, GREEN, ORANGE, PINK, RED, SKY, YELLOW, use_style

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "ORANGE",
    "PINK",
    "RED",
    "SKY",
    "YELLOW",
    "band",
    "explore",
    "label_ends",
    "show",
    "show_svg",
    "use_style",
]
