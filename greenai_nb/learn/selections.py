"""Which weights an accept-reject move acts on.

A selection draws a set of weights of one parameter without a look at their values. The chance to select
the same set is then equal on the way there and back, and cancels in the acceptance ratio.

Source: GreenAI-Uppa/deep_learning_mcmc, whose moves are single weights, filters and blocks of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Int64
from numpy import ndarray as Array
from torch import Tensor

from greenai_nb.theory.arguments import positive


class Selection(Protocol):
    """A law of sets of weights; ``layer`` is a parameter's name as in ``net.named_parameters()``.

    ``check`` raises ``ValueError`` where the network has no such weights. ``draw`` gives the name, and
    places of distinct weights in the flattened parameter.
    """

    @property
    def layer(self) -> str: ...
    def check(self, weights: Mapping[str, Tensor]) -> None: ...
    def draw(
        self, weights: Mapping[str, Tensor], generator: np.random.Generator
    ) -> tuple[str, Int64[Array, " selected"]]: ...


@dataclass(frozen=True)
class Weights:
    """``count`` distinct weights of a parameter, every set with the same chance 1 / C(p, count).

    Raises ``ValueError`` unless the count is positive and, in ``check``, at most the parameter's p.
    """

    layer: str
    count: int = 1

    def __post_init__(self) -> None:
        positive(count=self.count)

    def check(self, weights: Mapping[str, Tensor]) -> None:
        """Raise ``ValueError`` unless the parameter exists and is large enough."""
        _at_most(self.count, named(self.layer, weights).numel(), self.layer)

    def draw(
        self, weights: Mapping[str, Tensor], generator: np.random.Generator
    ) -> tuple[str, Int64[Array, " selected"]]:
        """Draw the weights."""
        return self.layer, generator.choice(weights[self.layer].numel(), self.count, replace=False)


@dataclass(frozen=True)
class Unit:
    """All weights of one unit, a row of a linear layer or a filter of a convolution, chance 1 / units.

    ``check`` raises ``ValueError`` for a parameter that has no units, such as a bias.
    """

    layer: str

    def check(self, weights: Mapping[str, Tensor]) -> None:
        """Raise ``ValueError`` unless the parameter exists and has units."""
        _unit_size(self.layer, weights)

    def draw(
        self, weights: Mapping[str, Tensor], generator: np.random.Generator
    ) -> tuple[str, Int64[Array, " selected"]]:
        """Draw the unit."""
        size = weights[self.layer][0].numel()
        return self.layer, _unit(weights[self.layer], generator) * size + np.arange(size)


@dataclass(frozen=True)
class Block:
    """``count`` distinct weights of one unit, every set with chance 1 / (units C(size, count)).

    Raises ``ValueError`` unless the count is positive and, in ``check``, at most the unit's size.
    """

    layer: str
    count: int

    def __post_init__(self) -> None:
        positive(count=self.count)

    def check(self, weights: Mapping[str, Tensor]) -> None:
        """Raise ``ValueError`` unless the parameter exists and has units that are large enough."""
        _at_most(self.count, _unit_size(self.layer, weights), f"one unit of {self.layer}")

    def draw(
        self, weights: Mapping[str, Tensor], generator: np.random.Generator
    ) -> tuple[str, Int64[Array, " selected"]]:
        """Draw the unit, and weights of it."""
        size = weights[self.layer][0].numel()
        first = _unit(weights[self.layer], generator) * size
        return self.layer, first + generator.choice(size, self.count, replace=False)


def named(name: str, weights: Mapping[str, Tensor]) -> Tensor:
    """The parameter of that name; ``ValueError`` names those that there are."""
    if name not in weights:
        raise ValueError(f"the network has no parameter {name!r}, it has {', '.join(weights)}")
    return weights[name]


def _at_most(count: int, size: int, where: str) -> None:
    if count > size:
        raise ValueError(f"cannot select {count} weights of {where}, which has {size}")


def _unit_size(name: str, weights: Mapping[str, Tensor]) -> int:
    weight = named(name, weights)
    if weight.ndim < 2:
        layered = [other for other, tensor in weights.items() if tensor.ndim > 1]
        raise ValueError(f"{name!r} has no units to select; parameters with units: {', '.join(layered)}")
    return weight[0].numel()


def _unit(weight: Tensor, generator: np.random.Generator) -> int:
    return int(generator.integers(len(weight)))
