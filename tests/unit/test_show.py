import ipywidgets
import matplotlib

matplotlib.use("agg")
import base64
import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from greenai_nb.intervals import student_interval
from greenai_nb.show import figure
from greenai_nb.show.explore import explore
from greenai_nb.show.lines import TEXT_HEIGHT, label_ends


def test_a_published_figure_is_a_png_with_its_description(displayed, monkeypatch):
    monkeypatch.setenv(figure.INTERACTIVE_VARIABLE, "0")
    fig = plt.figure()
    figure.show(fig, 'a line that says "up" & <away>')
    ((data, metadata),) = displayed
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert metadata["image/png"]["alt"] == 'a line that says "up" & <away>'
    assert data["text/plain"].startswith("[figure] a line") and "text/html" not in data
    assert not plt.fignum_exists(fig.number)


def test_a_live_figure_is_html_with_its_description_escaped(displayed, monkeypatch):
    monkeypatch.setenv(figure.INTERACTIVE_VARIABLE, "1")
    figure.show(plt.figure(), 'says "up" & <away>')
    assert 'alt="says &quot;up&quot; &amp; &lt;away&gt;"' in displayed[0][0]["text/html"]


def test_a_figure_without_a_description_is_refused():
    with pytest.raises(ValueError, match="needs a description"):
        figure.show(plt.figure(), "  ")


def test_pictures_are_opaque_and_do_not_carry_the_programs_version():
    picture = figure.png(plt.figure(figsize=(2, 1), dpi=30))
    assert b"Matplotlib" not in picture
    opened = Image.open(io.BytesIO(picture))
    assert opened.mode == "RGB" and opened.size == (200, 100)


def test_panels_are_shown_to_everybody(displayed, monkeypatch):
    monkeypatch.setenv(figure.INTERACTIVE_VARIABLE, "0")
    explore(lambda k: (plt.figure(), f"a picture of {k}"), [{"k": 1}, {"k": 2}], k=[1, 2, 3])
    assert [metadata["image/png"]["alt"] for _, metadata in displayed] == [
        "a picture of 1",
        "a picture of 2",
    ]


@pytest.fixture
def widgets(displayed, monkeypatch):
    """Explore with a front end: gives the sliders, the notice, the picture and the words."""
    monkeypatch.setenv(figure.INTERACTIVE_VARIABLE, "1")
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


def test_the_interval_is_students_and_one_value_is_exact():
    sample = np.random.default_rng(0).random((4, 3))
    mean, low, high = student_interval(sample)
    known = stats.t.interval(0.95, 3, sample.mean(0), stats.sem(sample))
    assert np.allclose(mean, sample.mean(0)) and np.allclose([low, high], known)
    assert [float(end[0]) for end in student_interval(np.array([[2.0]]))] == [2.0, 2.0, 2.0]


def test_labels_at_line_ends_do_not_touch():
    _, ax = plt.subplots()
    ax.plot([0, 1], [0, 1])
    label_ends(ax, dict.fromkeys("abc", (1, 1.0, "black")))
    heights = sorted(text.get_position()[1] for text in ax.texts)
    assert np.diff(heights).min() >= TEXT_HEIGHT - 1e-9


def test_the_label_of_a_line_that_leaves_the_axes_stays_at_their_edge():
    _, ax = plt.subplots()
    ax.set(ylim=(1, 10), yscale="log")
    label_ends(ax, {"far above": (1, 1e9, "black"), "far below": (1, 1e-9, "black")})
    heights = [text.get_position()[1] for text in ax.texts]
    assert sorted(heights) == [0.0, 1.0]
