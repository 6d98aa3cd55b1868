"""How a cross-entropy changes when logits move, computed fast in single precision.

Image i has probabilities p_c. A move adds d_c to its logits, and its loss changes by

    log(1 + sum_c p_c (exp(d_c) - 1)) - d_y .

Cross-entropy is convex in the logits, so the change is never less than its linear part, which is s g
with g = sum_c p_c v_c - v_y when the logits move along a direction, d_c = s v_c: a proposal that the
linear part rejects is rejected, without any exponential.

Images are sorted by label, those of class c from ``ends[c]`` to ``ends[c + 1]``.
Probabilities are kept as numbers ``mass`` and one ``inverse`` for each image, p_c = mass_c inverse, so
that a move writes only the classes whose logits move. Three things keep rounding harmless. A move of a
logit by more than ``LARGEST_STEP`` is not tried, since 1 + p (exp(d) - 1) would cancel; the rule is the
same in both directions, so the target is unchanged, and the product of eight such numbers stays in
range. A mass never falls below ``MIN_MASS``, since zero would stay zero. And ``normalize`` brings the
sums back to one.

Loops run from zero over slices: numba then knows that no index is negative, and the compiler can
vectorize. For the same reason exp and log are polynomials here.

Source: the convexity bound is Jensen's; exp and log after Cody and Waite, *Software Manual for the
Elementary Functions* (1980).
"""

from typing import Any

import numpy as np
from numba import njit

LARGEST_STEP = 10.0
LEAST_GROWTH = np.float32(np.exp(-LARGEST_STEP))
MIN_MASS = np.float32(1e-30)
TILE = 2048
SMALL = np.float32(0.1)  # up to here four terms of the exponential series err by 1e-7
ONE, ZERO = np.float32(1), np.float32(0)
HALF, SIXTH, TWENTY_FOURTH = np.float32(1 / 2), np.float32(1 / 6), np.float32(1 / 24)
LOG2, INVERSE_LOG2 = np.float32(0.69314718), np.float32(1.44269504)
ROOT_HALF_BITS, MANTISSA, EXPONENT_BIAS = 0x3F3504F3, 23, 127


@njit(fastmath=True, error_model="numpy")
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
    exponent = np.int32(power) + np.int32(EXPONENT_BIAS)
    return value * np.int32(exponent << np.int32(MANTISSA)).view(np.float32)


@njit(fastmath=True, error_model="numpy")
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


@njit(fastmath=True, error_model="numpy")
def normalize(mass: Any, inverse: Any) -> None:
    """Set the inverse of each image's sum of masses."""
    inverse[:] = ZERO
    for label in range(mass.shape[0]):
        row = mass[label]
        for image in range(len(inverse)):
            inverse[image] += row[image]
    for image in range(len(inverse)):
        inverse[image] = ONE / inverse[image]


@njit(fastmath=True, error_model="numpy")
def slopes(mass: Any, inverse: Any, ends: Any, direction: Any, out: Any, start: int) -> None:
    """g = sum_c p_c v_c - v_y of each image of one tile."""
    stop = min(start + TILE, len(inverse))
    slope, scale = out[start:stop], inverse[start:stop]
    slope[:] = ZERO
    for label in range(len(direction)):
        along = direction[label]
        if along != ZERO:
            row = mass[label, start:stop]
            for image in range(len(slope)):
                slope[image] += row[image] * along
    for image in range(len(slope)):
        slope[image] *= scale[image]
    for label in range(len(direction)):
        first, last = _of_label(ends, label, start, stop)
        some, along = slope[first:last], direction[label]
        for image in range(len(some)):
            some[image] -= along


@njit
def _of_label(ends: Any, label: int, start: int, stop: int) -> Any:
    """Where the images of a label begin and end in a tile."""
    first, last = min(max(ends[label], start), stop), min(max(ends[label + 1], start), stop)
    return first - start, last - start


@njit(fastmath=True)
def total(numbers: Any) -> Any:
    """The sum of some numbers."""
    found = ZERO
    for place in range(len(numbers)):
        found += numbers[place]
    return found


