"""The prior on real weights: a heavy tail, and most of the mass near zero.

The prior of the theorem, with scale tau, is

    pi_tau(v) = 3 / (2 tau) * (1 + |v| / tau)^-4 .

It is symmetric, so that it can be moved to a network without bias.

Source: Gerchinovitz, *Sparsity regret bounds for individual sequences in online linear regression*,
JMLR 14 (2013), section 3.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array
from numpy.typing import ArrayLike

from greenai_nb.checks import positive

EXPONENT = 4
TAIL = EXPONENT - 1

Shape = int | tuple[int, ...]


class Prior(Protocol):
    """A symmetric distribution of one real weight."""

    @property
    def scale(self) -> float: ...
    def log_density(self, weight: ArrayLike) -> Float[Array, "*shape"]: ...
    def sample(self, shape: Shape, generator: np.random.Generator) -> Float[Array, "*shape"]: ...


@dataclass(frozen=True)
class HeavyTail:
    """The sparsity prior of the theorem; ``scale`` is tau, the root mean square of a weight."""

    scale: float

    def __post_init__(self) -> None:
        positive(scale=self.scale)

    def log_density(self, weight: ArrayLike) -> Float[Array, "*shape"]:
        """Log of the density in nats, log(3 / (2 tau)) - 4 log(1 + |v| / tau)."""
        return np.log(TAIL / 2 / self.scale) - EXPONENT * np.log1p(np.abs(weight) / self.scale)

    def tail(self, threshold: ArrayLike) -> Float[Array, "*shape"]:
        """Probability that a weight exceeds a threshold in size, P(|v| > x) = (1 + x / tau)^-3."""
        return (1 + np.asarray(threshold) / self.scale) ** -TAIL

    def quantile(self, probability: ArrayLike) -> Float[Array, "*shape"]:
        """Inverse of the distribution function, sign(q - 1/2) tau ((2 min(q, 1 - q))^(-1/3) - 1)."""
        q = np.asarray(probability, float)
        return np.sign(q - 0.5) * self.scale * ((2 * np.minimum(q, 1 - q)) ** (-1 / TAIL) - 1)

    def sample(self, shape: Shape, generator: np.random.Generator) -> Float[Array, "*shape"]:
        """Draw weights exactly, by inverting the distribution function."""
        return self.quantile(generator.random(shape))


@dataclass(frozen=True)
class Cauchy:
    """The authors' prior, Student's with one degree of freedom: pi(v) = 1 / (pi s (1 + (v / s)^2)).

    ``scale`` is s; the tail is so heavy that no moment exists. Source: GreenAI-Uppa/deep_learning_mcmc.
    """

    scale: float

    def __post_init__(self) -> None:
        positive(scale=self.scale)

    def log_density(self, weight: ArrayLike) -> Float[Array, "*shape"]:
        """Log of the density in nats."""
        return -np.log(np.pi * self.scale) - np.log1p(np.square(np.asarray(weight) / self.scale))

    def sample(self, shape: Shape, generator: np.random.Generator) -> Float[Array, "*shape"]:
        """Draw weights."""
        return self.scale * generator.standard_cauchy(shape)
