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
same in both directions, so the target is unchanged. A mass never falls below ``MIN_MASS``, since zero
would stay zero. And ``normalize`` brings the sums back to one.

Loops run from zero over slices: numba then knows that no index is negative, and the compiler can
vectorize. For the same reason exp and log are polynomials here.

Source: the convexity bound is Jensen's; exp and log after Cody and Waite, *Software Manual for the
Elementary Functions* (1980).
"""

from typing import Any

import numpy as np
from numba import njit

LARGEST_STEP = 10.0
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
    return value * np.int32((np.int32(power) + np.int32(EXPONENT_BIAS)) << np.int32(MANTISSA)).view(
        np.float32
    )


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
def slopes(mass: Any, inverse: Any, ends: Any, direction: Any, out: Any) -> None:
    """g = sum_c p_c v_c - v_y of each image."""
    for start in range(0, len(out), TILE):
        stop = start + TILE
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
        along, slope = direction[label], out[ends[label] : ends[label + 1]]
        for image in range(len(slope)):
            slope[image] -= along


@njit(fastmath=True)
def total(numbers: Any) -> Any:
    """The sum of some numbers."""
    found = ZERO
    for place in range(len(numbers)):
        found += numbers[place]
    return found


@njit(fastmath=True, error_model="numpy")
def tile_change(mass: Any, inverse: Any, ends: Any, used: Any, powers: Any, growth: Any, start: int) -> Any:  # noqa: E501  # fmt: skip
    """The contribution of one tile of images to ``loss_change``."""
    stop, found = min(start + TILE, len(inverse)), ZERO
    scale, grown = inverse[start:stop], growth[start:stop]
    grown[:] = ZERO
    for place in range(len(used)):
        label = used[place]
        first, last = min(max(ends[label], start), stop), min(max(ends[label + 1], start), stop)
        found -= total(powers[place, first:last])
        row, power = mass[label, start:stop], powers[place, start:stop]
        for image in range(len(grown)):
            factor = fast_exp(power[image])
            power[image] = factor
            grown[image] += row[image] * (factor - ONE)
    return found + _log_growth(scale, grown)


@njit(fastmath=True, error_model="numpy")
def ray_change(mass: Any, inverse: Any, ends: Any, used: Any, direction: Any, shift: Any, powers: Any, growth: Any, start: int) -> Any:  # noqa: E501  # fmt: skip
    """``tile_change`` where the logit of class c moves by v_c s, ``direction`` times ``shift``."""
    stop, found, large, farthest = min(start + TILE, len(inverse)), ZERO, ZERO, np.abs(direction).max()
    scale, grown = inverse[start:stop], growth[start:stop]
    grown[:] = ZERO
    for image in range(len(grown)):
        large += ONE if farthest * abs(shift[image]) > SMALL else ZERO
    for place in range(len(used)):
        label, power, along = used[place], powers[place, start:stop], direction[used[place]]
        first, last = min(max(ends[label], start), stop), min(max(ends[label + 1], start), stop)
        found -= along * total(shift[first - start : last - start])
        row = mass[label, start:stop]
        if large > ZERO:
            for image in range(len(grown)):
                factor = fast_exp(along * shift[image])
                power[image] = factor
                grown[image] += row[image] * (factor - ONE)
        else:
            for image in range(len(grown)):
                x = along * shift[image]
                gain = x + x * x * (HALF + x * (SIXTH + x * TWENTY_FOURTH))
                power[image] = ONE + gain
                grown[image] += row[image] * gain
    return found + _log_growth(scale, grown)


@njit(fastmath=True, error_model="numpy")
def _log_growth(scale: Any, grown: Any) -> Any:
    found = ZERO
    for image in range(len(grown)):
        sum_after = max(ONE + scale[image] * grown[image], MIN_MASS)
        grown[image] = sum_after
        found += fast_log(sum_after)
    return found


@njit
def loss_change(mass: Any, inverse: Any, ends: Any, used: Any, powers: Any, growth: Any) -> float:
    """Change of the summed loss when the logits of the classes ``used`` move by ``powers``.

    Leaves the exponentials of the moves in ``powers`` and 1 + sum_c p_c (exp(d_c) - 1) in ``growth``.
    """
    found = 0.0
    for start in range(0, len(inverse), TILE):
        found += tile_change(mass, inverse, ends, used, powers, growth, start)
    return found


@njit(fastmath=True, error_model="numpy")
def commit(mass: Any, inverse: Any, used: Any, powers: Any, growth: Any) -> None:
    """Update the probabilities by the move that ``loss_change`` evaluated."""
    for image in range(len(inverse)):
        inverse[image] /= growth[image]
    for place in range(len(used)):
        row, power = mass[used[place]], powers[place]
        for image in range(len(inverse)):
            row[image] = max(row[image] * power[image], MIN_MASS)
