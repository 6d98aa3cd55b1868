"""Show a picture with a description that stays with it.

In a published run a figure is a PNG, and a diagram an SVG, with its description as metadata, which
GitHub, nbval and this project's pages keep; in a live notebook it is HTML, since Jupyter drops the
metadata. Pictures are opaque, so that they are legible on a dark page too.
"""

import base64
import html
import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from greenai_nb.machine import is_interactive
from greenai_nb.show.style import DPI


def show(fig: Figure, alt: str) -> None:
    """Display a figure once, described by ``alt`` for those who do not see it, and close it.

    The description says what the figure shows, with its numbers. Raises ``ValueError`` without one.
    """
    import matplotlib.pyplot as plt

    _require_words("show(fig, alt='what it shows')", alt)
    picture = png(fig)
    plt.close(fig)
    _display("image/png", picture, base64.b64encode(picture).decode(), alt)


def show_svg(svg: str, alt: str) -> None:
    """Display a diagram of ``greenai_nb.show.diagrams``, described by ``alt``.

    Raises ``ValueError`` without a description.
    """
    _require_words("show_svg(svg, alt='what it shows')", alt)
    _display("image/svg+xml", svg.encode(), svg, alt)


def png(fig: Figure) -> bytes:
    """The figure as PNG bytes, opaque, without the program's name and version."""
    from PIL import Image

    fig.set_dpi(DPI)
    canvas = FigureCanvasAgg(fig)
    canvas.draw()  # once; savefig draws twice, to lay the figure out
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(buffer, "png")
    return buffer.getvalue()


def image_tag(picture: bytes, alt: str, mime: str = "image/png") -> str:
    """An HTML image that carries the picture and its description."""
    data = base64.b64encode(picture).decode()
    return (
        f'<img alt="{html.escape(alt, quote=True)}" style="max-width:100%;height:auto" '
        f'src="data:{mime};base64,{data}">'
    )


def _require_words(call: str, alt: str) -> None:
    if not alt.strip():
        raise ValueError(f"a picture needs a description: {call}")


def _display(mime: str, picture: bytes, stored: str, alt: str) -> None:
    """Display HTML to a person, and the picture with its description as metadata to a runner."""
    from IPython.display import display

    if is_interactive():
        data, metadata = {"text/html": image_tag(picture, alt, mime)}, {}
    else:
        data, metadata = {mime: stored}, {mime: {"alt": alt}}
    display({**data, "text/plain": f"[figure] {alt}"}, metadata=metadata, raw=True)
