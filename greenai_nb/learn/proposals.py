"""How accept-reject draws a new value for the weights that a move has selected.

A proposal is a law q(w' | w). It is symmetric if q(w' | w) = q(w | w'), and then drops out of the
acceptance ratio; otherwise the ratio needs ``log_density``. That is the condition, not the mean: the
authors' Cauchy steps have none.

Source: the slides, *Accept-Reject algorithm*; Metropolis et al. (1953); Hastings (1970).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array

from greenai_nb.theory.arguments import not_negative, positive
from greenai_nb.theory.prior import Prior


class Proposal(Protocol):
    """A law of new values given the old ones, in the units of the weights."""

    @property
    def symmetric(self) -> bool: ...
    def draw(
        self, old: Float[Array, " weights"], generator: np.random.Generator
    ) -> Float[Array, " weights"]: ...


class Asymmetric(Proposal, Protocol):
    """A proposal that states log q(new | old) in nats, summed over the weights, for Hastings' factor."""

    def log_density(self, new: Float[Array, " weights"], old: Float[Array, " weights"]) -> float: ...


@dataclass(frozen=True)
class Gaussian:
    """A normal step, w' = w + step z with z ~ N(0, 1) for each weight; ``step`` is sigma.

    Raises ``ValueError`` unless the step is positive. Source: Metropolis et al. (1953).
    """

    step: float
    symmetric = True

    def __post_init__(self) -> None:
        positive(step=self.step)

    def draw(
        self, old: Float[Array, " weights"], generator: np.random.Generator
    ) -> Float[Array, " weights"]:
        """Draw new values."""
        return old + self.step * generator.standard_normal(old.shape)


@dataclass(frozen=True)
class StudentStep:
    """A step from Student's law, w' = w + step t_nu for each weight; nu is ``degrees_of_freedom``.

    One degree of freedom is Cauchy's law, the authors' choice: many small steps and a few giant ones.
    Raises ``ValueError`` unless both are positive. Source: GreenAI-Uppa/deep_learning_mcmc.
    """

    step: float
    degrees_of_freedom: float = 1.0
    symmetric = True

    def __post_init__(self) -> None:
        positive(step=self.step, degrees_of_freedom=self.degrees_of_freedom)

    def draw(
        self, old: Float[Array, " weights"], generator: np.random.Generator
    ) -> Float[Array, " weights"]:
        """Draw new values."""
        return old + self.step * generator.standard_t(self.degrees_of_freedom, old.shape)


@dataclass(frozen=True)
class ScaleMixture:
    """A normal step of random size, w' = w + step 10^u z with u ~ U(-decades, decades).

    All weights of a move share u, so whole units are moved a little as well as a lot; no step size need
    be tuned to better than ``decades`` powers of ten. Raises ``ValueError`` unless step is positive and
    decades not negative. Source: a mixture of symmetric kernels, Tierney (1994), section 2.4.
    """

    step: float
    decades: float = 1.0
    symmetric = True

    def __post_init__(self) -> None:
        positive(step=self.step)
        not_negative(decades=self.decades)

    def draw(
        self, old: Float[Array, " weights"], generator: np.random.Generator
    ) -> Float[Array, " weights"]:
        """Draw new values."""
        size = self.step * 10 ** generator.uniform(-self.decades, self.decades)
        return old + size * generator.standard_normal(old.shape)


@dataclass(frozen=True)
class Redraw:
    """A draw from a prior without a look at the old value, q(w' | w) = prod_j pi(w'_j).

    Under the same prior the chain's ratio is the data's alone, as prior and proposal cancel; weights die
    (return to near zero) and are born again. Not symmetric. Source: Hastings (1970), section 2.
    """

    prior: Prior
    symmetric = False

    def draw(
        self, old: Float[Array, " weights"], generator: np.random.Generator
    ) -> Float[Array, " weights"]:
        """Draw new values."""
        return self.prior.sample(old.shape, generator)

    def log_density(self, new: Float[Array, " weights"], old: Float[Array, " weights"]) -> float:
        """Log q(new | old) = sum_j log pi(new_j), in nats."""
        return float(self.prior.log_density(new).sum())


@dataclass(frozen=True)
class SignFlip:
    """The opposite sign, w' = -w: the one move there is for a binary weight.

    Symmetric, as the flip undoes itself. Source: the slides' w^bin; Metropolis et al. (1953) on spins.
    """

    symmetric = True

    def draw(
        self, old: Float[Array, " weights"], generator: np.random.Generator
    ) -> Float[Array, " weights"]:
        """Draw new values."""
        return -old
