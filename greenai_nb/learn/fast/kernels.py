"""The moves of ``greenai_nb.learn.fast.chain``, compiled: propose, bound, decide, write.

A block of moves stays with one filter, or with one hidden unit and the weights out of it. A weight of a
filter moves the filter's units at all of its positions q, and so the logits by

    d_c = sum_q (relu(a_q + change x_q) - relu(a_q)) v_qc ,

with the activations a, the pixels x under the weight, and the weights v out of each unit. The slope of
every image's loss in the output of each unit is computed once; a move is then rejected after one pass
over the pixels, or goes on to the exact change. Images go by in tiles, and those in which the pixel is
black throughout are skipped. A weight out of a unit moves the logits of one class.

At an infinite inverse temperature a move is accepted where the loss falls, and nowhere else: where it
stays, infinity times zero is not a number, and no log U is below that.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numba import njit
from numpy import ndarray as Array

from greenai_nb import compiled
from greenai_nb.learn.fast.softmax import (
    LARGEST_STEP,
    SMALL,
    TILE,
    ZERO,
    commit,
    commit_tile,
    loss_change,
    normalize,
    slopes,
    tile_change,
    total,
)
from greenai_nb.theory.prior import EXPONENT, TAIL

HIDDEN, OUTPUT = 0, 1
DECADES = 1.0
NORMALIZE_AFTER = 16  # moves that were written
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


class Filter(NamedTuple):
    """One filter of a chain: the units at its positions, and space for what its moves need.

    ``used`` are the classes whose logits it moves, ``reach`` is the largest sum over q of |v_qc|, and
    ``fresh`` tells in which tiles ``slope`` is that of the present weights.
    """

    outgoing: Float32[Array, "positions classes"]
    activations: Float32[Array, "positions images"]
    used: Int64[Array, " used"]
    reach: np.float32
    slope: Float32[Array, "positions images"]
    fresh: Bool[Array, " tiles"]
    shift: Float32[Array, "positions images"]
    growth: Float32[Array, " images"]


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
def _shift(activation: Any, slope: Any, pixel: Any, change: Any, shift: Any) -> Any:
    """Write how far a unit's outputs move in a tile; returns the linear part of the loss change."""
    found = ZERO
    for image in range(len(slope)):
        before = activation[image]
        after = before + change * np.float32(pixel[image])
        moved = max(after, ZERO) - max(before, ZERO)
        shift[image] = moved
        found += slope[image] * moved
    return found


@njit(fastmath=True)
def _dot(x: Any, y: Any, z: Any) -> Any:
    found = ZERO
    for image in range(len(x)):
        found += x[image] * y[image] * z[image]
    return found


@njit
def _filter_bound(chain: Any, its: Any, column: int, change: Any, tiles: Any) -> float:
    """The linear part of the loss change where a weight moves; writes the slopes and shifts it needs."""
    found = 0.0
    for number in tiles:
        tile = slice(number * TILE, (number + 1) * TILE)
        for q in range(len(its.outgoing)):
            if not its.fresh[number]:
                slopes(chain.mass, chain.inverse, chain.ends, its.outgoing[q], its.slope[q], tile.start)
            activation, pixel = its.activations[q, tile], chain.pixels[chain.places[column, q], tile]
            found += _shift(activation, its.slope[q, tile], pixel, change, its.shift[q, tile])
        its.fresh[number] = True
    return found


@njit
def _filter_change(chain: Any, its: Any, column: int, change: Any, small: bool, tiles: Any) -> float:
    """Change of the summed loss where one weight of a filter moves, tile by tile."""
    found, move = 0.0, (its.used, its.outgoing, its.shift, small, its.growth)
    for number in tiles:
        start = number * TILE
        found += tile_change(chain.mass, chain.inverse, chain.ends, *move, start)
    return found


@njit
def _commit_filter(chain: Any, its: Any, column: int, change: Any, small: bool, tiles: Any) -> None:
    """Write the move that ``_filter_change`` evaluated."""
    move = its.used, its.outgoing, its.shift, small, its.growth
    for number in tiles:
        start = number * TILE
        commit_tile(chain.mass, chain.inverse, *move, start)
        for q in range(len(its.outgoing)):
            pixel = chain.pixels[chain.places[column, q], start : start + TILE]
            move_activation(its.activations[q, start : start + TILE], pixel, change)
        its.fresh[number] = False


@njit
def move_activation(activation: Any, pixel: Any, change: Any) -> None:
    """Move a unit's activations by a change of the weight of one pixel."""
    for image in range(len(activation)):
        activation[image] += change * np.float32(pixel[image])


