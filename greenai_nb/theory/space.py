"""Finite sets of decisions with a prior: signs are enumerated, real weights become quadrature nodes.

An expectation under the prior is then a sum, ``space.mean(values)``.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array

from greenai_nb.checks import positive, probabilities
from greenai_nb.theory.prior import Prior

PANEL_NODES = 8


@dataclass(frozen=True)
class Space:
    """Decisions, one per row, and the logs of their prior masses, which sum to one."""

    points: Float[Array, "decisions coordinates"]
    log_mass: Float[Array, " decisions"]

    def __post_init__(self) -> None:
        probabilities("log_mass", self.log_mass)
        if len(self.points) != len(self.log_mass):
            raise ValueError(f"{len(self.points)} points need as many masses, got {len(self.log_mass)}")

    def mean(self, values: Float[Array, "*shape decisions"]) -> Float[Array, "*shape"]:
        """Expectation under the prior of a value for each decision."""
        return np.asarray(values) @ np.exp(self.log_mass)


def signs(count: int) -> Space:
    """All vectors of ``count`` binary weights, uniformly: log(1/2) for each weight."""
    points = np.array(list(itertools.product([-1.0, 1.0], repeat=count)))
    return Space(points, np.full(len(points), -count * np.log(2)))


def nodes(prior: Prior, decades: tuple[int, int] = (-4, 6), panels_per_decade: int = 2) -> Space:
    """One real weight under a prior, by Gauss-Legendre quadrature.

    The nodes lie in panels that grow geometrically with |v| / tau between the given decades, so that
    the peak and the tail are both covered, in the coordinate s = 1 / (1 + |v| / tau). There the
    sparsity prior has the density 3 s^2, a polynomial, so that its mass and moments come out exact.
    Raises ``ValueError`` where the panels do not cover the mass of the prior.
    """
    positive(panels_per_decade=panels_per_decade, decades_spanned=decades[1] - decades[0])
    powers = np.logspace(*decades, (decades[1] - decades[0]) * panels_per_decade + 1)
    edges = 1 / (1 + np.concatenate([[0.0], powers, [np.inf]]))
    node, weight = np.polynomial.legendre.leggauss(PANEL_NODES)
    half = -np.diff(edges) / 2
    s = ((edges[:-1] - half)[:, None] - half[:, None] * node).ravel()
    size, length = prior.scale * (1 - s) / s, prior.scale * (half[:, None] * weight).ravel() / s**2
    log_mass = prior.log_density(size) + np.log(length)
    points = np.concatenate([-size[::-1], size])[:, None]
    return Space(points, np.concatenate([log_mass[::-1], log_mass]))


def product(first: Space, second: Space) -> Space:
    """Pairs of decisions, drawn independently; the second varies fastest."""
    left = np.repeat(first.points, len(second.points), axis=0)
    right = np.tile(second.points, (len(first.points), 1))
    return Space(np.hstack([left, right]), np.add.outer(first.log_mass, second.log_mass).ravel())
