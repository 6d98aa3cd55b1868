import ipywidgets
import matplotlib
import numpy as np

matplotlib.use("agg")
import matplotlib.pyplot as plt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.manager import start_new_kernel

from greenai_nb.machine import INTERACTIVE_VARIABLE
from greenai_nb.show.explore import _values, explore


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


def draw_nothing(k, colour="red"):
    raise AssertionError("nothing is drawn before all is checked")


@pytest.mark.parametrize("front_end", ["0", "1"])
@pytest.mark.parametrize(
    ("panels", "controls", "said"),
    [
        ([], {"k": [1]}, "needs a panel"),
        ([{}], {}, "missing a required argument: 'k'"),
        ([{"k": 1}, {"q": 1}], {"k": [1]}, "cannot draw the panel {'q': 1}"),
        ([{"k": 1}], {"k": []}, "starts at 1, which is not one of []"),
        ([{"k": 0.37}], {"k": np.linspace(0.1, 0.5, 5)}, "starts at 0.37"),
        ([{"k": "1"}], {"k": [1, 2]}, "starts at '1'"),
        ([{"k": float("nan")}], {"k": [float("nan")]}, "got nan"),
        ([{"k": None}], {"k": [None, 1]}, "got None"),
        ([{"k": 1}], {"k": [1, None]}, "got None"),
        ([{"k": 1}], {"k": [np.arange(3), 1]}, r"got [0, 1, 2]"),
        ([{"k": 1}], {"k": 5}, "a list of values, got 5"),
        ([{"k": 1}], {"k": [1], "labels": {"q": "size"}}, "there is no slider q to label"),
        ([{"k": 1}], {"k": [1], "colour": ["red"]}, "the slider colour starts at the first panel"),
    ],
)
def test_what_a_slider_cannot_do_is_said_before_the_first_picture(
    panels, controls, said, front_end, monkeypatch
):
    monkeypatch.setenv(INTERACTIVE_VARIABLE, front_end)
    with pytest.raises(ValueError) as raised:
        explore(draw_nothing, panels, **controls)
    assert said in str(raised.value)


@given(st.lists(st.integers() | st.floats(allow_nan=False), min_size=1), st.data())
def test_any_numbers_make_a_slider_that_starts_at_any_of_them(values, data):
    start = data.draw(st.sampled_from(values))
    place, steps = _values("k", values, {"k": start})
    assert len(set(steps)) == len(steps) and set(steps) == set(values)
    assert steps[place] == pytest.approx(start, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("start", "values", "words"),
    [
        (0.3, np.linspace(0.1, 0.5, 5), ["0.1", "0.2", "0.3", "0.4", "0.5"]),
        (np.int64(2), [1, 2, 2, 1], ["1", "2"]),
        (10, [10, 20 // 2, 20], ["10", "20"]),
        (True, [False, True], ["False", "True"]),
    ],
)
def test_steps_may_be_numpys_and_stand_twice(widgets, start, values, words):
    (slider,), *_ = widgets(lambda k: (plt.figure(), "a picture"), [{"k": start}], k=values)
    assert slider.value == pytest.approx(start) and [*slider._options_labels] == words


def test_a_cell_that_is_run_again_frees_what_it_showed(monkeypatch):
    monkeypatch.setenv(INTERACTIVE_VARIABLE, "1")
    manager, client = start_new_kernel()
    try:

        def run(code):
            said = []
            client.execute_interactive(code, output_hook=said.append, timeout=60)
            return "".join(message["content"].get("text", "") for message in said)

        run(
            "import matplotlib.pyplot as plt\nfrom ipywidgets.widgets import widget\n"
            "from greenai_nb.show import explore\ndraw = lambda k: (plt.figure(), 'a picture')"
        )
        counts = []
        for cell in ("twice", "twice", "twice", "once"):
            run("explore(draw, [{'k': 1}], k=[1, 2])\n" * (1 + (cell == "twice")) + f"# {cell}")
            counts.append(int(run("print(len(widget._instances))")))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert counts == [counts[0]] * 3 + [counts[0] * 3 // 2]
