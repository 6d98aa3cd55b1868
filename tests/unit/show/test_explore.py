import ipywidgets
import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import pytest

from greenai_nb.machine import INTERACTIVE_VARIABLE
from greenai_nb.show.explore import explore


def test_panels_are_shown_to_everybody(displayed, monkeypatch):
    monkeypatch.setenv(INTERACTIVE_VARIABLE, "0")
    explore(lambda k: (plt.figure(), f"a picture of {k}"), [{"k": 1}, {"k": 2}], k=[1, 2, 3])
    assert [metadata["image/png"]["alt"] for _, metadata in displayed] == [
        "a picture of 1",
        "a picture of 2",
    ]


@pytest.fixture
def widgets(displayed, monkeypatch):
    """Explore with a front end: gives the sliders, the notice, the picture and the words."""
    monkeypatch.setenv(INTERACTIVE_VARIABLE, "1")
    made, box = [], ipywidgets.VBox

    def vertical(children):
        made.append(children)
        return box(children)

    monkeypatch.setattr("ipywidgets.VBox", vertical)

    def start(*args, **controls):
        explore(*args, **controls)
        *sliders, notice, picture, words = made[-1]
        return sliders, notice, picture, words

    return start


def test_sliders_redraw_in_place_and_say_errors(widgets):
    def draw(k):
        fig = plt.figure()
        if k == 3:
            raise RuntimeError("three is <broken>")
        return fig, f"a picture of {k}"

    (slider,), _, picture, words = widgets(draw, [{"k": 1}], k=[1, 2, 3])
    slider.value = 2
    assert 'alt="a picture of 2"' in picture.value and 'role="status"' in words.value
    slider.value = 3
    assert 'role="alert"' in words.value and "three is &lt;broken&gt;" in words.value
    assert 'alt="a picture of 2"' in picture.value
    slider.value = 1
    assert 'role="status"' in words.value and 'alt="a picture of 1"' in picture.value


def test_sliders_leave_no_figure_open(widgets):
    def draw(k):
        fig = plt.figure()
        return {1: (fig, "one")}[k]

    open_before = plt.get_fignums()
    (slider,), *_ = widgets(draw, [{"k": 1}], k=[1, 2])
    slider.value = 2
    assert plt.get_fignums() == open_before


def test_sliders_carry_words(widgets):
    def draw(rule, size_mm):
        return plt.figure(), f"{rule} {size_mm}"

    (rule, size), *_ = widgets(
        draw,
        [{"rule": "by_layer", "size_mm": 1}],
        labels={"size_mm": "size, mm"},
        rule=["by_network", "by_layer"],
        size_mm=[1, 2],
    )
    assert (rule.description, size.description) == ("rule", "size, mm")
    assert rule.label == "by layer" and rule.value == "by_layer"


def test_a_slow_drawing_and_a_restarted_kernel_are_said(widgets):
    seen = []

    def draw(k):
        seen.append(notices[0].value if notices else "")
        return plt.figure(), "a picture"

    notices = []
    (slider,), notice, *_ = widgets(draw, [{"k": 1}], k=[1, 2])
    notice.observe(lambda change: seen.append(change.new), "value")
    slider.value = 2
    during, after = seen[-2:]
    assert "drawing ..." in during and "drawing ..." not in after
    assert ".jupyter-widgets-disconnected" in after and 'role="alert"' in after
    assert "run the cells above and this one again" in after


def test_without_the_widgets_a_reader_is_told_what_to_do(widgets, displayed):
    widgets(lambda k: (plt.figure(), "a picture"), [{"k": 1}], k=[1, 2])
    assert "Run this cell" in displayed[-1][0]["text/plain"]
