"""Show a figure with a description that stays with it.

In a published run the picture is a PNG with its description as metadata, which GitHub, nbval and
this project's pages keep; live in a notebook it is HTML, since Jupyter drops the metadata.
"""

import base64
import html
import io
import os

from matplotlib.figure import Figure

from greenai_nb.show.style import DPI

INTERACTIVE_VARIABLE = "GREENAI_INTERACTIVE"


def show(fig: Figure, alt: str) -> None:
    """Display a figure once, described by ``alt`` for those who do not see it, and close it.

    The description says what the figure shows, with its numbers. Raises ``ValueError`` without one.
    """
    import matplotlib.pyplot as plt
    from IPython.display import display

    if not alt.strip():
        raise ValueError("a figure needs a description: show(fig, alt='what it shows')")
    picture = png(fig)
    plt.close(fig)
    if is_interactive():
        data, metadata = {"text/html": image_tag(picture, alt)}, {}
    else:
        data = {"image/png": base64.b64encode(picture).decode()}
        metadata = {"image/png": {"alt": alt}}
    display({**data, "text/plain": f"[figure] {alt}"}, metadata=metadata, raw=True)


def is_interactive() -> bool:
    """Whether a person with a front end is there: a live kernel that no runner has told otherwise."""
    said = os.environ.get(INTERACTIVE_VARIABLE)
    if said in ("0", "1"):
        return said == "1"
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def png(fig: Figure) -> bytes:
    """The figure as PNG bytes, without the program's name and version."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def image_tag(picture: bytes, alt: str) -> str:
    """An HTML image that carries the picture and its description."""
    data = base64.b64encode(picture).decode()
    return (
        f'<img alt="{html.escape(alt, quote=True)}" style="max-width:100%;height:auto" '
        f'src="data:image/png;base64,{data}">'
    )
