"""The chain as its authors ran it: whole filters move at once, and hundreds of output weights.

Half of the proposals step every weight of one filter and its bias, the other half as many output weights
and biases, drawn anew each time. Steps and prior are Cauchy's, Student's with one degree of freedom,

    w' = w + step t_1 ,        pi(w) ~ 1 / (1 + (w / scale)^2) ,

and the target is the Gibbs distribution of ``greenai_nb.learn.fast.chain``. A move shifts cached
activations and logits, and the change of the loss is exact for every proposal.

Source: GreenAI-Uppa/deep_learning_mcmc; the slides, *Accept-Reject algorithm*.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numba import njit
from numpy import ndarray as Array
from torch import nn

from greenai_nb import compiled
from greenai_nb.checks import non_negative, positive
from greenai_nb.data.datasets import Dataset
from greenai_nb.learn.fast.kernels import HIDDEN, OUTPUT, move_activation
from greenai_nb.learn.fast.run import Counts, run
from greenai_nb.learn.fast.softmax import LARGEST_STEP, TILE, ZERO, commit, loss_change, normalize
from greenai_nb.learn.fast.state import Chain, layers
from greenai_nb.learn.fit import Fit
from greenai_nb.learn.moves import StudentStep
from greenai_nb.learn.store import remembered
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear
from greenai_nb.theory.prior import Cauchy

REFRESH_EVERY = 2_000


@dataclass(frozen=True)
class WholeFilterSettings:
    """The authors' target and proposals.

    ``inverse_temperature`` is lambda per training image; theirs is 1e5 over the number of images.
    ``scale`` is the prior's, ``step`` the proposals', for weights and biases of both layers.
    """

    inverse_temperature: float = 2.0
    scale: float = 1e-3**0.5
    step: float = 1e-7**0.5

    def __post_init__(self) -> None:
        non_negative(inverse_temperature=self.inverse_temperature)
        positive(scale=self.scale, step=self.step)


@remembered
def fit_whole_filters(
    net: nn.Module,
    data: Dataset,
    *,
    proposals: int,
    settings: WholeFilterSettings | None = None,
    seed: int = 0,
    evaluations: int = 10,
) -> Fit:
    """Train a copy of a network with one layer of real filters by the authors' chain.

    It returns and raises what ``fit_accept_reject`` does, and ``TypeError`` for filters of signs or
    without biases.
    """
    settings = settings or WholeFilterSettings()
    size = {"proposals": proposals, "seed": seed, "evaluations": evaluations}
    filters, _ = layers(net)
    if filters.bias is None or isinstance(filters, BinaryConv2d | BinaryLinear):
        raise TypeError(f"the authors' chain moves real filters with biases, got {filters}")
    return run(net, data, "accept-reject of whole filters", settings, _WholeFilters, **size)


class _WholeFilters:
    """Moves a chain by one proposal to a whole filter, or to as many output weights, at a time."""

    between_refreshes = REFRESH_EVERY

    def __init__(self, settings: WholeFilterSettings, chain: Chain, generator: Any) -> None:
        self.settings, self.chain, self.generator = settings, chain, generator
        self.prior, self.step = Cauchy(settings.scale), StudentStep(settings.step)
        self.counts = Counts(chain, dict.fromkeys((HIDDEN, OUTPUT), "Cauchy steps of many weights"))
        classes, images = chain.mass.shape
        self.moved = np.empty((chain.places.shape[1], images), np.float32)
        self.space = np.empty((1 + classes, images), np.float32)
        self.each = np.arange(classes), np.eye(classes, dtype=np.float32)

    def advance(self, blocks: int) -> float:
        """Make some proposals; returns the change of the summed loss."""
        return sum(self._propose() for _ in range(blocks))

    def _propose(self) -> float:
        chain, powers, growth = self.chain, self.space[1:], self.space[0]
        layer, at, change, log_ratio = self._draw()
        log_uniform = math.log(1 - self.generator.random())
        normalize(chain.mass, chain.inverse)
        if layer == HIDDEN:
            _shift_by_filter(chain, at[0], change, self.moved, powers)
        else:
            moved, place = np.unique(at[0], return_inverse=True)
            outgoing = np.zeros((len(powers), len(moved)), np.float32)
            outgoing[at[1], place] = change
            units = torch.from_numpy(chain.activations[moved]).clamp_(min=0)
            torch.matmul(torch.from_numpy(outgoing), units, out=torch.from_numpy(powers))
        images, positions = len(chain.inverse), len(self.moved)
        self.counts.operations += len(change) * images * (positions if layer == HIDDEN else 1)
        early, difference, accepted = not np.abs(powers).max() <= LARGEST_STEP, 0.0, False
        if not early:
            common = chain.mass, chain.inverse, chain.ends
            difference = loss_change(*common, *self.each, powers, False, growth)
            accepted = log_uniform < log_ratio - self.settings.inverse_temperature * difference
        self.counts.add(layer, at, accepted, early)
        if not accepted:
            return 0.0
        commit(chain.mass, chain.inverse, *self.each, powers, False, growth)
        if layer == HIDDEN:
            chain.filters[at] += change
            chain.activations[at[0] * positions : (at[0] + 1) * positions] = self.moved
        else:
            chain.outgoing[at] += change
        return difference

    def _draw(self) -> tuple[int, Any, Float32[Array, " weights"], float]:
        """A layer, places in it, a change of the weights there, and the log of the prior's ratio."""
        filters, outgoing = self.chain.filters, self.chain.outgoing
        if self.generator.random() < 0.5:
            layer, weights = HIDDEN, filters
            at: Any = int(self.generator.integers(len(filters))), slice(None)
        else:
            layer, weights = OUTPUT, outgoing
            some = self.generator.choice(outgoing.size, filters.shape[1] - 1, replace=False)
            at = np.unravel_index(some, outgoing.shape)
        old = weights[at].astype(float)
        change = (self.step.draw(old, self.generator) - old).astype(np.float32)
        ratio = self.prior.log_density(old + change) - self.prior.log_density(old)
        return layer, at, change, float(ratio.sum())


@njit(fastmath=True)
def _add_difference(to: Any, along: Any, moved: Any, activation: Any) -> None:
    for image in range(len(to)):
        to[image] += along * (max(moved[image], ZERO) - max(activation[image], ZERO))


@compiled.njit(nogil=True)
def _shift_by_filter(chain: Any, number: int, change: Any, moved: Any, powers: Any) -> None:
    """Activations of a filter whose weights all change, and how far this moves each logit."""
    positions, images = moved.shape
    units = slice(number * positions, (number + 1) * positions)
    outgoing, activations = chain.outgoing[units], chain.activations[units]
    powers[:] = ZERO
    for start in range(0, images, TILE):
        tile = slice(start, min(start + TILE, images))
        for q in range(positions):
            to = moved[q, tile]
            to[:] = activations[q, tile]
            for weight in range(len(change)):
                pixel = chain.pixels[chain.places[weight, q], tile]
                move_activation(to, pixel, np.float32(change[weight] / chain.white))
            for label in range(len(powers)):
                _add_difference(powers[label, tile], outgoing[q, label], to, activations[q, tile])
