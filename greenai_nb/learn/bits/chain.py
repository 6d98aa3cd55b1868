"""Training by flips of signs, without gradients: the accept-reject algorithm on bits.

The chain's target is the Gibbs distribution

    rho(w, v)  ~  exp(-lambda l(w, v)) pi(v) exp(kappa sum_jk w_j w_k) ,

with the summed loss l of the training images, signs w, output weights v with the sparsity prior pi, and
pairs j, k of weights of a unit that are neighbours in the picture: Ising's prior, under which weight
images are smooth. Flips are proposed uniformly, and are symmetric.

The loss is the cross-entropy, or the number of errors, which has no gradient; both may charge a price
for each unit that passes on +1, which has none either.

Source: the slides, *Accept-Reject algorithm*; Metropolis et al. (1953), who flipped no bits but moved
disks; Ising (1925).
"""

from dataclasses import dataclass

import numpy as np
from numpy import ndarray as Array
from torch import nn

from greenai_nb.checks import non_negative, one_of, positive
from greenai_nb.data.datasets import Dataset
from greenai_nb.learn.bits import kernels, state
from greenai_nb.learn.bits.kernels import Flips
from greenai_nb.learn.bits.state import BitChain
from greenai_nb.learn.fast.chain import BIAS_SCALE, REFRESH_EVERY
from greenai_nb.learn.fast.kernels import HIDDEN, MOVE, OUTPUT, Steps
from greenai_nb.learn.fast.run import Counts, run
from greenai_nb.learn.fit import Fit
from greenai_nb.learn.store import remembered

LOSSES = ("cross-entropy", "errors")


@dataclass(frozen=True)
class FlipSettings:
    """The target of a chain of flips, and how it proposes.

    ``inverse_temperature`` is lambda per training image, and ``coupling`` is kappa. ``scale_output`` is
    the prior's tau for output weights, ``step_output`` the middle size of a proposal to them. A block,
    of ``block`` moves, goes to output weights with probability ``output_prob``. ``firing_price`` is what
    each unit that passes on +1 adds to the loss of an image, in nats. Where the loss is the number of
    errors, only flips are made, and ``output_prob`` must be 0.
    """

    inverse_temperature: float = 20.0
    coupling: float = 0.3
    loss: str = "cross-entropy"
    firing_price: float = 0.0
    scale_output: float = 1e-2
    step_output: float = 0.05
    output_prob: float = 0.05
    redraw_prob: float = 0.1
    block: int = 64

    def __post_init__(self) -> None:
        non_negative(inverse_temperature=self.inverse_temperature, coupling=self.coupling)
        non_negative(firing_price=self.firing_price)
        non_negative(redraw_prob=self.redraw_prob, output_prob=self.output_prob)
        positive(scale_output=self.scale_output, step_output=self.step_output, block=self.block)
        one_of(LOSSES, loss=self.loss)
        if self.loss == "errors" and self.output_prob:
            raise ValueError(f"loss='errors' flips signs only: output_prob is {self.output_prob}, not 0")

    def flips(self, chain: BitChain) -> Flips:
        """The target and the proposals, as the compiled code reads them."""
        scales = np.full(len(chain.outgoing), float(self.scale_output))
        scales[-1] = BIAS_SCALE
        numbers = self.inverse_temperature, 0.0, self.step_output, self.output_prob, self.redraw_prob
        steps = Steps(np.empty(0), scales, *map(float, numbers))
        return Flips(steps, float(self.coupling), np.float32(self.firing_price), self.loss == "errors")


def sweep(chain: BitChain, blocks: int, settings: FlipSettings, generator: np.random.Generator) -> Array:
    """Move the chain by blocks of proposals; returns a ``MOVE`` record of each proposal."""
    moves = np.zeros(blocks * settings.block, MOVE)
    kernels.sweep(chain, settings.flips(chain), settings.block, generator, moves)
    return moves


@remembered
def fit_bit_flips(
    net: nn.Module,
    data: Dataset,
    *,
    proposals: int,
    settings: FlipSettings | None = None,
    seed: int = 0,
    evaluations: int = 10,
) -> Fit:
    """Train a copy of a network of signs by flips, without any gradient.

    ``net`` is as ``sign_mlp`` makes it, and the trained copy can be packed. The fit is as that of
    ``fit_accept_reject``, which raises the same; ``TypeError`` and ``ValueError`` for another network
    are those of ``greenai_nb.learn.bits.state``.
    """
    settings = settings or FlipSettings()
    size = {"proposals": proposals, "seed": seed, "evaluations": evaluations}
    return run(net, data, "bit flips", settings, _Flips, **size, block=settings.block, layout=state)


class _Flips:
    """Moves a chain by blocks of flips, or of proposals to output weights."""

    between_refreshes = REFRESH_EVERY

    def __init__(self, settings: FlipSettings, chain: BitChain, generator: np.random.Generator) -> None:
        self.settings, self.chain, self.generator = settings, chain, generator
        self.counts = Counts(chain, {HIDDEN: "sign flip", OUTPUT: "step or redraw"})

    def advance(self, blocks: int) -> float:
        """Make some blocks of proposals; returns the change of the summed loss."""
        return self.counts.add_moves(sweep(self.chain, blocks, self.settings, self.generator))