@njit(fastmath=True)
def _ray(directions: Any, label: int, shift: Any, start: int, stop: int) -> Any:
    """A number and an array whose product is how far the logit of a class moves, sum_q v_qc s_q."""
    if len(shift) == 1:
        return directions[0, label], shift[0, start:stop]
    moves = np.zeros(stop - start, np.float32)
    for q in range(len(shift)):
        along, row = directions[q, label], shift[q, start:stop]
        if along != ZERO:
            for image in range(len(moves)):
                moves[image] += along * row[image]
    return ONE, moves


@njit(fastmath=True, error_model="numpy")
def _small_gain(x: Any) -> Any:
    """exp(x) - 1 to 1e-7 of x, for |x| up to ``SMALL``."""
    return x + x * x * (HALF + x * (SIXTH + x * TWENTY_FOURTH))


@njit(fastmath=True, error_model="numpy")
def tile_change(mass: Any, inverse: Any, ends: Any, used: Any, directions: Any, shift: Any, small: bool, growth: Any, start: int) -> Any:  # noqa: E501  # fmt: skip
    """Change of the summed loss of a tile, when the logits of the classes ``used`` move.

    The logit of class c moves by sum_q v_qc s_q, ``directions`` times ``shift``; ``small`` says that
    none moves by more than ``SMALL``. Leaves 1 + sum_c p_c (exp(d_c) - 1) in ``growth``. Exponentials
    are not kept, since computing them again is quicker than memory.
    """
    stop, found = min(start + TILE, len(inverse)), ZERO
    scale, grown = inverse[start:stop], growth[start:stop]
    grown[:] = ZERO
    for label in used:
        along, moves = _ray(directions, label, shift, start, stop)
        row, (first, last) = mass[label, start:stop], _of_label(ends, label, start, stop)
        found -= along * total(moves[first:last])
        if small:
            for image in range(len(grown)):
                grown[image] += row[image] * _small_gain(along * moves[image])
        else:
            for image in range(len(grown)):
                grown[image] += row[image] * (fast_exp(along * moves[image]) - ONE)
    return found + _log_growth(scale, grown)


@njit(fastmath=True, error_model="numpy")
def _log_growth(scale: Any, grown: Any) -> Any:
    """The sum of the logs of the images' growth, by the logarithm of the product of every eight."""
    for image in range(len(grown)):
        grown[image] = max(ONE + scale[image] * grown[image], LEAST_GROWTH)
    eighth, found = len(grown) // 8, ZERO
    parts, rest = grown[: 8 * eighth].reshape(8, eighth), grown[8 * eighth :]
    for image in range(eighth):
        product = ONE
        for part in range(8):
            product *= parts[part, image]
        found += fast_log(product)
    for image in range(len(rest)):
        found += fast_log(rest[image])
    return found


@njit(fastmath=True, error_model="numpy")
def commit_tile(mass: Any, inverse: Any, used: Any, directions: Any, shift: Any, small: bool, growth: Any, start: int) -> None:  # noqa: E501  # fmt: skip
    """Update the probabilities of one tile by the move that ``tile_change`` evaluated."""
    stop = min(start + TILE, len(inverse))
    scale, grown = inverse[start:stop], growth[start:stop]
    for image in range(len(scale)):
        scale[image] /= grown[image]
    for label in used:
        along, moves = _ray(directions, label, shift, start, stop)
        row = mass[label, start:stop]
        if small:
            for image in range(len(row)):
                row[image] = max(row[image] + row[image] * _small_gain(along * moves[image]), MIN_MASS)
        else:
            for image in range(len(row)):
                row[image] = max(row[image] * fast_exp(along * moves[image]), MIN_MASS)


@njit
def loss_change(mass: Any, inverse: Any, ends: Any, used: Any, directions: Any, shift: Any, small: bool, growth: Any) -> float:  # noqa: E501  # fmt: skip
    """Change of the summed loss of all tiles."""
    found = 0.0
    for start in range(0, len(inverse), TILE):
        found += tile_change(mass, inverse, ends, used, directions, shift, small, growth, start)
    return found


@njit
def commit(mass: Any, inverse: Any, used: Any, directions: Any, shift: Any, small: bool, growth: Any) -> None:  # noqa: E501  # fmt: skip
    """Update the probabilities by the move that ``loss_change`` evaluated."""
    for start in range(0, len(inverse), TILE):
        commit_tile(mass, inverse, used, directions, shift, small, growth, start)
