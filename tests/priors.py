"""Priors that are not the project's own, by scipy, to test what takes any prior."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from greenai_nb.theory.prior import HeavyTail


@dataclass(frozen=True)
class Student:
    """Student's distribution with its scale."""

    scale: float
    degrees_of_freedom: float = 1.0

    def log_density(self, v):
        return stats.t.logpdf(v, self.degrees_of_freedom, scale=self.scale)

    def sample(self, shape, generator):
        return self.scale * generator.standard_t(self.degrees_of_freedom, shape)


@dataclass(frozen=True)
class Truncated:
    """The sparsity prior within a radius, and nothing beyond."""

    scale: float
    radius: float

    def log_density(self, v):
        whole = HeavyTail(self.scale)
        inside = whole.log_density(v) - np.log1p(-whole.tail(self.radius))
        return np.where(np.abs(v) <= self.radius, inside, -np.inf)

    def sample(self, shape, generator):
        found = np.full(shape, np.inf)
        while (outside := np.abs(found) > self.radius).any():
            found[outside] = HeavyTail(self.scale).sample((int(outside.sum()),), generator)
        return found
