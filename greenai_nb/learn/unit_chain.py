"""A chain over the weights of ``mlp`` that decides tens of thousands of proposals a second.

It draws a unit and stays with it for a block of moves: then the slope of every image's loss along the
unit's outgoing weights is made once, and a move of one of the unit's hidden weights costs a pass over
its pixel. The convexity bound rejects most of them there. Some blocks move the outgoing weights instead.
Which unit, pixel and class are drawn without a look at the weights, so every block leaves the Gibbs law

    rho(w)  ~  exp(-lambda l(w)) pi(w)

of ``greenai_nb.learn.accept_reject`` as it is. Every decision is written down, in ``MOVE`` records.

The loss is tracked in double precision; weights and probabilities are single.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8
from numba import njit
from numpy import ndarray as Array

from greenai_nb.learn.softmax_updates import (
    LARGEST_STEP,
    LEAST_MASS,
    commit,
    loss_change,
    normalize,
    slopes,
)

HIDDEN, OUTPUT = 0, 1
WHITE, ZERO = np.float32(255), np.float32(0)
BLOCK = 32
DECADES = 1.0
MOVE = np.dtype(
    [
        ("layer", "i8"),
        ("unit", "i8"),
        ("column", "i8"),
        ("change", "f4"),
        ("log_uniform", "f8"),
        ("log_prior_ratio", "f8"),
        ("loss_change", "f8"),
        ("accepted", "?"),
    ]
)


@dataclass(frozen=True)
class Chain:
    """Weights, and what is cached of the network on the training images; arrays change in place.

    ``outgoing[h]`` are the output weights of unit h. ``mass`` and ``inverse`` hold the probabilities
    as ``softmax_updates`` reads them.
    """

    hidden: Float32[Array, "hidden pixels"]
    outgoing: Float32[Array, "hidden classes"]
    pixels: UInt8[Array, "pixels images"]
    labels: Int64[Array, " images"]
    pixel_law: Float64[Array, " pixels"]
    activations: Float32[Array, "hidden images"]
    mass: Float32[Array, "classes images"]
    inverse: Float32[Array, " images"]


def start(
    hidden: Float32[Array, "hidden pixels"],
    output: Float32[Array, "classes hidden"],
    images: UInt8[Array, "images pixels"],
    labels: Int64[Array, " images"],
) -> Chain:
    """A chain at these weights, which are copied. Pixels are drawn in proportion to their spread."""
    spread = images.std(0, dtype=np.float64)
    law = np.cumsum(spread / spread.sum())
    law[law.argmax() :] = 1.0
    count = len(labels)
    chain = Chain(
        np.array(hidden, np.float32),
        np.array(output.T, np.float32, order="C"),
        np.array(images.T, order="C"),
        labels,
        law,
        np.empty((len(hidden), count), np.float32),
        np.empty((len(output), count), np.float32),
        np.empty(count, np.float32),
    )
    refresh(chain)
    return chain


def refresh(chain: Chain) -> float:
    """Compute the caches from the weights, to undo the rounding of many moves; gives the summed loss."""
    for first in range(0, len(chain.labels), 8192):
        some = slice(first, first + 8192)
        chain.activations[:, some] = chain.hidden @ (chain.pixels[:, some] / WHITE)
    logits = chain.outgoing.T @ np.maximum(chain.activations, 0)
    logits -= logits.max(0)
    chain.mass[:] = np.exp(logits)
    total = chain.mass.sum(0)
    chain.inverse[:] = 1 / total
    np.maximum(chain.mass, LEAST_MASS, out=chain.mass)
    right = logits[chain.labels, np.arange(len(chain.labels))]
    return float((np.log(total) - right).sum(dtype=np.float64))


def sweep(
    chain: Chain,
    blocks: int,
    *,
    temper: float,
    scale: float,
    steps: tuple[float, float],
    output_share: float,
    redraw_share: float,
    generator: np.random.Generator,
) -> Array:
    """Move the chain by blocks of ``BLOCK`` proposals; gives a ``MOVE`` record of each.

    ``temper`` is lambda per training image, ``scale`` the prior's tau, ``steps`` the middle size of a
    proposal in each layer.
    """
    moves = np.zeros(blocks * BLOCK, MOVE)
    _sweep(
        chain.hidden, chain.outgoing, chain.pixels, chain.labels, chain.pixel_law, chain.activations,
        chain.mass, chain.inverse, temper, scale, *steps, output_share, redraw_share, generator, moves,
    )  # fmt: skip
    return moves


@njit(cache=True)
def _propose(weight: float, scale: float, step: float, redraw_share: float, generator: Any) -> Any:
    """A change of a weight, and the log of the prior's ratio times the proposal's.

    A step is normal with a size spread over two decades, hence symmetric. A redraw inverts the
    distribution function of the prior (1 + |w| / tau)^-4, whose ratio then cancels.
    """
    if generator.random() < redraw_share:
        tail = 1 - generator.random()
        size = scale * (tail ** (-1 / 3) - 1)
        new = size if generator.random() < 0.5 else -size
        return np.float32(new - weight), 0.0
    size = step * 10 ** generator.uniform(-DECADES, DECADES)
    change = np.float32(size * generator.standard_normal())
    before, after = abs(weight) / scale, abs(weight + change) / scale
    return change, 4 * (math.log1p(before) - math.log1p(after))


@njit(cache=True, fastmath=True)
def _bound(activation: Any, slope: Any, pixel: Any, change: Any) -> float:
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
def _dot(x: Any, y: Any, z: Any) -> float:
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
        move.log_uniform, move.log_prior_ratio, move.loss_change = log_uniform, log_ratio, np.nan
        if abs(change) * largest > LARGEST_STEP:
            continue
        pixel_change = change / WHITE
        if log_uniform >= log_ratio - temper * _bound(activation, slope, pixels[pixel], pixel_change):
            continue
        _shifts(activation, pixels[pixel], pixel_change, shift)
        difference = loss_change(mass, inverse, shift, direction, at_label, used, powers, growth)
        move.loss_change = difference
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
def _sweep(hidden: Any, outgoing: Any, pixels: Any, labels: Any, pixel_law: Any, activations: Any, mass: Any, inverse: Any, temper: float, scale: float, step_hidden: float, step_output: float, output_share: float, redraw_share: float, generator: Any, moves: Any) -> None:  # noqa: E501  # fmt: skip
    space = np.empty((4 + len(mass), len(labels)), np.float32)
    for first in range(0, len(moves), BLOCK):
        block = moves[first : first + BLOCK]
        unit = generator.integers(0, len(hidden))
        normalize(mass, inverse)
        if generator.random() < output_share:
            _output_block(
                unit, outgoing[unit], labels, activations[unit], mass, inverse, temper, scale,
                step_output, redraw_share, generator, space, block,
            )  # fmt: skip
        else:
            _hidden_block(
                unit, hidden[unit], outgoing[unit], pixels, labels, pixel_law, activations[unit], mass,
                inverse, temper, scale, step_hidden, redraw_share, generator, space, block,
            )  # fmt: skip
