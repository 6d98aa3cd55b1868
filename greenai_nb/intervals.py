"""Intervals at 95 %: of a mean over seeds, and of any statistic by resampling."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray as Array

CONFIDENCE = 0.95
MIDDLE = (0.025, 0.975)


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its 95 % interval, from ``count`` repetitions.

    ``doubt`` says why nothing can be concluded from it, such as a busy machine; it is empty otherwise.
    """

    value: float
    low: float
    high: float
    count: int
    doubt: str = ""


def student_interval(
    repetitions: Float[Array, "count *shape"],
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Mean over the first axis, and the ends of its Student interval at 95 %.

    mean -+ t_{n-1} s / sqrt(n), for n independent repetitions with sample deviation s; a single one
    is taken as exact.
    """
    sample = np.asarray(repetitions, float)
    mean = sample.mean(0)
    if len(sample) == 1:
        return mean, mean, mean
    from scipy.stats import t

    quantile = t.ppf((1 + CONFIDENCE) / 2, len(sample) - 1)
    half = quantile * sample.std(0, ddof=1) / math.sqrt(len(sample))
    return mean, mean - half, mean + half


def welch_interval(ours: Float[Array, "n_1"], theirs: Float[Array, "n_2"]) -> tuple[float, float, float]:
    """Difference of the means of two independent samples, and the ends of its interval at 95 %.

    mean_1 - mean_2 -+ t_nu sqrt(v_1 + v_2), with v = s^2 / n of each sample and Welch's degrees of
    freedom nu = (v_1 + v_2)^2 / (v_1^2 / (n_1 - 1) + v_2^2 / (n_2 - 1)); a sample of one is taken as
    exact. Source: Welch (1947).
    """
    difference = float(np.mean(ours) - np.mean(theirs))
    if min(len(ours), len(theirs)) == 1:
        half = sum(float(high - mean) for mean, _, high in map(student_interval, (ours, theirs)))
        return difference, difference - half, difference + half
    from scipy.stats import ttest_ind

    interval = ttest_ind(ours, theirs, equal_var=False).confidence_interval(CONFIDENCE)
    return difference, float(interval.low), float(interval.high)


def bootstrap_interval(
    statistic: Callable[[Int[Array, "resamples count"]], Float[Array, " resamples"]],
    count: int,
    resamples: int,
    generator: np.random.Generator,
) -> tuple[float, float]:
    """Ends of the middle 95 % of a statistic over samples that are drawn with replacement.

    ``statistic`` takes the indices of all samples, one sample of ``count`` indices a row; samples for
    which it is not finite are left out. Source: Efron and Tibshirani, *An Introduction to the Bootstrap*
    (1993), chapter 13.
    """
    values = statistic(generator.integers(0, count, (resamples, count)))
    low, high = np.quantile(values[np.isfinite(values)], MIDDLE).tolist()
    return low, high
