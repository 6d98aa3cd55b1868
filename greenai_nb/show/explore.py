"""Panels for everybody, and sliders on the same function where a front end is there."""

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from matplotlib.figure import Figure

from greenai_nb.machine import is_interactive
from greenai_nb.show.figure import image_tag, png, show
from greenai_nb.show.freeze import freeze

Drawing = Callable[..., tuple[Figure, str]]

NO_LABELS: Mapping[str, str] = MappingProxyType({})

# Jupyter marks a widget whose kernel is gone. A slow drawing is said only after a while, so that a
# quick one does not flicker. The words beside a slider have the place that they need.
STYLE = """<style>
.greenai-explorer .widget-inline-hbox .widget-readout { max-width: none; }
.widget-html p.greenai-restarted { display: none; margin: 0; font-weight: bold; }
.jupyter-widgets-disconnected p.greenai-restarted { display: block; }
.jupyter-widgets-disconnected p.greenai-drawing { display: none; }
p.greenai-drawing { animation: greenai-appear 0s 0.4s both; margin: 0; }
@keyframes greenai-appear { from { visibility: hidden; } to { visibility: visible; } }
</style>"""
RESTARTED = (
    '<p class="greenai-restarted" role="alert">'
    "The kernel was restarted: run the cells above and this one again to move the sliders.</p>"
)
DRAWING = '<p class="greenai-drawing">drawing ...</p>'
FALLBACK = "[sliders] Run this cell to move them; the panels above show fixed settings."


def explore(
    draw: Drawing,
    panels: Sequence[Mapping[str, Any]],
    *,
    labels: Mapping[str, str] = NO_LABELS,
    **controls: Sequence[Any],
) -> None:
    """Show ``draw(**panel)`` for each panel, and then sliders that call the same function.

    ``draw`` returns a figure and its description; ``controls`` maps an argument to the values that
    its slider steps through, ``labels`` to the words beside it, with a unit; its name serves if there
    are none. The sliders start at the first panel, update one picture in place and say its
    description. They draw with a frozen copy of ``draw``, so that no later cell changes what they
    show. Without a front end there are only the panels.
    """
    for panel in panels:
        show(*draw(**panel))
    if is_interactive():
        _sliders(freeze(draw), dict(panels[0]), labels, controls)


def _sliders(
    draw: Drawing,
    start: Mapping[str, Any],
    labels: Mapping[str, str],
    controls: Mapping[str, Sequence[Any]],
) -> None:
    import ipywidgets
    from IPython.display import display

    sliders = {
        name: ipywidgets.SelectionSlider(
            options=[(_in_words(value), value) for value in values],
            value=start[name],
            description=labels.get(name, _in_words(name)),
            continuous_update=False,
            style={"description_width": "initial"},
            layout={"width": "auto", "max_width": "40em"},
        )
        for name, values in controls.items()
    }
    notice = ipywidgets.HTML(layout={"min_height": "28px"})  # a line, so that nothing moves
    picture, words = ipywidgets.HTML(), ipywidgets.HTML()

    def update(_change: object = None) -> None:
        notice.value = STYLE + RESTARTED + DRAWING
        try:
            with _no_figure_left():
                fig, alt = draw(**{**start, **{name: slider.value for name, slider in sliders.items()}})
                picture.value = image_tag(png(fig), alt)
            words.value = f'<p role="status">{html.escape(alt)}</p>'
        except Exception as error:
            words.value = f'<p role="alert">{html.escape(f"{type(error).__name__}: {error}")}</p>'
        notice.value = STYLE + RESTARTED

    for slider in sliders.values():
        slider.observe(update, "value")
    update()
    box = ipywidgets.VBox([*sliders.values(), notice, picture, words]).add_class("greenai-explorer")
    display({**box._repr_mimebundle_(), "text/plain": FALLBACK}, raw=True)


def _in_words(value: object) -> str:
    return str(value).replace("_", " ")


@contextmanager
def _no_figure_left() -> Iterator[None]:
    """Close all figures that were opened inside, also when a drawing stops half-way."""
    import matplotlib.pyplot as plt

    before = set(plt.get_fignums())
    try:
        yield
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
