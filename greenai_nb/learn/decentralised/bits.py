"""A chain on all vectors of a few bits: small enough to hold tempering against enumeration."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array

from greenai_nb.checks import finite

Random = Mapping[str, Any]  # the state of a generator


class BitsState(NamedTuple):
    """A row of ``theory.space.signs``, and the state of the generator."""

    row: int
    generator: Random


class Bits:
    """Metropolis flips of single bits, drawn uniformly, for a summed loss of every vector of bits.

    Raises ``ValueError`` unless there is a loss for each vector.
    """

    def __init__(self, losses: Float[Array, " states"]) -> None:
        self.losses = finite("losses", losses).tolist()
        self.bits = len(self.losses).bit_length() - 1
        if self.bits < 1 or len(self.losses) != 2**self.bits:
            raise ValueError(f"a loss for each of 2, 4, 8, ... vectors is expected, got {len(losses)}")
        self.row, self.generator = 0, np.random.default_rng()

    def start(self, seed: int) -> BitsState:
        """All bits at -1."""
        return BitsState(0, np.random.default_rng(seed).bit_generator.state)

    def state(self) -> BitsState:
        """Where the chain is, and how its generator goes on."""
        return BitsState(self.row, self.generator.bit_generator.state)

    def restore(self, state: BitsState) -> None:
        """Go back to a state."""
        self.row, self.generator.bit_generator.state = state

    def advance(self, steps: int, inverse_temperature: float) -> None:
        """Propose so many flips, and accept each with probability min(1, exp(-lambda D))."""
        flips = self.generator.integers(0, self.bits, steps)
        log_uniforms = np.log1p(-self.generator.random(steps))
        for flip, log_uniform in zip(flips.tolist(), log_uniforms.tolist(), strict=True):
            proposed = self.row ^ (1 << flip)
            if log_uniform < inverse_temperature * (self.losses[self.row] - self.losses[proposed]):
                self.row = proposed

    def loss(self) -> float:
        """Loss of the state."""
        return self.losses[self.row]
