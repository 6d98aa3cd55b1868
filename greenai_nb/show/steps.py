"""Draw every step of an explorer in advance, so that a page without a kernel can show it too.

A run that will be published names a folder in GREENAI_STEPS. An explorer leaves a picture there for each
combination of its sliders' values, and an index of them, with their descriptions, among the outputs.
"""

import io
import itertools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from greenai_nb.files import write_atomic
from greenai_nb.machine import STEPS_VARIABLE
from greenai_nb.show.figure import png

MAX_STEPS, MAX_BYTES = 60, 40_000
COLOURS = 128  # of a picture's palette

_numbers = itertools.count(1)

Drawing = Callable[..., tuple[Figure, str]]


def folder() -> Path | None:
    """The folder for the steps of this notebook's explorers; None if they are not stored."""
    named = os.environ.get(STEPS_VARIABLE)
    return Path(named) if named else None


def draw_all(
    draw: Drawing, start: Mapping[str, Any], values: Mapping[str, Sequence[Any]], home: Path
) -> tuple[str, list[str]]:
    """Draw all combinations of values, the last slider's varying fastest, as 0.png, 1.png and so on.

    Returns the address of their folder beside the notebooks, and their descriptions. Raises
    ``ValueError``, with the explorer's name, for too many combinations and for too large a picture.
    """
    import matplotlib.pyplot as plt

    name = f"the explorer of {draw.__name__}({', '.join(values)})"
    count = math.prod(map(len, values.values()))
    if count > MAX_STEPS:
        few = f"give its sliders fewer values: at most {MAX_STEPS} are drawn in advance"
        raise ValueError(f"{name} has {count} steps, {few}")
    place, words = home / str(next(_numbers)), []
    for number, chosen in enumerate(itertools.product(*values.values())):
        fig, alt = draw(**{**start, **dict(zip(values, chosen, strict=True))})
        picture = _in_few_colours(png(fig))
        plt.close(fig)
        if len(picture) > MAX_BYTES:
            raise ValueError(f"{name} draws {len(picture)} bytes at {chosen}, more than {MAX_BYTES}")
        write_atomic(place / f"{number}.png", picture)
        words.append(alt)
    return f"{home.parent.name}/{home.name}/{place.name}", words


def _in_few_colours(picture: bytes) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    palette = Image.open(io.BytesIO(picture)).quantize(COLOURS, dither=Image.Dither.NONE)
    palette.save(buffer, "png", optimize=True)
    return buffer.getvalue()
