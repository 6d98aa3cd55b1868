import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso

from greenai_nb.learn.stack import Layer
from greenai_nb.prune.scale import ScaleRegularization


def test_a_proximal_step_minimises_its_objective():
    first, second = torch.randn(3, 4), torch.randn(2, 3)
    layers = [Layer(w.clone(), torch.ones_like(w).bool()) for w in (first, second)]
    ScaleRegularization(0.05).begin(layers, torch.Generator())([], 0.5, 0.4)
    threshold = 0.4 * 0.05 * float(second.abs().sum())
    trial = torch.linspace(-4, 4, 8001)
    for old, new in zip(first.flatten(), layers[0].weight.flatten(), strict=True):
        costs = (trial - old).square() / 2 + threshold * trial.abs()
        assert float(trial[costs.argmin()]) == pytest.approx(float(new), abs=2e-3)
    assert layers[1].mask.all()


@pytest.mark.parametrize("depth", [2, 3])
def test_rebalancing_turns_plain_l1_into_a_root_of_the_scale(depth):
    rng = np.random.default_rng(0)
    norms = rng.uniform(0.5, 3, depth)
    kappa = math.prod(norms)
    factors = kappa ** (1 / depth) / norms
    assert math.prod(factors) == pytest.approx(1)
    assert sum(factors * norms) == pytest.approx(depth * kappa ** (1 / depth))
    for _ in range(100):
        other = np.exp(rng.normal(size=depth))
        other /= math.prod(other) ** (1 / depth)
        assert sum(other * norms) >= depth * kappa ** (1 / depth) - 1e-9


def test_the_theorems_inequality_holds_on_its_event_and_breaks_off_it():
    """err(k^ g^)^2 <= inf err(k g)^2 + 2 lambda k if lambda >= 2 sup |mean(u g)|: linear, L1 ball."""
    rng, broken = np.random.default_rng(0), {2.0: 0, 0.2: 0}
    for _ in range(40):
        x, noise = rng.normal(size=(50, 20)), rng.normal(size=50)
        truth = x[:, :3] @ np.array([1.0, -0.5, 0.25])
        supremum = np.abs(x.T @ noise / 50).max()
        for factor in broken:
            penalty = factor * supremum
            options = {"fit_intercept": False, "tol": 1e-8, "max_iter": 100_000}
            # sklearn halves the squared error.
            found = Lasso(alpha=penalty / 2, **options).fit(x, truth + noise).coef_
            best = Lasso(alpha=penalty, **options).fit(x, truth).coef_
            right = np.mean((truth - x @ best) ** 2) + 2 * penalty * np.abs(best).sum()
            broken[factor] += np.mean((truth - x @ found) ** 2) > right + 1e-9
    assert broken[2.0] == 0 and broken[0.2] > 0
