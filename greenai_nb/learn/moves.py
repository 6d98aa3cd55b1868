"""The moves of an accept-reject chain: which weights are selected, and how new values are proposed.

A *selection* draws a set of weights of one parameter without looking at their values. The chance of
selecting a given set is then the same for a move and its reverse, and cancels in the acceptance ratio.

A *proposal* is a distribution q(w' | w). If q(w' | w) = q(w | w') it is symmetric and drops out of the
acceptance ratio; otherwise the ratio needs ``log_density``. Symmetry is the condition, not a mean of
zero: the authors' Cauchy steps have no mean.

Source: the slides, *Accept-Reject algorithm*; GreenAI-Uppa/deep_learning_mcmc, whose moves are single
weights, filters and blocks of them; Metropolis et al. (1953); Hastings (1970).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray as Array
from torch import Tensor

from greenai_nb.checks import non_negative, positive
from greenai_nb.theory.prior import Prior

Values = Float[Array, " weights"]
Parameters = Mapping[str, Tensor]
Selected = tuple[str, Int64[Array, " selected"]]  # a parameter's name, and flat indices into it


class Proposal(Protocol):
    """A distribution of new values given the old ones, in the units of the weights."""

    @property
    def symmetric(self) -> bool: ...
    def draw(self, old: Values, generator: np.random.Generator) -> Values: ...


class Asymmetric(Proposal, Protocol):
    """A proposal that states log q(new | old) in nats, summed over the weights, for Hastings' factor."""

    def log_density(self, new: Values, old: Values) -> float: ...


@dataclass(frozen=True)
class StudentStep:
    """A step from Student's distribution, w' = w + step t_nu; nu is ``degrees_of_freedom``.

    One degree of freedom is Cauchy's, the authors' choice: many small steps and a few giant ones.
    Raises ``ValueError`` unless both are positive. Source: GreenAI-Uppa/deep_learning_mcmc.
    """

    step: float
    degrees_of_freedom: float = 1.0
    symmetric = True

    def __post_init__(self) -> None:
        positive(step=self.step, degrees_of_freedom=self.degrees_of_freedom)

    def draw(self, old: Values, generator: np.random.Generator) -> Values:
        """Draw new values."""
        return old + self.step * generator.standard_t(self.degrees_of_freedom, old.shape)


@dataclass(frozen=True)
class ScaleMixture:
    """A normal step of random size, w' = w + step 10^u z with u ~ U(-decades, decades).

    All weights of a move share u, so whole units are moved a little as well as a lot; the step needs
    tuning only to within ``decades`` powers of ten. With 0 decades it is Metropolis's normal step of one
    size. Raises ``ValueError`` unless step is positive and decades not negative.
    Source: a mixture of symmetric kernels, Tierney (1994), section 2.4.
    """

    step: float
    decades: float = 1.0
    symmetric = True

    def __post_init__(self) -> None:
        positive(step=self.step)
        non_negative(decades=self.decades)

    def draw(self, old: Values, generator: np.random.Generator) -> Values:
        """Draw new values."""
        size = self.step * 10 ** generator.uniform(-self.decades, self.decades)
        return old + size * generator.standard_normal(old.shape)


@dataclass(frozen=True)
class Redraw:
    """A draw from a prior that ignores the old value, q(w' | w) = prod_j pi(w'_j).

    If it is the chain's prior, it cancels with the proposal and only the data remain; weights die
    (return to near zero) and are born again. Not symmetric. Source: Hastings (1970), section 2.
    """

    prior: Prior
    symmetric = False

    def draw(self, old: Values, generator: np.random.Generator) -> Values:
        """Draw new values."""
        return self.prior.sample(old.shape, generator)

    def log_density(self, new: Values, old: Values) -> float:
        """Log q(new | old) = sum_j log pi(new_j), in nats."""
        return float(self.prior.log_density(new).sum())


