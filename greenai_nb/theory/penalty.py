"""The price of a network in the sparsity regret bound.

Source: the slides, *Sparsity regret bound, XNOR-Nets case*; Chee, Loustau and Gay, hal-03262679.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array
from numpy.typing import ArrayLike

from greenai_nb.checks import finite, non_negative, positive
from greenai_nb.theory.prior import EXPONENT

Arrays = Sequence[Float[Array, "*shape"]]


def coordinate_price(weight: ArrayLike, scale: float) -> Float[Array, "*shape"]:
    """Price of single weights before they are pooled into blocks, 4 log(1 + |w_j| / tau), in nats.

    It is the drop of the log prior from 0 to w_j, and a pointwise bound on the log density ratio
    of the translated prior, hence on its divergence from the prior (the triangle inequality
    1 + |v| / tau <= (1 + |v - u| / tau)(1 + |u| / tau)). Its sum is at most the block's penalty,
    since the logarithm is concave.
    """
    positive(scale=scale)
    return EXPONENT * np.log1p(np.abs(finite("weight", weight)) / scale)


def block_penalty(block: Float[Array, "*shape"], scale: float) -> float:
    """Price of one pooled block of real weights, in nats.

        4 |w|_0 log(1 + |w|_1 / (tau |w|_0)),   and 0 where all weights are zero

    ``scale`` is tau. Raises ``ValueError`` for an empty block and for weights that are not finite.
    """
    positive(scale=scale)
    weights = finite("block", block)
    active = int(np.count_nonzero(weights))
    if active == 0:
        return 0.0
    size = float(np.abs(weights).sum(dtype=float))
    return float(EXPONENT * active * np.log1p(size / (scale * active)))


def penalty(blocks: Arrays, scale: float, binary_weights: int = 0) -> float:
    """Complexity of a network in nats: what the bound charges for its weights.

        pen(w) = 4 sum_blocks |w|_0 log(1 + |w|_1 / (tau |w|_0)) + p_bin log 2

    ``blocks`` are the vectors of real weights, on the slides w^real and w^scale; ``scale`` is tau
    and ``binary_weights`` is p_bin. Raises ``ValueError`` as ``block_penalty`` does.
    """
    non_negative(binary_weights=binary_weights)
    positive(scale=scale)
    return sum(block_penalty(block, scale) for block in blocks) + binary_weights * float(np.log(2))
