"""One plotting style: colour-blind safe, readable in grey, light on ink.

Palette: Okabe and Ito, *Color Universal Design* (2008).
"""

import matplotlib as mpl
from cycler import cycler

BLUE, ORANGE, GREEN, PINK, SKY, RED, YELLOW, BLACK = PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#000000",
)
MARKERS = "os^Dv<>p"
DPI = 100


def use_style() -> None:
    """Set matplotlib's defaults for the walk: constrained layout, palette with markers, no frame."""
    mpl.rcParams.update(
        {
            "figure.constrained_layout.use": True,
            "figure.figsize": (7.0, 3.6),
            "figure.dpi": DPI,
            "figure.facecolor": "white",
            "axes.prop_cycle": cycler(color=PALETTE) + cycler(marker=list(MARKERS)),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#dddddd",
            "grid.linewidth": 0.6,
            "lines.markersize": 4,
            "lines.linewidth": 1.6,
            "font.size": 10,
            "legend.frameon": False,
            "svg.hashsalt": "greenai",
        }
    )
