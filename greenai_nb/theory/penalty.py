"""The price of a network in the sparsity regret bound.

Source: the slides, *Sparsity regret bound, XNOR-Nets case*; Chee, Loustau and Gay, hal-03262679.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array

from greenai_nb.theory.prior import EXPONENT


def penalty(blocks: Sequence[Float[Array, " weights"]], scale: float, binary_weights: int = 0) -> float:
    """Complexity of a network in nats: what the bound charges for its weights.

        pen(w) = 4 sum_blocks |w|_0 log(1 + |w|_1 / (tau |w|_0)) + p_bin log 2

    ``blocks`` are the vectors of real weights, on the slides w^real and w^scale; ``scale`` is tau
    and ``binary_weights`` is p_bin. A block of zeros costs nothing. Raises ``ValueError`` unless
    the scale is positive.
    """
    if scale <= 0:
        raise ValueError(f"the prior's scale must be positive, got {scale}")
    price = binary_weights * np.log(2)
    for block in blocks:
        size = np.abs(np.asarray(block, float))
        if active := np.count_nonzero(size):
            price += EXPONENT * active * np.log1p(size.sum() / (scale * active))
    return float(price)


def coordinate_price(weight: Float[Array, "*shape"] | float, scale: float) -> Float[Array, "*shape"]:
    """Price of single weights before they are pooled into blocks, 4 log(1 + |w_j| / tau), in nats.

    It is the drop of the log prior from 0 to w_j, and a pointwise bound on the log density ratio
    of the translated prior, hence on its divergence from the prior (the triangle inequality
    1 + |v| / tau <= (1 + |v - u| / tau)(1 + |u| / tau)). Its sum is at most the block's penalty,
    since the logarithm is concave.
    """
    return EXPONENT * np.log1p(np.abs(weight) / scale)
