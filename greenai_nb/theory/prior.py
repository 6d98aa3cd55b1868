"""The sparsity prior of the theorem: heavy tails, and most of its mass near zero.

On one real weight v, with scale tau,

    pi_tau(v) = 3 / (2 tau) * (1 + |v| / tau)^-4 ,

so E|v| = tau / 2, E v^2 = tau^2 and P(|v| > x) = (1 + x / tau)^-3. Binary weights are uniform.

Source: Gerchinovitz, *Sparsity regret bounds for individual sequences in online linear regression*,
JMLR 14 (2013), section 3; the truncated form is in Chee, Loustau and Gay, hal-03262679, theorem 3.1.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array

EXPONENT = 4
SERIES_BELOW = 5e-3
PANEL_NODES = 8


def log_density(weight: Float[Array, "*shape"] | float, scale: float) -> Float[Array, "*shape"]:
    """Log of the prior density, log(3 / (2 tau)) - 4 log(1 + |v| / tau), in nats."""
    return np.log(1.5 / scale) - EXPONENT * np.log1p(np.abs(weight) / scale)


def tail(threshold: Float[Array, "*shape"] | float, scale: float) -> Float[Array, "*shape"]:
    """Probability that a weight exceeds a threshold in size, P(|v| > x) = (1 + x / tau)^-3."""
    return (1 + np.asarray(threshold) / scale) ** (1 - EXPONENT)


def sample(
    shape: int | tuple[int, ...], scale: float, generator: np.random.Generator
) -> Float[Array, "*shape"]:
    """Draw weights from the prior by inverting its distribution function.

    v = sign(q - 1/2) tau ((2 min(q, 1 - q))^(-1/3) - 1) for q uniform on (0, 1).
    """
    uniform = generator.random(shape)
    size = (2 * np.minimum(uniform, 1 - uniform)) ** (-1 / (EXPONENT - 1)) - 1
    return np.sign(uniform - 0.5) * scale * size


def translation_divergence(ratio: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Kullback-Leibler divergence from the prior to its translate by u, in nats.

    With a = |u| / tau (``ratio``) it has the closed form

        K(a) = 2 (i1 + i2 + i3) - 4/3,                       l = log(1 + a)
        i1 = l + 1/(2a) - 1/a^2 + l/a^3
        i2 = l - (1 - (1+a)^-2) / (2(2+a)) - a / ((1+a)(2+a)^2) - 2l / (2+a)^3
        i3 = l/a^3 - 1/(2a(1+a)^2) - 1/(a^2(1+a)),

    which cancels for small a; below 0.005 the series 4.8 a^2 - 8 a^3 + (74/7) a^4 is used. For
    large a it is 4 log(1 + a) - 4/3.
    """
    ratio = np.abs(np.asarray(ratio, float))
    a = np.maximum(ratio, SERIES_BELOW)
    logarithm = np.log1p(a)
    first = logarithm + 1 / (2 * a) - 1 / a**2 + logarithm / a**3
    second = (
        logarithm
        - (1 - (1 + a) ** -2.0) / (2 * (2 + a))
        - a / ((1 + a) * (2 + a) ** 2)
        - 2 * logarithm / (2 + a) ** 3
    )
    third = logarithm / a**3 - 1 / (2 * a * (1 + a) ** 2) - 1 / (a**2 * (1 + a))
    series = 4.8 * ratio**2 - 8 * ratio**3 + 74 / 7 * ratio**4
    return np.where(ratio < SERIES_BELOW, series, 2 * (first + second + third) - 4 / 3)


def quadrature(
    scale: float, decades: tuple[float, float] = (-6, 6), panels_per_decade: int = 4
) -> tuple[Float[Array, " nodes"], Float[Array, " nodes"]]:
    """Nodes on the line and their prior masses: integrals under the prior become sums.

    Gauss-Legendre nodes on panels that grow geometrically with |v| / tau, so that the peak at zero
    and the tail are both covered; the few parts in 10^18 beyond the last panel are left out.
    """
    edges = np.concatenate(
        [[0], np.logspace(*decades, int((decades[1] - decades[0]) * panels_per_decade) + 1)]
    )
    node, weight = np.polynomial.legendre.leggauss(PANEL_NODES)
    half = np.diff(edges) / 2
    positive = ((edges[:-1] + half)[:, None] + half[:, None] * node).ravel() * scale
    mass = (half[:, None] * weight).ravel() * scale * np.exp(log_density(positive, scale))
    return np.concatenate([-positive[::-1], positive]), np.concatenate([mass[::-1], mass])
