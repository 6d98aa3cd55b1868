"""Steps drawn in advance: a picture for each combination, or an error that names the explorer."""

import itertools

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from greenai_nb.machine import INTERACTIVE_VARIABLE, STEPS_MIME, STEPS_VARIABLE
from greenai_nb.show import steps
from greenai_nb.show.explore import explore


def draw(size, colour):
    fig, ax = plt.subplots(figsize=(2, 1))
    ax.plot([0, size], color=colour)
    return fig, f"a {colour} line to {size}"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(INTERACTIVE_VARIABLE, "0")
    monkeypatch.setenv(STEPS_VARIABLE, str(tmp_path / "steps" / "01_lines"))
    monkeypatch.setattr(steps, "_numbers", itertools.count(1))
    return tmp_path / "steps" / "01_lines"


def test_every_combination_is_a_picture_with_its_words(home, displayed):
    open_before, panels = plt.get_fignums(), [{"size": 2, "colour": "red"}]
    explore(draw, panels, labels={"size": "size, mm"}, size=[1, 2], colour=["red", "blue"])
    index = displayed[-1][0][STEPS_MIME]
    assert index["folder"] == "steps/01_lines/1"
    assert index["sliders"] == [
        {"label": "size, mm", "start": 1, "values": ["1", "2"]},
        {"label": "colour", "start": 0, "values": ["red", "blue"]},
    ]
    expected = [f"a {colour} line to {size}" for size in (1, 2) for colour in ("red", "blue")]
    assert index["words"] == expected
    assert sorted(path.name for path in (home / "1").iterdir()) == [f"{n}.png" for n in range(4)]
    reds = [np.asarray(Image.open(home / f"1/{n}.png").convert("RGB"))[..., 0].mean() for n in range(4)]
    assert reds[0] > reds[1] and reds[2] > reds[3]
    assert plt.get_fignums() == open_before


def test_a_second_explorer_has_a_folder_of_its_own(home, displayed):
    for _ in range(2):
        explore(draw, [{"size": 1, "colour": "red"}], size=[1])
    assert sorted(path.name for path in home.iterdir()) == ["1", "2"]


def test_too_many_steps_are_an_error_with_name_and_count(home, displayed):
    with pytest.raises(ValueError, match=r"the explorer of draw\(size, colour\) has 62 steps"):
        explore(draw, [{"size": 1, "colour": "red"}], size=range(31), colour=["red", "blue"])
    assert not home.exists()


def test_too_large_a_picture_is_an_error(home, displayed, monkeypatch):
    monkeypatch.setattr(steps, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match=r"draws \d+ bytes at \(1,\), more than 100"):
        explore(draw, [{"size": 1, "colour": "red"}], size=[1])


def test_without_a_folder_nothing_is_drawn_in_advance(home, displayed, monkeypatch):
    monkeypatch.delenv(STEPS_VARIABLE)
    explore(draw, [{"size": 1, "colour": "red"}], size=[1, 2])
    assert len(displayed) == 1 and not home.exists()
