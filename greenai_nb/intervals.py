"""Means over seeds with their uncertainty, for bands in figures and verdicts on claims."""

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array

CONFIDENCE = 0.95


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
