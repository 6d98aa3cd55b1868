"""Fixed panels for everybody, and sliders on the same function if there is a front end."""

import html
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from matplotlib.figure import Figure

from greenai_nb.checks import nearest
from greenai_nb.machine import STEPS_MIME, is_interactive
from greenai_nb.show import steps
from greenai_nb.show.figure import image_tag, png, show
from greenai_nb.show.freeze import freeze

Drawing = Callable[..., tuple[Figure, str]]

NO_LABELS: Mapping[str, str] = MappingProxyType({})

# Jupyter marks a widget whose kernel is gone. The notice of a slow drawing appears after a while, so
# that a quick one does not flicker. The words beside a slider get as much room as they need.
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
    **controls: Iterable[Any],
) -> None:
    """Show ``draw(**panel)`` for each panel, and then sliders that call the same function.

    ``draw`` returns a figure and its description; ``controls`` maps an argument to the values that
    its slider steps through, ``labels`` to the words beside it, with a unit, or else its
    name. The sliders start at the first panel, update one picture in place and show its
    description. They draw with a frozen copy of ``draw``, so that no later cell changes what they
    show. Without a front end there are only the panels and, in a run that will be published, steps
    drawn in advance. Running the cell again frees what it showed before.

    Raises ``ValueError``, before anything is drawn, for panels that ``draw`` does not take, for
    sliders without steps, missing from the first panel, or without its value among their steps, and
    for labels without a slider.
    """
    _check_panels(draw, panels)
    sliders = {name: _values(name, values, panels[0]) for name, values in controls.items()}
    for name in labels.keys() - controls.keys():
        raise ValueError(f"there is no slider {name} to label. {nearest(name, controls)}")
    for panel in panels:
        show(*draw(**panel))
    words = {name: labels.get(name, _in_words(name)) for name in sliders}
    if is_interactive():
        _sliders(freeze(draw), panels[0], words, sliders)
    elif sliders and (home := steps.folder()):
        _steps_in_advance(draw, panels[0], words, sliders, home)


def _check_panels(draw: Drawing, panels: Sequence[Mapping[str, Any]]) -> None:
    if not panels:
        raise ValueError("explore needs a panel: a list with at least one dict of draw's arguments")
    for panel in panels:
        try:
            inspect.signature(draw).bind(**panel)
        except TypeError as error:
            raise ValueError(f"draw cannot draw the panel {dict(panel)}: {error}") from None


def _values(name: str, values: Iterable[Any], panel: Mapping[str, Any]) -> tuple[int, list[Any]]:
    """The index of the panel's value among a slider's distinct values, and these as Python's numbers."""
    if name not in panel:
        raise ValueError(f"the slider {name} starts at the first panel, which has {', '.join(panel)}")
    if not isinstance(values, Iterable):
        raise ValueError(f"the slider {name} steps through a list of values, got {values!r}")
    start, *found = (getattr(value, "tolist", lambda v=value: v)() for value in (panel[name], *values))
    for value in (start, *found):
        if not isinstance(value, str | int | float) or value != value:
            raise ValueError(f"the slider {name} steps through numbers and texts, got {value!r}")
    found = [*dict.fromkeys(found)]
    for place, value in enumerate(found):
        numbers = not isinstance(value, str) and not isinstance(start, str)
        if value == start or (numbers and math.isclose(value, start, abs_tol=1e-12)):
            return place, found
    raise ValueError(f"the slider {name} starts at {start!r}, which is not one of {found}")


def _steps_in_advance(
    draw: Drawing,
    start: Mapping[str, Any],
    labels: Mapping[str, str],
    controls: Mapping[str, tuple[int, list[Any]]],
    home: Path,
) -> None:
    from IPython.display import display

    values = {name: values for name, (_, values) in controls.items()}
    address, descriptions = steps.draw_all(draw, start, values, home)
    sliders = [
        {"label": labels[name], "start": place, "values": [*map(_in_words, values)]}
        for name, (place, values) in controls.items()
    ]
    index = {"folder": address, "sliders": sliders, "words": descriptions}
    display({STEPS_MIME: index, "text/plain": FALLBACK}, raw=True)


def _sliders(
    draw: Drawing,
    start: Mapping[str, Any],
    labels: Mapping[str, str],
    controls: Mapping[str, tuple[int, list[Any]]],
) -> None:
    import ipywidgets
    from IPython.display import display

    sliders = {
        name: ipywidgets.SelectionSlider(
            options=[(_in_words(value), value) for value in values],
            index=place,
            description=labels[name],
            continuous_update=False,
            style={"description_width": "initial"},
            layout={"width": "auto", "max_width": "40em"},
        )
        for name, (place, values) in controls.items()
    }
    notice = ipywidgets.HTML(layout={"min_height": "28px"})  # one line high, so that nothing moves
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
    _free_former(box)
    display({**box._repr_mimebundle_(), "text/plain": FALLBACK}, raw=True)


_shown: dict[str, tuple[str, list[Any]]] = {}


def _free_former(box: Any) -> None:
    """Close what an earlier run of this cell showed: a kernel keeps every widget until it is closed."""
    from IPython import get_ipython
    from ipywidgets import Widget

    shell: Any = get_ipython()
    with suppress(AttributeError, KeyError):  # there is no kernel
        request = shell.kernel.get_parent("shell")
        cell = request["metadata"].get("cellId") or request["content"]["code"]
        run, boxes = _shown.get(cell, ("", []))
        if run != request["header"]["msg_id"]:
            for part in [part for each in boxes for part in (*each.children, each)]:
                part.unobserve_all()
                for widget in (part, *part.trait_values().values()):
                    if isinstance(widget, Widget):
                        widget.close()
            boxes = []
        _shown[cell] = request["header"]["msg_id"], [*boxes, box]


def _in_words(value: object) -> str:
    return (f"{value:.12g}" if isinstance(value, float) else str(value)).replace("_", " ")


@contextmanager
def _no_figure_left() -> Iterator[None]:
    """Close all figures that were opened inside, even if a drawing fails half-way."""
    import matplotlib.pyplot as plt

    before = set(plt.get_fignums())
    try:
        yield
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
