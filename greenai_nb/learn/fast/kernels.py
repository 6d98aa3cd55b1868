"""The moves of ``greenai_nb.learn.fast.chain``, compiled: propose, bound, decide, write.

A block of moves stays with one filter, or with one hidden unit and the weights out of it. A weight of a
filter moves the filter's units at all of its positions q, and so the logits by

    d_c = sum_q (relu(a_q + change x_q) - relu(a_q)) v_qc ,

with the activations a, the pixels x under the weight, and the weights v out of each unit. The slope of
every image's loss in the output of each unit is computed once; a move is then rejected after one pass
over the pixels, or goes on to the exact change. A weight out of a unit moves the logits of one class.

At an infinite inverse temperature a move is accepted where the loss falls, and nowhere else: where it
stays, infinity times zero is not a number, and no log U is below that.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from numba import njit
from numpy import ndarray as Array

from greenai_nb import compiled
from greenai_nb.learn.fast.softmax import (
    LARGEST_STEP,
    TILE,
    ZERO,
    commit,
    loss_change,
    normalize,
    ray_change,
    slopes,
    tile_change,
    total,
)
from greenai_nb.theory.prior import EXPONENT, TAIL

HIDDEN, OUTPUT = 0, 1
DECADES = 1.0
WHITE = np.float32(255)  # a byte that stands for 1
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


class Steps(NamedTuple):
    """The target and the proposals of a chain, as the compiled code reads them.

    ``scales`` and ``scales_out`` are the prior's for each column of a filter and for each row of output
    weights; ``hidden`` and ``output`` are the middle sizes of a proposal.
    """

    scales: Float64[Array, " weights"]
    scales_out: Float64[Array, " units"]
    inverse_temperature: float
    hidden: float
    output: float
    output_prob: float
    redraw_prob: float


@njit
def _propose(weight: float, scale: float, step: float, redraw_prob: float, generator: Any) -> Any:
    """A change of a weight, and the log of the prior's ratio times the proposal's.

    A step is normal with a size spread over two decades, hence symmetric. A redraw inverts the
    distribution function of the prior (1 + |w| / tau)^-4, whose ratio then cancels.
    """
    if generator.random() < redraw_prob:
        tail = 1 - generator.random()
        size = scale * (tail ** (-1 / TAIL) - 1)
        new = size if generator.random() < 0.5 else -size
        return np.float32(new - weight), 0.0
    size = step * 10 ** generator.uniform(-DECADES, DECADES)
    change = np.float32(size * generator.standard_normal())
    before, after = abs(weight) / scale, abs(weight + change) / scale
    return change, EXPONENT * (math.log1p(before) - math.log1p(after))


@njit(fastmath=True)
def _bound(activation: Any, slope: Any, pixel: Any, change: Any) -> Any:
    """The linear part of the loss change when a unit's activation moves; the change is never less."""
    found = ZERO
    for image in range(len(slope)):
        before = activation[image]
        after = before + change * np.float32(pixel[image])
        found += slope[image] * (max(after, ZERO) - max(before, ZERO))
    return found


@njit(fastmath=True)
def _shift(activation: Any, pixel: Any, change: Any, shift: Any) -> None:
    """How far one unit's outputs move in a tile."""
    for image in range(len(activation)):
        before = activation[image]
        after = before + change * np.float32(pixel[image])
        shift[image] = max(after, ZERO) - max(before, ZERO)


@njit(fastmath=True)
def _move_logits(outgoing: Any, used: Any, first: bool, shift: Any, powers: Any, start: int) -> None:
    """Write how far one of several units moves the logits; further units add to it."""
    for place in range(len(used)):
        along, logit = outgoing[used[place]], powers[place, start : start + TILE]
        if first:
            for image in range(len(logit)):
                logit[image] = along * shift[image]
        elif along != ZERO:
            for image in range(len(logit)):
                logit[image] += along * shift[image]


@njit(fastmath=True)
def _dot(x: Any, y: Any, z: Any) -> Any:
    found = ZERO
    for image in range(len(x)):
        found += x[image] * y[image] * z[image]
    return found


@njit
def _filter_change(chain: Any, activations: Any, outgoing: Any, used: Any, column: int, change: Any, space: Any) -> float:  # noqa: E501  # fmt: skip
    """Change of the summed loss where one weight of a filter moves, tile by tile."""
    shift, growth, powers = space[0, :TILE], space[1], space[2:]
    difference = 0.0
    for start in range(0, len(chain.inverse), TILE):
        tile = slice(start, start + TILE)
        for q in range(len(outgoing)):
            _shift(activations[q, tile], chain.pixels[chain.places[column, q], tile], change, shift)
            if len(outgoing) > 1:
                _move_logits(outgoing[q], used, q == 0, shift, powers, start)
        common = chain.mass, chain.inverse, chain.ends, used
        if len(outgoing) > 1:
            difference += tile_change(*common, powers, growth, start)
        else:
            difference += ray_change(*common, outgoing[0], shift, powers, growth, start)
    return difference


@njit
def move_activation(activation: Any, pixel: Any, change: Any) -> None:
    """Move a unit's activations by a change of the weight of one pixel."""
    for image in range(len(activation)):
        activation[image] += change * np.float32(pixel[image])


