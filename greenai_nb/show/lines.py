"""Lines labelled at their ends, and bands of uncertainty."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from matplotlib.axes import Axes
from numpy import ndarray as Array

from greenai_nb.intervals import student_interval

TEXT_HEIGHT = 0.055


def band(
    ax: Axes,
    x: Sequence[float],
    runs: Float[Array, "seeds points"],
    label: str,
    colour: str,
    marker: str,
) -> None:
    """Draw the mean over seeds as a line and its 95 % interval as a band."""
    mean, low, high = student_interval(runs)
    ax.plot(x, mean, color=colour, marker=marker, label=label)
    ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def label_ends(ax: Axes, points: Mapping[str, tuple[float, float, str]]) -> None:
    """Write each line's name at its end instead of in a legend, moved apart where they would touch.

    ``points`` maps a name to the line's last x and y and its colour. The axes keep their limits; a line
    that leaves them has its name at the edge.
    """
    low, high = ax.get_ylim()
    wanted = sorted(points.items(), key=lambda item: item[1][1])
    heights: list[float] = []
    for _, (_, y, _) in wanted:
        level = ax.transAxes.inverted().transform(ax.transData.transform((0, y)))[1]
        level = min(max(level, 0.0), 1.0)
        heights.append(max(level, heights[-1] + TEXT_HEIGHT if heights else level))
    for (name, (_, _, colour)), height in zip(wanted, heights, strict=True):
        ax.text(1.01, height, name, color=colour, transform=ax.transAxes, va="center", fontsize=9)
    ax.set_ylim(low, high)
