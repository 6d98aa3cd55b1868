"""Panels for everybody, and sliders on the same function where a front end is there."""

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from greenai_nb.show.figure import image_tag, is_interactive, png, show

Drawing = Callable[..., tuple[Figure, str]]


def explore(draw: Drawing, panels: Sequence[Mapping[str, Any]], **controls: Sequence[Any]) -> None:
    """Show ``draw(**panel)`` for each panel, and then sliders that call the same function.

    ``draw`` returns a figure and its description; ``controls`` maps an argument to the values that
    its slider steps through. The sliders start at the first panel, update one picture in place and
    say its description; without a front end there are only the panels.
    """
    for panel in panels:
        show(*draw(**panel))
    if is_interactive():
        _sliders(draw, dict(panels[0]), controls)


def _sliders(draw: Drawing, start: dict[str, Any], controls: Mapping[str, Sequence[Any]]) -> None:
    import ipywidgets
    import matplotlib.pyplot as plt
    from IPython.display import display

    sliders = {
        name: ipywidgets.SelectionSlider(
            options=list(values),
            value=start[name],
            description=name,
            continuous_update=False,
            style={"description_width": "initial"},
        )
        for name, values in controls.items()
    }
    picture, words = ipywidgets.HTML(), ipywidgets.HTML()

    def update(_change: object = None) -> None:
        values = {**start, **{name: slider.value for name, slider in sliders.items()}}
        try:
            fig, alt = draw(**values)
        except Exception as error:
            words.value = f'<p role="alert">{html.escape(f"{type(error).__name__}: {error}")}</p>'
            return
        picture.value = image_tag(png(fig), alt)
        words.value = f'<p role="status">{html.escape(alt)}</p>'
        plt.close(fig)

    for slider in sliders.values():
        slider.observe(update, "value")
    update()
    display(ipywidgets.VBox([*sliders.values(), picture, words]))
