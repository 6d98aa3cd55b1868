"""The smallest XNOR network as a game: two inputs, two sign units, two scales, two classes.

    f(x) = a_1 sign(<b_1, x>) + a_2 sign(<b_2, x>) ,   b_k in {-1, 1}^2, a_k real

The logit f is clipped to [-B, B] and costs log(1 + exp(-y f)) for the label y = -1 or +1, so that the
losses of a round spread over M = B nats. A unit sees an input only through the signs of x_1 + x_2 and
x_1 - x_2, and multiplying by the label flips both: a round has four outcomes,
(y sign(x_1 + x_2), y sign(x_1 - x_2)). A unit stays the same when the signs of its weights and of its
scale all flip, so positive scales with twice the mass stand for all.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray as Array

from greenai_nb.checks import positive
from greenai_nb.theory.penalty import coordinate_price
from greenai_nb.theory.prior import HeavyTail
from greenai_nb.theory.space import Space, nodes, product, signs

INPUTS = UNITS = 2
BINARY_WEIGHTS = INPUTS * UNITS
Losses = Float[Array, "outcomes decisions"]

OUTCOMES = signs(INPUTS).points
DECADES = (-1, 2)
PANELS_PER_DECADE = 1


@dataclass(frozen=True)
class Toy:
    """The network's decisions, their prior, and what each of the four outcomes costs them.

    A decision is a row (b_1, b_2, a_1, a_2) of ``space.points``. ``smeared`` holds the expected
    losses when the scales are perturbed by a draw from the prior; ``price`` is pen(w) with a block
    for each scale; ``clip`` is B.
    """

    space: Space
    losses: Losses
    smeared: Losses
    price: Float[Array, " decisions"]
    clip: float


def toy(scale: float, clip: float = 4.0, one_scale: Space | None = None) -> Toy:
    """The game for a prior of scale tau on the two scales of the network.

    ``one_scale`` is the quadrature for one of them, by default the positive half of the panels of the
    sparsity prior.
    """
    positive(clip=clip)
    prior = HeavyTail(scale)
    panels = nodes(prior, DECADES, PANELS_PER_DECADE)
    space = product(signs(BINARY_WEIGHTS), product(*[one_scale or _positive(panels)] * UNITS))
    logits = outcome_logits(space.points)
    price = coordinate_price(space.points[:, BINARY_WEIGHTS:], scale).sum(1)
    price += BINARY_WEIGHTS * np.log(2)
    return Toy(space, loss(logits, clip), _smeared(logits, panels, clip), price, clip)


def loss(logits: Float[Array, "*shape"], clip: float) -> Float[Array, "*shape"]:
    """Cross-entropy log(1 + exp(-z)) of a logit for the right label, clipped to [-B, B], in nats."""
    return np.logaddexp(0, -np.clip(logits, -clip, clip))


def outcome_logits(points: Float[Array, "decisions coordinates"]) -> Losses:
    """y f(x) for each of the four outcomes, before clipping."""
    binary = points[:, :BINARY_WEIGHTS].reshape(-1, UNITS, INPUTS)
    scales = points[:, BINARY_WEIGHTS:]
    inputs = np.stack([OUTCOMES.sum(1), OUTCOMES[:, 0] - OUTCOMES[:, 1]]) / 2
    return np.einsum("dui,io,du->od", binary, inputs, scales)


def options(inputs: Float[Array, "rounds 2"]) -> Int[Array, "rounds 2"]:
    """The outcomes of each input under the labels -1 and +1, as rows of the table of losses.

    Raises ``ValueError`` for an input on the edge between two outcomes.
    """
    edges = np.stack([inputs.sum(1), inputs[:, 0] - inputs[:, 1]], axis=1)
    if not np.all(np.abs(edges) > 0):
        raise ValueError("inputs must not lie on a diagonal, |x_1| != |x_2| in every row")
    label = np.array([-1, 1])
    positive_edge = label[:, None] * np.sign(edges)[:, None] > 0
    return positive_edge @ np.array([2, 1])


def _positive(panels: Space) -> Space:
    """The positive points of a symmetric quadrature, with the mass of both signs."""
    kept = panels.points[:, 0] > 0
    return Space(panels.points[kept], panels.log_mass[kept] + np.log(2))


def _smeared(logits: Losses, panels: Space, clip: float) -> Losses:
    """E loss(z + s_1 + s_2) for each logit: the units are -1 or +1 and the noise is symmetric."""
    noise = product(*[panels] * UNITS)
    sums, where = np.unique(noise.points.sum(1), return_inverse=True)
    mass = np.bincount(where, np.exp(noise.log_mass))
    distinct, position = np.unique(logits, return_inverse=True)
    parts = [loss(z[:, None] + sums, clip) @ mass for z in np.array_split(distinct, 64)]
    return np.concatenate(parts)[position].reshape(logits.shape)
