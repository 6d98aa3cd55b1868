"""Priors on real weights: heavy tails, and most of the mass near zero.

The prior of the theorem, with scale tau, is

    pi_tau(v) = 3 / (2 tau) * (1 + |v| / tau)^-4 .

Its siblings are the same law cut off at a radius, which keeps the loss of a network bounded; its
version for whole groups of weights; and the Student laws, Cauchy's among them, that the authors'
programs run with. Every prior is symmetric, so that it can be moved to a network without bias.

Source: Gerchinovitz, *Sparsity regret bounds for individual sequences in online linear regression*,
JMLR 14 (2013), section 3; the cut-off form is in Chee, Loustau and Gay, hal-03262679, theorem 3.1.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array
from numpy.typing import ArrayLike
from scipy.special import beta, gammaln

from greenai_nb.checks import finite, non_negative, positive

EXPONENT = 4
TAIL = EXPONENT - 1

Shape = int | tuple[int, ...]


class Prior(Protocol):
    """A symmetric law on one real weight, whose support is [-radius, radius]."""

    @property
    def scale(self) -> float: ...
    @property
    def radius(self) -> float: ...
    def log_density(self, weight: ArrayLike) -> Float[Array, "*shape"]: ...
    def sample(self, shape: Shape, generator: np.random.Generator) -> Float[Array, "*shape"]: ...


@dataclass(frozen=True)
class HeavyTail:
    """The sparsity prior of the theorem; ``scale`` is tau, the root mean square of a weight."""

    scale: float
    radius = math.inf

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

    def absolute_moment(self, order: float) -> float:
        """E|v|^k = 3 tau^k B(k + 1, 3 - k): tau / 2 for k = 1, tau^2 for k = 2, infinite from 3 on."""
        non_negative(order=order)
        return TAIL * self.scale**order * beta(order + 1, TAIL - order) if order < TAIL else math.inf


@dataclass(frozen=True)
class Truncated:
    """The sparsity prior given |v| <= R; ``scale`` is tau and ``radius`` is R.

    With F(x) = P(|v| <= x) = 1 - (1 + x / tau)^-3 the density is pi_tau(v) / F(R) on [-R, R].
    """

    scale: float
    radius: float

    def __post_init__(self) -> None:
        positive(scale=self.scale, radius=self.radius)

    def log_density(self, weight: ArrayLike) -> Float[Array, "*shape"]:
        """Log of the density in nats, -inf outside the radius."""
        whole = HeavyTail(self.scale)
        inside = whole.log_density(weight) - np.log1p(-whole.tail(self.radius))
        return np.where(np.abs(weight) <= self.radius, inside, -np.inf)

    def sample(self, shape: Shape, generator: np.random.Generator) -> Float[Array, "*shape"]:
        """Draw weights exactly, from the part of the uniform law that lands inside the radius."""
        whole = HeavyTail(self.scale)
        covered = 1 - whole.tail(self.radius)
        return whole.quantile(0.5 + covered * (generator.random(shape) - 0.5))

    def noise_around(self, centre: float) -> "Truncated":
        """Law of the noise s that moves this prior to ``centre`` without leaving its support.

        It is the same prior cut off at R - |u|, so that u + s has mean u and stays in [-R, R]. The
        plain translate would leave the support, and its divergence from the prior be infinite.
        Raises ``ValueError`` unless |u| < R.
        """
        if not abs(centre) < self.radius:
            raise ValueError(f"centre must lie in (-{self.radius}, {self.radius}), got {centre!r}")
        return Truncated(self.scale, self.radius - abs(centre))


@dataclass(frozen=True)
class Student:
    """Student's law with a scale; one degree of freedom is Cauchy's law, which has no mean.

    The density is proportional to (1 + (v / scale)^2 / nu)^(-(nu + 1) / 2).
    """

    scale: float
    degrees_of_freedom: float = 1.0
    radius = math.inf

    def __post_init__(self) -> None:
        positive(scale=self.scale, degrees_of_freedom=self.degrees_of_freedom)

    def log_density(self, weight: ArrayLike) -> Float[Array, "*shape"]:
        """Log of the density, in nats."""
        nu = self.degrees_of_freedom
        normaliser = gammaln((nu + 1) / 2) - gammaln(nu / 2) - np.log(nu * np.pi) / 2
        spread = np.log1p((np.asarray(weight) / self.scale) ** 2 / nu)
        return normaliser - np.log(self.scale) - (nu + 1) / 2 * spread

    def sample(self, shape: Shape, generator: np.random.Generator) -> Float[Array, "*shape"]:
        """Draw weights."""
        return self.scale * generator.standard_t(self.degrees_of_freedom, shape)

    def absolute_moment(self, order: float) -> float:
        """E|v|^k, infinite from k = nu on: Cauchy's law has no mean size."""
        non_negative(order=order)
        nu = self.degrees_of_freedom
        if order >= nu:
            return math.inf
        logarithm = gammaln((order + 1) / 2) + gammaln((nu - order) / 2) - gammaln(nu / 2)
        return self.scale**order * nu ** (order / 2) * math.exp(logarithm) / math.sqrt(math.pi)


@dataclass(frozen=True)
class GroupHeavyTail:
    """The sparsity prior for a group of d weights that live and die together, such as a filter.

        pi(v) ~ (1 + ||v||_2 / tau)^-(3 + d)

    ``scale`` is tau and ``size`` is d; with d = 1 it is ``HeavyTail``. The mean square of a group
    is tau^2 d (d + 1) / 2: priors are compared at equal mean square, tau_group = tau sqrt(2 / (d + 1)).
    Source: Dalalyan and Tsybakov (2012), and the same triangle inequality as for one weight.
    """

    scale: float
    size: int

    def __post_init__(self) -> None:
        positive(scale=self.scale, size=self.size)

    def log_density(self, weight: Float[Array, "*shape size"]) -> Float[Array, "*shape"]:
        """Log of the density in nats, of groups that lie along the last axis."""
        groups = finite("weight", weight)
        if groups.shape[-1:] != (self.size,):
            raise ValueError(f"weight must have {self.size} entries a group, got shape {groups.shape}")
        d = self.size
        log_area = np.log(2) + d / 2 * np.log(np.pi) - gammaln(d / 2)
        log_normaliser = log_area + d * np.log(self.scale) + np.log(beta(d, TAIL))
        return -(TAIL + d) * np.log1p(np.linalg.norm(groups, axis=-1) / self.scale) - log_normaliser

    def sample(
        self, shape: tuple[int, ...], generator: np.random.Generator
    ) -> Float[Array, "*shape size"]:
        """Draw groups: a uniform direction, and a norm over tau that is a ratio of gamma variables."""
        direction = generator.standard_normal((*shape, self.size))
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        norm = generator.standard_gamma(self.size, shape) / generator.standard_gamma(TAIL, shape)
        return self.scale * norm[..., None] * direction