@njit
def _filter_block(
    number: int, chain: Any, steps: Any, generator: Any, slope: Any, space: Any, moves: Any
) -> None:
    """Moves of the weights of one filter, whose units stand at several positions of the image."""
    mass, inverse, ends = chain.mass, chain.inverse, chain.ends
    pixels, places = chain.pixels, chain.places
    positions, images = places.shape[1], len(inverse)
    weights, units = chain.filters[number], slice(number * positions, (number + 1) * positions)
    outgoing, activations = chain.outgoing[units], chain.activations[units]
    growth, powers = space[1], space[2:]
    reach = np.abs(outgoing).sum(0)
    used, farthest = np.flatnonzero(reach), reach.max()
    for q in range(positions):
        slopes(mass, inverse, ends, outgoing[q], slope[q])
    for move in moves:
        column = np.searchsorted(chain.column_cdf, generator.random())
        if chain.binary:
            change, log_ratio = -2 * weights[column], 0.0
        else:
            change, log_ratio = _propose(
                weights[column], steps.scales[column], steps.hidden, steps.redraw_prob, generator
            )
        log_uniform = math.log(1 - generator.random())
        move.layer, move.unit, move.column, move.change = HIDDEN, number, column, change
        move.log_uniform, move.log_prior_ratio, move.loss_change = log_uniform, log_ratio, np.nan
        if abs(change) * farthest > LARGEST_STEP:
            continue
        pixel_change, bound = np.float32(change / chain.white), 0.0
        for q in range(positions):
            bound += _bound(activations[q], slope[q], pixels[places[column, q]], pixel_change)
        move.operations = 2 * positions * images
        if not log_uniform < log_ratio - steps.inverse_temperature * bound:
            continue
        difference = _filter_change(chain, activations, outgoing, used, column, pixel_change, space)
        move.loss_change = difference
        move.operations += (positions + len(used) * positions) * images
        if not log_uniform < log_ratio - steps.inverse_temperature * difference:
            continue
        move.accepted = True
        commit(mass, inverse, used, powers, growth)
        weights[column] += change
        for q in range(positions):
            move_activation(activations[q], pixels[places[column, q]], pixel_change)
            slopes(mass, inverse, ends, outgoing[q], slope[q])


@njit
def output_block(unit: int, activation: Any, chain: Any, steps: Any, generator: Any, space: Any, moves: Any) -> None:  # noqa: E501  # fmt: skip
    """Moves of the weights out of one unit, each of which moves the logits of one class."""
    mass, inverse, ends = chain.mass, chain.inverse, chain.ends
    weights, scale = chain.outgoing[unit], steps.scales_out[unit]
    output, growth, powers = space[0], space[1], space[2:]
    largest, classes, images = ZERO, len(weights), len(inverse)
    for image in range(images):
        output[image] = max(activation[image], chain.floor)
        largest = max(largest, abs(output[image]))
    of_label = np.array([total(output[ends[c] : ends[c + 1]]) for c in range(classes)])
    slope, fresh = np.zeros(classes), np.zeros(classes, np.bool_)
    used = np.zeros(1, np.int64)
    for move in moves:
        label = generator.integers(0, classes)
        change, log_ratio = _propose(weights[label], scale, steps.output, steps.redraw_prob, generator)
        log_uniform = math.log(1 - generator.random())
        move.layer, move.unit, move.column, move.change = OUTPUT, unit, label, change
        move.log_uniform, move.log_prior_ratio, move.loss_change = log_uniform, log_ratio, np.nan
        if abs(change) * largest > LARGEST_STEP:
            continue
        if not fresh[label]:
            slope[label] = _dot(output, mass[label], inverse) - of_label[label]
            fresh[label] = True
        if not log_uniform < log_ratio - steps.inverse_temperature * change * slope[label]:
            continue
        used[0], logit = label, powers[0]
        for image in range(images):
            logit[image] = change * output[image]
        difference = loss_change(mass, inverse, ends, used, powers, growth)
        move.loss_change, move.operations = difference, 2 * images
        if not log_uniform < log_ratio - steps.inverse_temperature * difference:
            continue
        move.accepted = True
        commit(mass, inverse, used, powers, growth)
        weights[label] += change
        fresh[:] = False


@compiled.njit(nogil=True)
def sweep(chain: Any, steps: Any, block: int, generator: Any, moves: Any) -> None:
    """Fill ``moves``, block by block, each for one filter or for one unit."""
    positions = chain.places.shape[1]
    slope = np.empty((positions, len(chain.inverse)), np.float32)
    space = np.empty((2 + len(chain.mass), len(chain.inverse)), np.float32)
    normalize(chain.mass, chain.inverse)
    for start in range(0, len(moves), block):
        some = moves[start : start + block]
        if generator.random() < steps.output_prob:
            unit = generator.integers(0, len(chain.outgoing))
            output_block(unit, chain.activations[unit], chain, steps, generator, space, some)
        else:
            number = generator.integers(0, len(chain.filters))
            _filter_block(number, chain, steps, generator, slope, space, some)
        if some.accepted.any():
            normalize(chain.mass, chain.inverse)
