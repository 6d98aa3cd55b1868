"""A prior on the norm of all weights of a unit, those into it and those out of it, and its chain.

The prior of a group v of d weights is that of the theorem with the group's norm in place of |v|,

    pi(v)  ~  (1 + ||v|| / tau)^-(3 + d) ,

under which ||v|| / tau is the ratio of a Gamma(d) and a Gamma(3) variable, and every direction is as
likely. ReLU lets a unit shift its norm from one side to the other at no loss, so a group holds both.

The compiled moves know only priors of single weights. They are made here under a flat one, a few to the
same group at a time, and kept together with probability min(1, pi(v') / pi(v)). Since each such block is
reversible for the loss alone, the result is reversible for the target. Now and then the norm of each
group is drawn anew from its prior, which is accepted with probability min(1, exp(-lambda change)).

Source: Dalalyan and Tsybakov, *Sparse regression learning by aggregation and Langevin Monte-Carlo*
(2012), for the shape; Christen and Fox, *MCMC using an approximation* (2005), for two acceptances.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array
from numpy.typing import ArrayLike
from scipy.special import betaln, gammaln
from torch import nn

from greenai_nb.checks import non_negative, positive, whole
from greenai_nb.data.datasets import Dataset
from greenai_nb.learn.fast import kernels
from greenai_nb.learn.fast.chain import BIAS_SCALE, REFRESH_EVERY
from greenai_nb.learn.fast.kernels import HIDDEN, MOVE, OUTPUT, Steps
from greenai_nb.learn.fast.run import Counts, run
from greenai_nb.learn.fast.softmax import LARGEST_STEP, commit, loss_change, normalize
from greenai_nb.learn.fast.state import Chain, layers, output_layer
from greenai_nb.learn.fit import Fit
from greenai_nb.learn.store import remembered
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear
from greenai_nb.theory.prior import TAIL


@dataclass(frozen=True)
class GroupPrior:
    """The prior of a group of ``size`` weights; ``scale`` is the root mean square of each of them.

    With one weight it is ``HeavyTail(scale)``; in general tau = scale sqrt(2 / (d + 1)).
    """

    scale: float
    size: int

    def __post_init__(self) -> None:
        positive(scale=self.scale)
        whole(size=self.size)

    @property
    def tau(self) -> float:
        """The radius at which the density begins to fall."""
        return self.scale * math.sqrt(2 / (self.size + 1))

    def price(self, radius: ArrayLike) -> Float[Array, "*shape"]:
        """What a KL bound pays for a group of this norm, (3 + d) log(1 + r / tau) nats."""
        return (TAIL + self.size) * np.log1p(np.asarray(radius) / self.tau)

    def log_density(self, radius: ArrayLike) -> Float[Array, "*shape"]:
        """Log of the density in nats at any point of this norm."""
        d = self.size
        sphere = math.log(2) + d / 2 * math.log(math.pi) - gammaln(d / 2)
        return -sphere - d * math.log(self.tau) - betaln(d, TAIL) - self.price(radius)

    def depth(self, radius: ArrayLike) -> Float[Array, "*shape"]:
        """Nats by which the density of log r at a positive r lies below its top, which is at tau d / 3.

        There are r^d times as many points of that norm, so d log r of the price comes back.
        """
        x, top = np.asarray(radius) / self.tau, self.size / TAIL
        return self.price(radius) - self.size * np.log(x / top) - self.price(self.tau * top)

    def norms(self, groups: int, generator: np.random.Generator) -> Float[Array, " groups"]:
        """Draw the norms of some groups exactly, tau Gamma(d) / Gamma(3)."""
        return self.tau * generator.gamma(self.size, size=groups) / generator.gamma(TAIL, size=groups)

    def sample(self, groups: int, generator: np.random.Generator) -> Float[Array, "groups size"]:
        """Draw groups exactly: a norm, and a uniform direction."""
        direction = generator.standard_normal((groups, self.size))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        return self.norms(groups, generator)[:, None] * direction


@dataclass(frozen=True)
class GroupSettings:
    """The target of a chain under the group prior, and how it proposes; see ``ChainSettings``.

    ``block`` moves to one group are proposed together; norms are drawn anew every ``every`` proposals.
    """

    inverse_temperature: float = 30.0
    scale: float = 1e-3
    step_hidden: float = 0.05
    step_output: float = 0.1
    output_prob: float = 0.1
    block: int = 4
    every: int = 8_000

    def __post_init__(self) -> None:
        non_negative(inverse_temperature=self.inverse_temperature, output_prob=self.output_prob)
        positive(scale=self.scale, step_hidden=self.step_hidden, step_output=self.step_output)
        whole(block=self.block, every=self.every)

    def steps(self, chain: Chain) -> Steps:
        """Flat priors of weights, and the usual one of biases, as the compiled code reads them."""
        flat, flat_out = np.full(chain.filters.shape[1], np.inf), np.full(len(chain.outgoing), np.inf)
        flat[-1], flat_out[chain.hidden_units :] = BIAS_SCALE, BIAS_SCALE
        sizes = self.inverse_temperature, self.step_hidden, self.step_output, self.output_prob, 0.0
        return Steps(flat, flat_out, *map(float, sizes))


@remembered
def fit_group_prior(
    net: nn.Module,
    data: Dataset,
    *,
    proposals: int,
    settings: GroupSettings | None = None,
    seed: int = 0,
    evaluations: int = 10,
) -> Fit:
    """Train a copy of a network with one hidden layer by accept-reject, under a prior on whole units.

    It returns what ``fit_accept_reject`` does, and raises that, and ``TypeError`` for a network
    without hidden units or with filters of signs.
    """
    settings = settings or GroupSettings()
    check_hidden(net)
    if isinstance(layers(net)[0], BinaryConv2d | BinaryLinear):
        raise TypeError(
            f"the prior of a norm needs real filters, got {layers(net)[0]}: use fit_switches"
        )
    size = {"proposals": proposals, "seed": seed, "evaluations": evaluations}
    return run(
        net, data, "accept-reject, prior of groups", settings, _Groups, **size, block=settings.block
    )


def check_hidden(net: nn.Module) -> None:
    """Raise ``TypeError`` unless the fast chain can move the network, and it has hidden units."""
    output = output_layer(net)
    if next(layer for layer in net.modules() if isinstance(layer, nn.Linear | nn.Conv2d)) is output:
        raise TypeError(
            f"a network with hidden units or filters is expected, got {output} alone: "
            "mlp or shallow_cnn make one"
        )


class RoundCounts(Counts):
    """Totals with further rows, for what happens to whole groups in rounds."""

    def __init__(self, chain: Chain, name: str, layer: str, outcomes: Sequence[str]) -> None:
        self.layer, self.outcomes = layer, outcomes
        self.ever = np.zeros(len(chain.filters), bool)
        super().__init__(chain, dict.fromkeys((HIDDEN, OUTPUT), name))

    def _start_anew(self) -> None:
        super()._start_anew()
        self.totals = np.zeros((len(self.outcomes), 3), int)

    def add_group(self, outcome: int, number: int, accepted: bool, refused_early: bool) -> None:
        """Count what was tried with one group, and its fate."""
        self.totals[outcome] += 1, accepted, refused_early
        self.ever[number] = True

    def close(self, step: int) -> None:
        for name, counts in zip(self.outcomes, self.totals.tolist(), strict=True):
            self.rows.append((step, self.layer, name, *counts, float(self.ever.mean())))
        super().close(step)


class GroupMover(ABC):
    """Moves a chain by blocks of proposals to one group each, and all groups in turn now and then.

    Blocks go to the filters ``numbers``, and to the rows ``units`` of output weights.
    """

    between_refreshes = REFRESH_EVERY

    def __init__(self, settings: Any, chain: Chain, counts: RoundCounts, generator: Any) -> None:
        self.settings, self.chain, self.generator = settings, chain, generator
        self.counts: Counts = counts
        self.in_rounds = counts
        self.steps, self.positions, self.done = settings.steps(chain), chain.places.shape[1], 0
        self.numbers, self.units = np.arange(len(chain.filters)), np.arange(len(chain.outgoing))
        classes, images = chain.mass.shape
        self.space = np.empty((1 + classes, images), np.float32)
        self.each = np.arange(classes), np.eye(classes, dtype=np.float32)
        self.first = 0  # blocks before the first round counts

    @abstractmethod
    def propose(self, layer: int, number: int, moves: Array) -> None:
        """Move one filter, or one row of output weights, and record it."""

    @abstractmethod
    def turn(self, number: int) -> float:
        """Move a group as a whole; returns the change of the summed loss."""

    def advance(self, blocks: int) -> float:
        """Make some blocks of proposals, and the rounds that are due; returns the loss's change."""
        moves, turned = np.zeros((blocks, self.settings.block), MOVE), 0.0
        every = -(-self.settings.every // self.settings.block)
        for some in moves:
            output = self.generator.random() < self.steps.output_prob
            layer, among = (OUTPUT, self.units) if output else (HIDDEN, self.numbers)
            if len(among):
                self.propose(layer, int(self.generator.choice(among)), some)
            self.done += 1
            if self.done > self.first and (self.done - self.first) % every == 0:
                turned += sum(map(self.turn, self.generator.permutation(len(self.chain.filters))))
        return turned + self.counts.add_moves(moves.ravel())

    def of(self, group: int) -> slice:
        """The rows of a group's units."""
        return slice(group * self.positions, (group + 1) * self.positions)

    def sweep(self, layer: int, number: int, moves: Array) -> None:
        """Fill the records of one block of moves to single weights."""
        chain, units = self.chain, self.of(number) if layer == HIDDEN else slice(number, number + 1)
        part = chain._replace(
            filters=chain.filters[number : number + 1] if layer == HIDDEN else chain.filters[:0],
            outgoing=chain.outgoing[units],
            activations=chain.activations[units],
        )
        scales = self.steps.scales_out[units]
        steps = self.steps._replace(scales_out=scales, output_prob=float(layer == OUTPUT))
        kernels.sweep(part, steps, len(moves), self.generator, moves)
        moves["unit"] = number

    def rise(self, units: slice, outgoing: Array, activations: Array) -> float:
        """Change of the summed loss with other arrays; infinite where a logit would move too far."""
        chain, growth, powers = self.chain, self.space[0], self.space[1:]
        normalize(chain.mass, chain.inverse)
        np.matmul(outgoing.T, np.maximum(activations, chain.floor), out=powers)
        powers -= chain.outgoing[units].T @ np.maximum(chain.activations[units], chain.floor)
        self.counts.operations += 2 * outgoing.size * len(chain.inverse)
        if not np.abs(powers).max() <= LARGEST_STEP:
            return math.inf
        return loss_change(chain.mass, chain.inverse, chain.ends, *self.each, powers, False, growth)

    def keep(self, units: slice, outgoing: Array, activations: Array) -> None:
        """Write what ``rise`` was asked about."""
        chain, growth, powers = self.chain, self.space[0], self.space[1:]
        commit(chain.mass, chain.inverse, *self.each, powers, False, growth)
        chain.outgoing[units], chain.activations[units] = outgoing, activations


class _Groups(GroupMover):
    """Keeps a block of moves, or none of them, by the prior of the group."""

    def __init__(self, settings: GroupSettings, chain: Chain, generator: np.random.Generator) -> None:
        counts = RoundCounts(chain, "steps of one group", "norms", ["redraw"])
        super().__init__(settings, chain, counts, generator)
        size = chain.filters.shape[1] - 1 + self.positions * chain.outgoing.shape[1]
        self.prior = GroupPrior(settings.scale, size)

    def propose(self, layer: int, number: int, moves: Array) -> None:
        if layer == OUTPUT and number >= self.chain.hidden_units:
            self.sweep(layer, number, moves)
            return
        group = number if layer == HIDDEN else number // self.positions
        arrays = self._arrays(group)
        before, saved = self._norm(group), [array.copy() for array in arrays]
        self.sweep(layer, number, moves)
        log_ratio = self.prior.log_density(self._norm(group)) - self.prior.log_density(before)
        if math.log(1 - self.generator.random()) < log_ratio:
            return
        moves["accepted"] = False
        for array, old in zip(arrays, saved, strict=True):
            array[:] = old

    def turn(self, number: int) -> float:
        chain, units, weights = self.chain, self.of(number), self.chain.filters[number]
        norm, drawn = self._norm(number), self.prior.norms(1, self.generator)[0]
        size = np.float32(drawn / norm if norm else 1)  # zeros have no direction, and stay
        outgoing = size * chain.outgoing[units]
        activations = size * (chain.activations[units] - weights[-1]) + weights[-1]
        rise, uniform = self.rise(units, outgoing, activations), self.generator.random()
        accepted = math.log(1 - uniform) < -self.settings.inverse_temperature * rise
        self.in_rounds.add_group(0, number, accepted, math.isinf(rise))
        if not accepted:
            return 0.0
        self.keep(units, outgoing, activations)
        weights[:-1] *= size
        return rise

    def _arrays(self, group: int) -> list[Array]:
        """All that moves of one group write to."""
        chain, units = self.chain, self.of(group)
        own = [chain.filters[group], chain.outgoing[units], chain.activations[units]]
        return [*own, chain.mass, chain.inverse]

    def _norm(self, group: int) -> float:
        parts = self.chain.filters[group, :-1], self.chain.outgoing[self.of(group)]
        return math.sqrt(sum(float(np.square(part, dtype=float).sum()) for part in parts))
