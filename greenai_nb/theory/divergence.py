"""What it costs to move a prior to a network: divergences of the translate, in nats.

All of them are capped by 4 log(1 + |u| / tau), since log pi_u / pi is, pointwise.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from greenai_nb.checks import finite, positive
from greenai_nb.theory.prior import EXPONENT, HeavyTail, Prior, Truncated

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

    which cancels for small a; below 0.02 its series 4.8 a^2 - 8 a^3 + (74/7) a^4 - ... is used. For
    large a it is 4 log(1 + a) - 4/3 + o(1).
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

    and KL(pi_u, pi) for ``order`` alpha = 1. ``centre`` is u. It grows with the order, up to the
    largest log ratio of the densities. A prior with a radius has no translate: use
    ``truncated_divergence`` for it. Raises ``ValueError`` unless the order is positive.
    """
    positive(order=order)
    if np.isfinite(prior.radius):
        raise ValueError("prior must have the whole line as its support, got a radius")
    u = abs(centre)
    at, length = _line(prior.scale, u)
    base = prior.log_density(at)
    moved = prior.log_density(at - u)
    if order == 1:
        return float((np.exp(moved) * length) @ (moved - base))
    return float(logsumexp(order * moved + (1 - order) * base, b=length) / (order - 1))


def truncated_divergence(prior: Truncated, centre: float) -> float:
    """KL of ``u + prior.noise_around(u)`` from a cut-off prior, by quadrature, in nats.

    Raises ``ValueError`` unless ``centre`` u lies inside the prior's radius.
    """
    noise, u = prior.noise_around(centre), abs(centre)
    at, length = _line(prior.scale, u, u - noise.radius, u + noise.radius)
    moved = noise.log_density(at - u)
    return float((np.exp(moved) * length) @ (moved - prior.log_density(at)))


def truncated_divergence_bound(
    weight: Float[Array, " weights"], prior: Truncated
) -> Float[Array, " weights"]:
    """Bound on ``truncated_divergence`` for each weight, in nats.

        4 log(1 + |u| / tau) + log(F(R) / F(R - |u|)),   F(x) = 1 - (1 + x / tau)^-3 .

    The second term is the price of staying inside; a weight of zero costs nothing.
    """
    size = np.abs(finite("weight", weight))
    whole = HeavyTail(prior.scale)
    if np.any(size >= prior.radius):
        raise ValueError(f"weight must lie within the radius {prior.radius}, got {float(size.max())!r}")
    inside = np.log1p(-whole.tail(prior.radius)) - np.log1p(-whole.tail(prior.radius - size))
    return EXPONENT * np.log1p(size / prior.scale) + inside


def _line(
    scale: float, centre: float, low: float = -np.inf, high: float = np.inf
) -> tuple[Float[Array, " nodes"], Float[Array, " nodes"]]:
    """Nodes on [low, high] and the lengths they stand for, dense around the peaks 0 and ``centre``.

    Infinite ends are taken at a hundred million scales, where the priors have no mass left to speak of.
    """
    around = scale * np.concatenate([-DECADES_AROUND_PEAKS, [0.0], DECADES_AROUND_PEAKS])
    edges = np.unique(np.clip(np.add.outer([0.0, centre], around), low, high))
    node, weight = np.polynomial.legendre.leggauss(PANEL_NODES)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + node)).ravel(), (half * weight).ravel()
