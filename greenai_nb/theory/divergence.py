"""What it costs to move a prior to a network: divergences of its translate from it, in nats.

All are at most 4 log(1 + |u| / tau), since that bounds log pi_u / pi pointwise.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from greenai_nb.checks import finite, positive
from greenai_nb.theory.prior import Prior

SERIES_BELOW = 0.02
DECADES_AROUND_PEAKS = np.logspace(-6, 8, 43)
PANEL_NODES = 8
SERIES = (24 / 5, -8, 74 / 7, -64 / 5, 668 / 45, -84 / 5, 2883 / 154)


def translation_divergence(ratio: ArrayLike) -> Float[Array, "*shape"]:
    """Kullback-Leibler divergence KL(pi_u, pi) of the sparsity prior's translate by u, in nats.

    With a = |u| / tau (``ratio``) it has the closed form

        K(a) = 2 (i1 + i2 + i3) - 4/3,                       l = log(1 + a)
        i1 = l + 1/(2a) - 1/a^2 + l/a^3
        i2 = l - (1 - (1+a)^-2) / (2(2+a)) - a / ((1+a)(2+a)^2) - 2l / (2+a)^3
        i3 = l/a^3 - 1/(2a(1+a)^2) - 1/(a^2(1+a)),

    which loses digits for small a: below 0.02 the series 4.8 a^2 - 8 a^3 + (74/7) a^4 - ... replaces
    it. For large a it is 4 log(1 + a) - 4/3 + o(1).
    """
    size = np.abs(finite("ratio", ratio))
    a = np.maximum(size, SERIES_BELOW)
    logarithm = np.log1p(a)
    first = logarithm + 1 / (2 * a) - 1 / a**2 + logarithm / a**3
    second = (
        logarithm
        - (1 - (1 + a) ** -2.0) / (2 * (2 + a))
        - a / ((1 + a) * (2 + a) ** 2)
        - 2 * logarithm / (2 + a) ** 3
    )
    third = logarithm / a**3 - 1 / (2 * a * (1 + a) ** 2) - 1 / (a**2 * (1 + a))
    near_zero = np.minimum(size, SERIES_BELOW)
    series = near_zero**2 * np.polynomial.polynomial.polyval(near_zero, SERIES)
    return np.where(size < SERIES_BELOW, series, 2 * (first + second + third) - 4 / 3)


def renyi_divergence(prior: Prior, centre: float, order: float) -> float:
    """Renyi divergence of a prior's translate from the prior, by quadrature, in nats.

        D_alpha(pi_u, pi) = 1 / (alpha - 1) log int pi_u^alpha pi^(1 - alpha) ,

    and KL(pi_u, pi) for ``order`` alpha = 1. ``centre`` is u. The divergence grows with the order, up to
    the largest log ratio of the densities. Raises ``ValueError`` unless the order is positive.
    """
    positive(order=order)
    u = abs(centre)
    nodes, lengths = _line(prior.scale, u)
    base = prior.log_density(nodes)
    moved = prior.log_density(nodes - u)
    if order == 1:
        return float((np.exp(moved) * lengths) @ (moved - base))
    return float(logsumexp(order * moved + (1 - order) * base, b=lengths) / (order - 1))


def _line(scale: float, centre: float) -> tuple[Float[Array, " nodes"], Float[Array, " nodes"]]:
    """Quadrature nodes and the lengths they stand for, dense around the peaks 0 and ``centre``.

    The grid ends at a hundred million scales, beyond which a prior has negligible mass.
    """
    around = scale * np.concatenate([-DECADES_AROUND_PEAKS, [0.0], DECADES_AROUND_PEAKS])
    edges = np.unique(np.add.outer([0.0, centre], around))
    node, weight = np.polynomial.legendre.leggauss(PANEL_NODES)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + node)).ravel(), (half * weight).ravel()
