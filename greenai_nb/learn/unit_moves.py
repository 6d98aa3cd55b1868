"""The moves of ``greenai_nb.learn.unit_chain``, compiled: propose, bound, decide, write.

A block of moves stays with one unit. For its hidden weights the direction of the logits is the row of
its outgoing weights, and the slope of every image's loss along it is made once; a move is rejected by a
pass over one pixel, or goes on to the exact change. For an outgoing weight the direction is one class.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from greenai_nb.learn.softmax_updates import LARGEST_STEP, commit, loss_change, normalize, slopes
from greenai_nb.theory.prior import EXPONENT, TAIL

HIDDEN, OUTPUT = 0, 1
BLOCK = 32
DECADES = 1.0
WHITE, ZERO = np.float32(255), np.float32(0)
MOVE = np.dtype(
    [
        ("layer", "i8"),
        ("unit", "i8"),
        ("column", "i8"),
        ("change", "f4"),
        ("log_uniform", "f8"),
        ("log_prior_ratio", "f8"),
        ("loss_change", "f8"),
        ("operations", "i8"),
        ("accepted", "?"),
    ]
)


@njit(cache=True)
def _propose(weight: float, scale: float, step: float, redraw_share: float, generator: Any) -> Any:
    """A change of a weight, and the log of the prior's ratio times the proposal's.

    A step is normal with a size spread over two decades, hence symmetric. A redraw inverts the
    distribution function of the prior (1 + |w| / tau)^-4, whose ratio then cancels.
    """
    if generator.random() < redraw_share:
        tail = 1 - generator.random()
        size = scale * (tail ** (-1 / TAIL) - 1)
        new = size if generator.random() < 0.5 else -size
        return np.float32(new - weight), 0.0
    size = step * 10 ** generator.uniform(-DECADES, DECADES)
    change = np.float32(size * generator.standard_normal())
    before, after = abs(weight) / scale, abs(weight + change) / scale
    return change, EXPONENT * (math.log1p(before) - math.log1p(after))


@njit(cache=True, fastmath=True)
def _bound(activation: Any, slope: Any, pixel: Any, change: Any) -> Any:
    """The linear part of the loss change when a hidden weight moves; the change is never less."""
    total = ZERO
    for image in range(len(slope)):
        before = activation[image]
        after = before + change * np.float32(pixel[image])
        total += slope[image] * (max(after, ZERO) - max(before, ZERO))
    return total


@njit(cache=True, fastmath=True)
def _shifts(activation: Any, pixel: Any, change: Any, out: Any) -> None:
    """How far the unit's output moves in each image."""
    for image in range(len(out)):
        before = activation[image]
        after = before + change * np.float32(pixel[image])
        out[image] = max(after, ZERO) - max(before, ZERO)


@njit(cache=True, fastmath=True)
def _dot(x: Any, y: Any, z: Any) -> Any:
    total = ZERO
    for image in range(len(x)):
        total += x[image] * y[image] * z[image]
    return total


@njit(cache=True)
def _hidden_block(unit: int, hidden: Any, direction: Any, pixels: Any, labels: Any, pixel_law: Any, activation: Any, mass: Any, inverse: Any, temper: float, scale: float, step: float, redraw_share: float, generator: Any, space: Any, moves: Any) -> None:  # noqa: E501  # fmt: skip
    """Moves of the weights into one unit, for which its outgoing weights are the direction."""
    slope, shift, growth, at_label, powers = space[0], space[1], space[2], space[3], space[4:]
    used = np.flatnonzero(direction)
    for image in range(len(labels)):
        at_label[image] = direction[labels[image]]
    slopes(mass, inverse, direction, at_label, used, slope)
    largest = np.abs(direction).max()
    for move in moves:
        pixel = np.searchsorted(pixel_law, generator.random())
        change, log_ratio = _propose(hidden[pixel], scale, step, redraw_share, generator)
        log_uniform = math.log(1 - generator.random())
        move.layer, move.unit, move.column, move.change = HIDDEN, unit, pixel, change
        move.operations = 2 * len(labels)
        move.log_uniform, move.log_prior_ratio, move.loss_change = log_uniform, log_ratio, np.nan
        if abs(change) * largest > LARGEST_STEP:
            continue
        pixel_change = change / WHITE
        if log_uniform >= log_ratio - temper * _bound(activation, slope, pixels[pixel], pixel_change):
            continue
        _shifts(activation, pixels[pixel], pixel_change, shift)
        difference = loss_change(mass, inverse, shift, direction, at_label, used, powers, growth)
        move.loss_change = difference
        move.operations += (1 + len(used)) * len(labels)
        if log_uniform >= log_ratio - temper * difference:
            continue
        move.accepted = True
        commit(mass, inverse, used, powers, growth)
        hidden[pixel] += change
        column = pixels[pixel]
        for image in range(len(labels)):
            activation[image] += pixel_change * np.float32(column[image])
        slopes(mass, inverse, direction, at_label, used, slope)


