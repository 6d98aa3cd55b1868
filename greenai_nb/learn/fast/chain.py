"""Accept-reject at tens of thousands of proposals a second, for networks with one hidden layer or none.

The chain's target is the Gibbs distribution of the theorem,

    rho(w)  ~  exp(-lambda l(w)) pi(w) ,        l(w) = mean cross-entropy of the training images,

with the sparsity prior pi, and the uniform distribution for filters of signs. It draws a filter, or a
hidden unit and the weights out of it, and stays there for a block of moves. This draw does not
depend on the weights, so every block leaves the target invariant.

A random search keeps what lowers the loss, the limit of lambda to infinity: it minimises, and has no
distribution, no prior and no bound.

Weights and probabilities are in single precision, and caches are recomputed every ``REFRESH_EVERY``
proposals, or less often where that takes long; the loss is tracked in double precision. Every decision
comes back as a ``MOVE`` record.

Source: the slides, *Accept-Reject algorithm*; Metropolis et al. (1953); Hastings (1970).
"""

from dataclasses import dataclass

import numpy as np
from numpy import ndarray as Array
from torch import nn

from greenai_nb.checks import non_negative, positive
from greenai_nb.data.datasets import Dataset
from greenai_nb.learn.fast import kernels
from greenai_nb.learn.fast.kernels import HIDDEN, MOVE, OUTPUT, Steps
from greenai_nb.learn.fast.run import Counts, run
from greenai_nb.learn.fast.state import Chain
from greenai_nb.learn.fit import Fit
from greenai_nb.learn.store import remembered

REFRESH_EVERY = 64_000
REFRESH_COST = 2  # operations of a refresh for one of a proposal, at least; these are slower
BIAS_SCALE = 1.0


@dataclass(frozen=True)
class ChainSettings:
    """The target of a chain, and how it proposes.

    ``inverse_temperature`` is lambda per training image: 1 is the posterior of the theorem with
    lambda = N, more is colder. ``scale`` is the prior's tau for hidden weights, ``scale_output`` for
    output weights; biases have scale 1. ``step_*`` is the middle size of a proposal in each layer. A
    block, of ``block`` moves, goes to the output layer with probability ``output_prob``; a move redraws
    the weight from its prior with probability ``redraw_prob``, which brings weights back to zero.
    """

    inverse_temperature: float = 30.0
    scale: float = 1e-3
    scale_output: float = 1e-3
    step_hidden: float = 0.05
    step_output: float = 0.1
    output_prob: float = 0.1
    redraw_prob: float = 0.1
    block: int = 32

    def __post_init__(self) -> None:
        non_negative(inverse_temperature=self.inverse_temperature)
        non_negative(redraw_prob=self.redraw_prob, output_prob=self.output_prob)
        positive(scale=self.scale, scale_output=self.scale_output, block=self.block)
        positive(step_hidden=self.step_hidden, step_output=self.step_output)

    def steps(self, chain: Chain) -> Steps:
        """The target and the proposals, as the compiled code reads them."""
        scales = np.full(chain.filters.shape[1], float(self.scale))
        scales_out = np.full(len(chain.outgoing), float(self.scale_output))
        scales[-1], scales_out[chain.hidden_units :] = BIAS_SCALE, BIAS_SCALE
        sizes = self.inverse_temperature, self.step_hidden, self.step_output
        chances = _output_prob(chain, self), self.redraw_prob
        return Steps(scales, scales_out, *map(float, sizes + chances))


@dataclass(frozen=True)
class SearchSettings:
    """How a random search proposes; the meanings are those of ``ChainSettings``."""

    step_hidden: float = 0.1
    step_output: float = 0.05
    output_prob: float = 0.9
    block: int = 32

    def __post_init__(self) -> None:
        non_negative(output_prob=self.output_prob)
        positive(step_hidden=self.step_hidden, step_output=self.step_output, block=self.block)

    def steps(self, chain: Chain) -> Steps:
        """An infinite inverse temperature and flat priors, as the compiled code reads them."""
        flat, flat_out = np.full(chain.filters.shape[1], np.inf), np.full(len(chain.outgoing), np.inf)
        sizes = np.inf, self.step_hidden, self.step_output, _output_prob(chain, self), 0.0
        return Steps(flat, flat_out, *map(float, sizes))


Settings = ChainSettings | SearchSettings


def sweep(chain: Chain, blocks: int, settings: Settings, generator: np.random.Generator) -> Array:
    """Move the chain by blocks of proposals; returns a ``MOVE`` record of each proposal."""
    moves = np.zeros(blocks * settings.block, MOVE)
    kernels.sweep(chain, settings.steps(chain), settings.block, generator, moves)
    return moves


def _output_prob(chain: Chain, settings: Settings) -> float:
    return settings.output_prob if len(chain.filters) else 1.0


@remembered
def fit_accept_reject(
    net: nn.Module,
    data: Dataset,
    *,
    proposals: int,
    settings: ChainSettings | None = None,
    seed: int = 0,
    evaluations: int = 10,
) -> Fit:
    """Train a copy of a network with one hidden layer, or none, by accept-reject, without any gradient.

    The chain starts at the weights of ``net`` and runs for ``proposals`` moves, rounded up to whole
    blocks. It is evaluated ``evaluations`` times for the trace, and the last state is returned. A seed
    gives the same chain, however often it is evaluated. Chains may run in threads, side by side on
    several cores; ``seconds`` are those of its own thread. An interrupt returns the fit so far, with a
    warning. Raises ``TypeError`` for a network of another kind, ``ValueError`` for labels that are not
    classes, a start without a finite loss, and more evaluations than blocks, and what ``copied`` raises.
    """
    settings = settings or ChainSettings()
    size = {"proposals": proposals, "seed": seed, "evaluations": evaluations}
    return run(net, data, "accept-reject", settings, _Blocks, **size, block=settings.block)


@remembered
def fit_random_search(
    net: nn.Module,
    data: Dataset,
    *,
    proposals: int,
    settings: SearchSettings | None = None,
    seed: int = 0,
    evaluations: int = 10,
) -> Fit:
    """Train a copy of a network by a random search: keep a proposal if the training loss falls.

    It takes the proposals of ``fit_accept_reject``, returns what it returns and raises what it raises.
    The search ends near a minimum, and draws from no distribution.
    Source: Tripathi and Singh, *RSO: a gradient free sampling based approach* (2020).
    """
    settings = settings or SearchSettings()
    size = {"proposals": proposals, "seed": seed, "evaluations": evaluations}
    return run(net, data, "random search", settings, _Blocks, **size, block=settings.block)


class _Blocks:
    """Moves a chain by blocks of proposals to single weights."""

    def __init__(self, settings: Settings, chain: Chain, generator: np.random.Generator) -> None:
        self.settings, self.chain, self.generator = settings, chain, generator
        name = "step or redraw"
        self.counts = Counts(chain, {HIDDEN: "sign flip" if chain.binary else name, OUTPUT: name})

    @property
    def between_refreshes(self) -> int:
        """At least ``REFRESH_EVERY`` proposals, and more for large networks."""
        chain, share = self.chain, _output_prob(self.chain, self.settings)
        positions = chain.places.shape[1]
        refreshed = positions * chain.filters.size + chain.outgoing.size
        proposed = 2 * (share + (1 - share) * positions)  # operations for an image, as in the records
        return max(REFRESH_EVERY, round(refreshed / proposed / REFRESH_COST))

    def advance(self, blocks: int) -> float:
        """Make some blocks of proposals; returns the change of the summed loss."""
        return self.counts.add_moves(sweep(self.chain, blocks, self.settings, self.generator))
