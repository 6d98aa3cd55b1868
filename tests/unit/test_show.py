import matplotlib

matplotlib.use("agg")
import base64

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

from greenai_nb.show import figure
from greenai_nb.show.explore import explore
from greenai_nb.show.intervals import student_interval
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


def test_pictures_do_not_carry_the_programs_version():
    assert b"Matplotlib" not in figure.png(plt.figure())


def test_panels_are_shown_to_everybody(displayed, monkeypatch):
    monkeypatch.setenv(figure.INTERACTIVE_VARIABLE, "0")
    explore(lambda k: (plt.figure(), f"a picture of {k}"), [{"k": 1}, {"k": 2}], k=[1, 2, 3])
    assert [metadata["image/png"]["alt"] for _, metadata in displayed] == [
        "a picture of 1",
        "a picture of 2",
    ]


def test_sliders_redraw_in_place_and_say_errors(displayed, monkeypatch):
    monkeypatch.setenv(figure.INTERACTIVE_VARIABLE, "1")

    def draw(k):
        if k == 3:
            raise RuntimeError("three is <broken>")
        return plt.figure(), f"a picture of {k}"

    explore(draw, [{"k": 1}], k=[1, 2, 3])
    slider, picture, words = displayed[-1][0].children
    slider.value = 2
    assert 'alt="a picture of 2"' in picture.value and 'role="status"' in words.value
    slider.value = 3
    assert 'role="alert"' in words.value and "three is &lt;broken&gt;" in words.value
    assert 'alt="a picture of 2"' in picture.value


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