@njit
def _filter_block(
    number: int, chain: Any, steps: Any, generator: Any, slope: Any, shift: Any, growth: Any, moves: Any
) -> None:
    """Moves of the weights of one filter, whose units stand at several positions of the image."""
    positions, images = chain.places.shape[1], len(chain.inverse)
    weights, units = chain.filters[number], slice(number * positions, (number + 1) * positions)
    outgoing, brightest = chain.outgoing[units], chain.brightest
    reach, fresh = np.abs(outgoing).sum(0), np.zeros(brightest.shape[1], np.bool_)
    used, activations = np.flatnonzero(reach), chain.activations[units]
    its = Filter(outgoing, activations, used, reach.max(), slope, fresh, shift, growth)
    for move in moves:
        column = np.searchsorted(chain.column_cdf, generator.random())
        if chain.binary:
            change, log_ratio = -2 * weights[column], 0.0
        else:
            scale, redraws = steps.scales[column], steps.redraw_prob
            change, log_ratio = _propose(weights[column], scale, steps.hidden, redraws, generator)
        log_uniform = math.log(1 - generator.random())
        move.layer, move.unit, move.column, move.change = HIDDEN, number, column, change
        move.log_uniform, move.log_prior_ratio, move.loss_change = log_uniform, log_ratio, np.nan
        by_pixel = np.float32(change / chain.white)
        largest = abs(by_pixel) * brightest[column].max() * its.reach
        if largest > LARGEST_STEP:
            continue
        tiles = np.flatnonzero(brightest[column])
        lit = np.minimum(TILE, images - TILE * tiles).sum()
        bound = _filter_bound(chain, its, column, by_pixel, tiles)
        move.operations = 2 * positions * lit
        if not log_uniform < log_ratio - steps.inverse_temperature * bound:
            continue
        difference = _filter_change(chain, its, column, by_pixel, largest <= SMALL, tiles)
        move.loss_change = difference
        move.operations += (positions + len(used) * positions) * lit
        if not log_uniform < log_ratio - steps.inverse_temperature * difference:
            continue
        move.accepted = True
        _commit_filter(chain, its, column, by_pixel, largest <= SMALL, tiles)
        weights[column] += change


@njit
def output_block(unit: int, activation: Any, chain: Any, steps: Any, generator: Any, shift: Any, growth: Any, moves: Any) -> None:  # noqa: E501  # fmt: skip
    """Moves of the weights out of one unit, each of which moves the logits of one class."""
    mass, inverse, ends = chain.mass, chain.inverse, chain.ends
    weights, scale = chain.outgoing[unit], steps.scales_out[unit]
    output, largest, classes, images = shift[0], ZERO, len(weights), len(inverse)
    for image in range(images):
        output[image] = max(activation[image], chain.floor)
        largest = max(largest, abs(output[image]))
    slope, fresh = np.zeros(classes), np.zeros(classes, np.bool_)
    used, direction = np.zeros(1, np.int64), np.empty((1, classes), np.float32)
    for move in moves:
        label = generator.integers(0, classes)
        change, log_ratio = _propose(weights[label], scale, steps.output, steps.redraw_prob, generator)
        log_uniform = math.log(1 - generator.random())
        move.layer, move.unit, move.column, move.change = OUTPUT, unit, label, change
        move.log_uniform, move.log_prior_ratio, move.loss_change = log_uniform, log_ratio, np.nan
        if abs(change) * largest > LARGEST_STEP:
            continue
        if not fresh[label]:
            of_label = total(output[ends[label] : ends[label + 1]])
            slope[label] = _dot(output, mass[label], inverse) - of_label
            fresh[label] = True
        if not log_uniform < log_ratio - steps.inverse_temperature * change * slope[label]:
            continue
        used[0], direction[0, label], small = label, change, abs(change) * largest <= SMALL
        difference = loss_change(mass, inverse, ends, used, direction, shift[:1], small, growth)
        move.loss_change, move.operations = difference, 2 * images
        if not log_uniform < log_ratio - steps.inverse_temperature * difference:
            continue
        move.accepted = True
        commit(mass, inverse, used, direction, shift[:1], small, growth)
        weights[label] += change
        fresh[:] = False


@compiled.njit(nogil=True)
def sweep(chain: Any, steps: Any, block: int, generator: Any, moves: Any) -> None:
    """Fill ``moves``, block by block, each for one filter or for one unit."""
    positions = chain.places.shape[1]
    slope = np.empty((positions, len(chain.inverse)), np.float32)
    shift, growth = np.empty_like(slope), np.empty_like(chain.inverse)
    normalize(chain.mass, chain.inverse)
    written = 0
    for start in range(0, len(moves), block):
        some = moves[start : start + block]
        if generator.random() < steps.output_prob:
            unit = generator.integers(0, len(chain.outgoing))
            output_block(unit, chain.activations[unit], chain, steps, generator, shift, growth, some)
        else:
            number = generator.integers(0, len(chain.filters))
            _filter_block(number, chain, steps, generator, slope, shift, growth, some)
        written += some.accepted.sum()
        if written >= NORMALIZE_AFTER:
            normalize(chain.mass, chain.inverse)
            written = 0
