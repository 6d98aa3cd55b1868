import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

from greenai_nb.intervals import student_interval
from greenai_nb.show.lines import TEXT_HEIGHT, band, label_ends


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


def test_a_band_is_the_mean_and_the_interval_over_seeds():
    _, ax = plt.subplots()
    runs = np.array([[1.0, 4.0], [3.0, 4.0]])
    band(ax, [0, 1], runs, "runs", "black", "o")
    mean, low, high = student_interval(runs)
    assert ax.lines[0].get_ydata().tolist() == mean.tolist()
    edges = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (edges.min(), edges.max()) == (low.min(), high.max())
