"""What a move along one direction of the logits does to a cross-entropy, in single precision and fast.

Image i has probabilities p_c. A move adds s_i v_c to its logits, with a number s_i for each image and
one v_c for each class. Its loss then changes by

    log(1 + sum_c p_c (exp(s_i v_c) - 1)) - s_i v_y .

Cross-entropy is convex in the logits, so the change is never less than its linear part s_i g_i with
g_i = sum_c p_c v_c - v_y: a proposal that the linear part rejects is rejected, without any exponential.

Probabilities are kept as numbers ``mass`` and one ``inverse`` for each image, p_c = mass_c inverse, so
that a move writes only the classes with v_c != 0. Three things keep rounding harmless. A move of a logit
by more than ``LARGEST_STEP`` is not tried, since 1 + p (exp(s v) - 1) would cancel; the rule is the same
in both directions, so the chain keeps its law. A mass never falls below ``LEAST_MASS``, since zero would
stay zero. And ``normalize`` brings the sums back to one.

Loops run from zero over slices: numba then knows that no index is negative, and the compiler fills
registers. For the same reason exp and log are polynomials here.

Source: the convexity bound is Jensen's; exp and log after Cody and Waite, *Software Manual for the
Elementary Functions* (1980).
"""

from typing import Any

import numpy as np
from numba import njit

LARGEST_STEP = 10.0
LEAST_MASS = np.float32(1e-30)
TILE = 2048
ONE, ZERO = np.float32(1), np.float32(0)
LOG2, INVERSE_LOG2 = np.float32(0.69314718), np.float32(1.44269504)
ROOT_HALF_BITS, MANTISSA, EXPONENT_BIAS = 0x3F3504F3, 23, 127


@njit(cache=True, fastmath=True, error_model="numpy")
def fast_exp(x: Any) -> Any:
    """exp(x) to 4e-7 of its value, for |x| < 80: a power of two times a polynomial."""
    power = np.floor(x * INVERSE_LOG2 + np.float32(0.5))
    rest = x - power * LOG2
    value = np.float32(1 / 720)
    value = value * rest + np.float32(1 / 120)
    value = value * rest + np.float32(1 / 24)
    value = value * rest + np.float32(1 / 6)
    value = value * rest + np.float32(0.5)
    value = value * rest + ONE
    value = value * rest + ONE
    return value * np.int32((np.int32(power) + np.int32(EXPONENT_BIAS)) << np.int32(MANTISSA)).view(
        np.float32
    )


@njit(cache=True, fastmath=True, error_model="numpy")
def fast_log(x: Any) -> Any:
    """log(x) to 2e-7, for positive x: the exponent's part and a series in (m - 1) / (m + 1)."""
    bits = np.float32(x).view(np.int32)
    power = (bits - np.int32(ROOT_HALF_BITS)) >> np.int32(MANTISSA)
    mantissa = np.int32(bits - (power << np.int32(MANTISSA))).view(np.float32)
    ratio = (mantissa - ONE) / (mantissa + ONE)
    square = ratio * ratio
    series = np.float32(1 / 7) + square * np.float32(1 / 9)
    series = ONE + square * (np.float32(1 / 3) + square * (np.float32(1 / 5) + square * series))
    return np.float32(power) * LOG2 + np.float32(2) * ratio * series


@njit(cache=True, fastmath=True, error_model="numpy")
def normalize(mass: Any, inverse: Any) -> None:
    """Set the inverse of each image's sum of masses."""
    inverse[:] = ZERO
    for label in range(mass.shape[0]):
        row = mass[label]
        for image in range(len(inverse)):
            inverse[image] += row[image]
    for image in range(len(inverse)):
        inverse[image] = ONE / inverse[image]


@njit(cache=True, fastmath=True, error_model="numpy")
def slopes(mass: Any, inverse: Any, direction: Any, at_label: Any, used: Any, out: Any) -> None:
    """g = sum_c p_c v_c - v_y of each image; ``used`` are the classes with v_c != 0."""
    for start in range(0, len(out), TILE):
        stop = start + TILE
        slope, scale, target = out[start:stop], inverse[start:stop], at_label[start:stop]
        slope[:] = ZERO
        for label in used:
            row, along = mass[label, start:stop], direction[label]
            for image in range(len(slope)):
                slope[image] += row[image] * along
        for image in range(len(slope)):
            slope[image] = slope[image] * scale[image] - target[image]


@njit(cache=True, fastmath=True, error_model="numpy")
def _tile_change(mass: Any, inverse: Any, shift: Any, direction: Any, at_label: Any, used: Any, powers: Any, growth: Any, start: int) -> Any:  # noqa: E501  # fmt: skip
    stop = start + TILE
    shifts, scale, target = shift[start:stop], inverse[start:stop], at_label[start:stop]
    grown, total = growth[start:stop], ZERO
    grown[:] = ZERO
    for place in range(len(used)):
        row, power = mass[used[place], start:stop], powers[place, start:stop]
        along = direction[used[place]]
        for image in range(len(grown)):
            factor = fast_exp(shifts[image] * along)
            power[image] = factor
            grown[image] += row[image] * (factor - ONE)
    for image in range(len(grown)):
        sum_after = max(ONE + scale[image] * grown[image], LEAST_MASS)
        grown[image] = sum_after
        total += fast_log(sum_after) - shifts[image] * target[image]
    return total


@njit(cache=True)
def loss_change(mass: Any, inverse: Any, shift: Any, direction: Any, at_label: Any, used: Any, powers: Any, growth: Any) -> float:  # noqa: E501  # fmt: skip
    """Change of the summed loss; leaves exp(s v_c) in ``powers`` and the sums in ``growth``."""
    total = 0.0
    for start in range(0, len(shift), TILE):
        total += _tile_change(mass, inverse, shift, direction, at_label, used, powers, growth, start)
    return total


@njit(cache=True, fastmath=True, error_model="numpy")
def commit(mass: Any, inverse: Any, used: Any, powers: Any, growth: Any) -> None:
    """Write the move that ``loss_change`` looked at into the probabilities."""
    for image in range(len(inverse)):
        inverse[image] /= growth[image]
    for place in range(len(used)):
        row, power = mass[used[place]], powers[place]
        for image in range(len(inverse)):
            row[image] = max(row[image] * power[image], LEAST_MASS)