@njit(cache=True)
def _output_block(unit: int, direction: Any, labels: Any, activation: Any, mass: Any, inverse: Any, temper: float, scale: float, step: float, redraw_share: float, generator: Any, space: Any, moves: Any) -> None:  # noqa: E501  # fmt: skip
    """Moves of the weights out of one unit, each of which moves the logits of one class."""
    shift, growth, at_label, powers = space[1], space[2], space[3], space[4:]
    largest, classes = ZERO, len(direction)
    of_label, slope, fresh = np.zeros(classes), np.zeros(classes), np.zeros(classes, np.bool_)
    for image in range(len(labels)):
        shift[image] = max(activation[image], ZERO)
        largest = max(largest, shift[image])
        of_label[labels[image]] += shift[image]
        at_label[image] = ZERO
    along, used = np.zeros(classes, np.float32), np.zeros(1, np.int64)
    for move in moves:
        label = generator.integers(0, classes)
        change, log_ratio = _propose(direction[label], scale, step, redraw_share, generator)
        log_uniform = math.log(1 - generator.random())
        move.layer, move.unit, move.column, move.change = OUTPUT, unit, label, change
        move.log_uniform, move.log_prior_ratio, move.loss_change = log_uniform, log_ratio, np.nan
        if abs(change) * largest > LARGEST_STEP:
            continue
        if not fresh[label]:
            slope[label] = _dot(shift, mass[label], inverse) - of_label[label]
            fresh[label] = True
        if log_uniform >= log_ratio - temper * change * slope[label]:
            continue
        move.operations = 2 * len(labels)
        along[label], used[0] = change, label
        difference = loss_change(mass, inverse, shift, along, at_label, used, powers, growth)
        difference -= change * of_label[label]
        move.loss_change = difference
        if log_uniform >= log_ratio - temper * difference:
            continue
        move.accepted = True
        commit(mass, inverse, used, powers, growth)
        direction[label] += change
        fresh[:] = False


@njit(cache=True)
def sweep(hidden: Any, outgoing: Any, pixels: Any, labels: Any, pixel_law: Any, activations: Any, mass: Any, inverse: Any, temper: float, scale: float, scale_output: float, step_hidden: float, step_output: float, output_share: float, redraw_share: float, generator: Any, moves: Any) -> None:  # noqa: E501  # fmt: skip
    """Fill ``moves``, block by block, each for one unit and one side of it."""
    space = np.empty((4 + len(mass), len(labels)), np.float32)
    for first in range(0, len(moves), BLOCK):
        block = moves[first : first + BLOCK]
        unit = generator.integers(0, len(hidden))
        normalize(mass, inverse)
        if generator.random() < output_share:
            _output_block(
                unit, outgoing[unit], labels, activations[unit], mass, inverse, temper, scale_output,
                step_output, redraw_share, generator, space, block,
            )  # fmt: skip
        else:
            _hidden_block(
                unit, hidden[unit], outgoing[unit], pixels, labels, pixel_law, activations[unit], mass,
                inverse, temper, scale, step_hidden, redraw_share, generator, space, block,
            )  # fmt: skip
