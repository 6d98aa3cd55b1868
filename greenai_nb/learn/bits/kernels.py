"""Flips of signs, compiled: price all weights of a unit by one product, decide, write.

A unit passes on s = sign(a) with a = sum_j w_j x_j, an odd number, since weights w_j and inputs x_j are
signs and their number is odd. A flip of w_j moves a by -2 w_j x_j, so s turns only in images of the
**boundary**, |a| = 1, and there only if the move goes through zero. What a turn costs image i does not
depend on j: with the probabilities p, the weights v out of the unit, the label y and the turn t = -s,

    d_i = log sum_c p_ic exp(2 t v_c) - 2 t v_y .

Flipping w_j turns the images of the boundary with w_j x_ij = s_i, so its exact change of the loss is

    sum_i d_i (1 - w_j x_ij t_i) / 2  =  (sum_i d_i - w_j r_j) / 2 ,      r_j = sum_i t_i d_i x_ij .

One product r of the boundary with the images gives the changes of all weights at once. A proposal is
priced alone while that is cheaper, and from the ``ALONE``-th in a row on by the product.

Where a decision hangs on less than ``TIE`` nats for each image of the boundary, the change is computed
anew from weights and activations in double precision: every decision is then that of exact arithmetic.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from greenai_nb import compiled
from greenai_nb.learn.fast.kernels import HIDDEN, Steps, output_block
from greenai_nb.learn.fast.softmax import MIN_MASS, ONE, ZERO, fast_log, normalize

ALONE = 4
TIE = 5e-7  # nats for an image; four times the rounding that was seen
BYTES = 8  # flags of images in one word
TWO = np.float32(2)


class Flips(NamedTuple):
    """The target of a chain of flips, as the compiled code reads it; ``output`` are its other moves."""

    output: Steps
    coupling: float
    firing_price: np.float32
    errors: bool


class Boundary(NamedTuple):
    """Room for the images of a unit whose sign a flip may turn: where, which way, and at what cost."""

    flags: Any
    images: Any
    turns: Any
    costs: Any
    along: Any  # r of every weight


@compiled.njit(nogil=True)
def sweep(chain: Any, flips: Any, block: int, generator: Any, moves: Any) -> None:
    """Fill ``moves``, block by block, each for the flips of one unit or for the weights out of one."""
    images, inputs = chain.images.shape
    room = Boundary(
        np.zeros(images + BYTES - images % BYTES, np.uint8),
        np.empty(images + BYTES, np.int64),
        np.empty(images + BYTES, np.float32),
        np.empty(images + BYTES, np.float32),
        np.empty(inputs, np.float32),
    )
    unit_output, shift = np.empty(images, np.float32), np.empty((1, images), np.float32)
    growth, classes = np.empty(images, np.float32), len(chain.mass)
    for start in range(0, len(moves), block):
        some = moves[start : start + block]
        if generator.random() < flips.output.output_prob:
            unit = generator.integers(0, len(chain.outgoing))
            _signs(chain, unit, unit_output)
            chain.mass[:] = chain.probabilities[:, :classes].T
            normalize(chain.mass, chain.inverse)
            output_block(unit, unit_output, chain, flips.output, generator, shift, growth, some)
            normalize(chain.mass, chain.inverse)
            chain.probabilities[:, :classes] = (chain.mass * chain.inverse).T
        else:
            unit = generator.integers(0, len(chain.filters))
            _flip_block(unit, chain, flips, generator, room, some)


@njit
def _flip_block(unit: int, chain: Any, flips: Any, generator: Any, room: Any, moves: Any) -> None:
    weights, activation = chain.filters[unit], chain.activations[unit]
    inverse_temperature = flips.output.inverse_temperature
    factors = _factors(chain, unit)
    found, priced, total = 0, -1, ZERO
    for move in moves:
        column = generator.integers(0, len(weights))
        log_uniform = math.log(1 - generator.random())
        move.layer, move.unit, move.column, move.change = HIDDEN, unit, column, -2 * weights[column]
        if priced < 0:
            found = _find_boundary(activation, room)
            _costs(chain, flips, factors, found, room)
            priced, move.operations = 0, found * len(factors[0])
        if priced < ALONE:
            difference = _cost_of_one(chain.inputs[column], weights[column], found, room)
            move.operations += found
        else:
            if priced == ALONE:
                total = _cost_of_all(chain.images, found, room)
                move.operations += found * len(weights)
            difference = (total - weights[column] * room.along[column]) / TWO
        priced += 1
        log_ratio = -2 * flips.coupling * weights[column] * _agreement(chain.neighbours, weights, column)
        distance = log_uniform - (log_ratio - inverse_temperature * difference)
        if abs(distance) < inverse_temperature * TIE * found and not flips.errors:
            difference = exact_cost(chain, unit, column, flips.firing_price)
        move.log_uniform, move.log_prior_ratio, move.loss_change = log_uniform, log_ratio, difference
        if not log_uniform < log_ratio - inverse_temperature * difference:
            continue
        move.accepted, priced = True, -1
        move.operations += len(activation)
        _turn(chain, factors, column, weights[column], found, room)
        _move(activation, chain.inputs[column], weights[column])
        weights[column] = -weights[column]


@njit
def _signs(chain: Any, unit: int, out: Any) -> None:
    """The output of a unit in every image; the last row of output weights belongs to a constant."""
    out[:] = ONE
    if unit < len(chain.activations):
        activation = chain.activations[unit]
        for image in range(len(out)):
            out[image] = ONE if activation[image] > 0 else -ONE


@njit
def _factors(chain: Any, unit: int) -> Any:
    """exp(2 t v_c) of every class for a turn up, t = 1, and down; padded classes have factor 1."""
    outgoing = chain.outgoing[unit]
    lanes = chain.probabilities.shape[1]
    up, down = np.ones(lanes, np.float32), np.ones(lanes, np.float32)
    for label in range(len(outgoing)):
        up[label] = math.exp(2 * outgoing[label])
        down[label] = math.exp(-2 * outgoing[label])
    return up, down


@njit(fastmath=True)
def _flag(activation: Any, flags: Any) -> None:
    for image in range(len(activation)):
        flags[image] = np.uint8(activation[image] * activation[image] == 1)


@njit
def _find_boundary(activation: Any, room: Any) -> int:
    """Write the images with |a| = 1 and which way they would turn; returns how many there are."""
    _flag(activation, room.flags)
    words = room.flags.view(np.uint64)
    found: Any = 0
    for word in range(len(words)):
        if words[word]:
            for image in range(BYTES * word, BYTES * word + BYTES):
                room.images[found] = image
                found += np.int64(room.flags[image])
    for at in range(found):
        room.turns[at] = -activation[room.images[at]]
    return found


@njit(fastmath=True, error_model="numpy")
def _costs(chain: Any, flips: Any, factors: Any, found: int, room: Any) -> None:
    """What the turn of each image of the boundary adds to the loss."""
    up, down = factors
    for at in range(found):
        image, turn = room.images[at], room.turns[at]
        row, factor = chain.probabilities[image], up if turn > 0 else down
        label = chain.labels[image]
        if flips.errors:
            was_wrong, is_wrong = _is_wrong(row, up * down, label), _is_wrong(row, factor, label)
            cost = np.float32(is_wrong) - np.float32(was_wrong)
        else:
            grown = ZERO
            for each in range(len(row)):
                grown += row[each] * factor[each]
            cost = fast_log(grown / factor[label])
        room.costs[at] = cost + flips.firing_price * turn


@njit
def _is_wrong(row: Any, factor: Any, label: int) -> bool:
    """Whether some class is more probable than the label, after a factor on each."""
    for each in range(len(row)):
        if each != label and row[each] * factor[each] > row[label] * factor[label]:
            return True
    return False


@njit(fastmath=True)
def _cost_of_one(pixel: Any, weight: Any, found: int, room: Any) -> Any:
    """Change of the loss where one weight flips: the costs of the images that it turns."""
    total = ZERO
    for at in range(found):
        turns = room.turns[at] * np.float32(weight * pixel[room.images[at]]) < ZERO
        total += room.costs[at] if turns else ZERO
    return total


@njit(fastmath=True)
def _cost_of_all(images: Any, found: int, room: Any) -> Any:
    """Write r of every weight, and return the sum of all costs."""
    padded = slice(found, found - found % -4)
    room.images[padded], room.turns[padded], room.costs[padded] = 0, ZERO, ZERO
    total, room.along[:] = ZERO, ZERO
    for at in range(0, found, 4):
        costs = room.costs[at : at + 4]
        total += costs[0] + costs[1] + costs[2] + costs[3]
        _add_four(room.along, costs * room.turns[at : at + 4], images, room.images[at : at + 4])
    return total


@njit(fastmath=True)
def _add_four(along: Any, times: Any, images: Any, at: Any) -> None:
    a, b, c, d = images[at[0]], images[at[1]], images[at[2]], images[at[3]]
    p, q, r, s = times[0], times[1], times[2], times[3]
    for column in range(len(along)):
        along[column] += (
            p * np.float32(a[column])
            + q * np.float32(b[column])
            + r * np.float32(c[column])
            + s * np.float32(d[column])
        )


@njit
def _agreement(neighbours: Any, weights: Any, column: int) -> int:
    """The sum of the weights beside one in the picture."""
    total = 0
    for neighbour in neighbours[column]:
        if neighbour >= 0:
            total += weights[neighbour]
    return total


@njit
def exact_cost(chain: Any, unit: int, column: int, firing_price: Any) -> float:
    """Change of the loss where a weight flips, from weights and activations in double precision."""
    activation, classes = chain.activations[unit], chain.outgoing[unit]
    weight = chain.filters[unit, column]
    logits, total = np.empty(len(classes)), 0.0
    for image in range(len(activation)):
        if activation[image] != weight * chain.inputs[column, image]:
            continue
        for label in range(len(classes)):
            logits[label] = chain.outgoing[-1, label]
        for other in range(len(chain.activations)):
            sign = 1 if chain.activations[other, image] > 0 else -1
            for label in range(len(classes)):
                logits[label] += sign * np.float64(chain.outgoing[other, label])
        turn = -np.float64(activation[image])
        after = logits + 2 * turn * classes
        label = chain.labels[image]
        total += _cross_entropy(after, label) - _cross_entropy(logits, label) + firing_price * turn
    return total


@njit
def _cross_entropy(logits: Any, label: int) -> float:
    largest = logits.max()
    return math.log(np.exp(logits - largest).sum()) + largest - logits[label]


@njit(fastmath=True, error_model="numpy")
def _turn(chain: Any, factors: Any, column: int, weight: Any, found: int, room: Any) -> None:
    """New probabilities of the images that an accepted flip turns."""
    up, down = factors
    classes = chain.outgoing.shape[1]
    for at in range(found):
        image, turn = room.images[at], room.turns[at]
        if turn * np.float32(weight * chain.inputs[column, image]) < ZERO:
            row, factor, total = chain.probabilities[image], up if turn > 0 else down, ZERO
            for label in range(len(row)):
                row[label] *= factor[label]
                total += row[label]
            for label in range(classes):
                row[label] = max(row[label] / total, MIN_MASS)


@njit(fastmath=True)
def _move(activation: Any, pixel: Any, weight: Any) -> None:
    twice = np.int16(2 * weight)
    for image in range(len(activation)):
        activation[image] -= twice * np.int16(pixel[image])