@dataclass(frozen=True)
class SignFlip:
    """The opposite sign, w' = -w: the only move of a binary weight.

    Symmetric, as the flip undoes itself. Source: the slides' w^bin; Metropolis et al. (1953) on spins.
    """

    symmetric = True

    def draw(self, old: Values, generator: np.random.Generator) -> Values:
        """Draw new values."""
        return -old


class Selection(Protocol):
    """A distribution over sets of weights; ``parameter`` is a name as in ``net.named_parameters()``.

    ``check`` raises ``ValueError`` where the network has no such weights. ``draw`` gives the name, and
    flat indices of distinct weights.
    """

    @property
    def parameter(self) -> str: ...
    def check(self, weights: Parameters) -> None: ...
    def draw(self, weights: Parameters, generator: np.random.Generator) -> Selected: ...


@dataclass(frozen=True)
class Weights:
    """``count`` distinct weights of a parameter, every set with the same chance 1 / C(p, count).

    Raises ``ValueError`` unless the count is positive and, in ``check``, at most the parameter's p.
    """

    parameter: str
    count: int = 1

    def __post_init__(self) -> None:
        positive(count=self.count)

    def check(self, weights: Parameters) -> None:
        """Raise ``ValueError`` unless the parameter exists and is large enough."""
        _at_most(self.count, named(self.parameter, weights).numel(), self.parameter)

    def draw(self, weights: Parameters, generator: np.random.Generator) -> Selected:
        """Draw the weights."""
        size = weights[self.parameter].numel()
        return self.parameter, generator.choice(size, self.count, replace=False)


@dataclass(frozen=True)
class Unit:
    """Weights of one unit, a row of a linear layer or a filter: ``count`` distinct ones, or all.

    Every set has the chance 1 / (units C(size, count)). Raises ``ValueError`` unless the count is
    positive; ``check`` does where it exceeds a unit, and for what has no units, such as a bias.
    """

    parameter: str
    count: int | None = None

    def __post_init__(self) -> None:
        positive(count=1 if self.count is None else self.count)

    def check(self, weights: Parameters) -> None:
        """Raise ``ValueError`` unless the parameter exists and has units that are large enough."""
        weight = named(self.parameter, weights)
        if weight.ndim < 2:
            layered = ", ".join(other for other, tensor in weights.items() if tensor.ndim > 1)
            raise ValueError(f"{self.parameter!r} has no units to select; with units: {layered}")
        _at_most(self.count or 1, weight[0].numel(), f"one unit of {self.parameter}")

    def draw(self, weights: Parameters, generator: np.random.Generator) -> Selected:
        """Draw the unit, and weights of it."""
        units, size = len(weights[self.parameter]), weights[self.parameter][0].numel()
        inside = np.arange(size)
        if self.count is not None:
            inside = generator.choice(size, self.count, replace=False)
        return self.parameter, generator.integers(units) * size + inside


@dataclass(frozen=True)
class Move:
    """A selection and a proposal; a chain draws each of its moves with probability frequency / sum.

    Raises ``ValueError`` unless the frequency is positive, and for a proposal that lacks its density.
    """

    selection: Selection
    proposal: Proposal
    frequency: float = 1.0

    def __post_init__(self) -> None:
        positive(frequency=self.frequency)
        if not (self.proposal.symmetric or hasattr(self.proposal, "log_density")):
            lacks = f"{type(self.proposal).__name__} is not symmetric and has no log_density"
            raise ValueError(f"{lacks}: add a method log_density(new, old) that gives log q(new | old)")


def named(name: str, weights: Parameters) -> Tensor:
    """The parameter of that name; ``ValueError`` lists those that exist."""
    if name not in weights:
        raise ValueError(f"the network has no parameter {name!r}, it has {', '.join(weights)}")
    return weights[name]


def _at_most(count: int, size: int, where: str) -> None:
    if count > size:
        raise ValueError(f"cannot select {count} weights of {where}, which has {size}")
