import numpy as np
import pytest
from scipy import stats

from greenai_nb.intervals import bootstrap_interval, student_interval, welch_interval


def test_the_interval_is_students_and_one_value_is_exact():
    sample = np.random.default_rng(0).random((4, 3))
    mean, low, high = student_interval(sample)
    known = stats.t.interval(0.95, 3, sample.mean(0), stats.sem(sample))
    assert np.allclose(mean, sample.mean(0)) and np.allclose([low, high], known)
    assert [float(end[0]) for end in student_interval(np.array([[2.0]]))] == [2.0, 2.0, 2.0]


def test_two_samples_differ_by_welchs_interval():
    ours, theirs = np.array([3.0, 5.0, 10.0]), np.array([1.0, 2.0, 2.5, 4.0])
    v, w = ours.var(ddof=1) / 3, theirs.var(ddof=1) / 4
    freedom = (v + w) ** 2 / (v**2 / 2 + w**2 / 3)
    half = stats.t.ppf(0.975, freedom) * (v + w) ** 0.5
    mean = 6 - 2.375
    assert welch_interval(ours, theirs) == pytest.approx((mean, mean - half, mean + half))
    mean, low, high = student_interval(theirs)
    assert welch_interval(ours[:1], theirs) == pytest.approx((3 - mean, 3 - high, 3 - low))
    assert welch_interval(ours[:1], theirs[:1]) == (2, 2, 2)


def test_the_bootstrap_is_that_of_another_library_and_leaves_out_what_is_not_finite():
    sample = np.random.default_rng(1).exponential(size=30)
    ends = bootstrap_interval(
        lambda drawn: sample[drawn].mean(1), len(sample), 20_000, np.random.default_rng(0)
    )
    known = stats.bootstrap((sample,), np.mean, n_resamples=20_000, method="percentile", rng=2)
    assert np.allclose(ends, known.confidence_interval, rtol=0.02)
    again = bootstrap_interval(
        lambda drawn: np.where(drawn[:, 0] == 0, np.nan, 1.0), 4, 100, np.random.default_rng(0)
    )
    assert again == (1.0, 1.0)
