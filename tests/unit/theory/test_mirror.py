"""Minimisers for three divergences against optimality conditions, a projection and a general solver."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from greenai_nb.theory import mirror

DIVERGENCES = {
    "kullback_leibler": lambda rho, pi: np.sum(np.where(rho > 0, rho * np.log(rho / pi), 0)),
    "chi_square": lambda rho, pi: np.sum(rho**2 / pi) - 1,
    "renyi_half": lambda rho, pi: -2 * np.log(np.sum(np.sqrt(rho * pi))),
}
TEMPERATURES = st.floats(0.01, 50)


def project(point):
    """The nearest point of the simplex, by trying every size of the support."""
    found = []
    for size in range(1, len(point) + 1):
        kept = np.argsort(-point)[:size]
        candidate = np.zeros(len(point))
        candidate[kept] = point[kept] + (1 - point[kept].sum()) / size
        if candidate.min() >= 0:
            found.append(candidate)
    return min(found, key=lambda candidate: np.sum((candidate - point) ** 2))


@given(st.integers(0, 10_000), TEMPERATURES)
def test_chi_square_meets_the_conditions_of_karush_kuhn_and_tucker(random_table, seed, lam):
    losses, log_prior, _ = random_table(seed, decisions=30)
    total, prior = losses.sum(0), np.exp(log_prior)
    rho = mirror.chi_square(total, log_prior, lam)
    gradient = lam * total + 2 * rho / prior
    held = rho > 0
    assert rho.sum() == pytest.approx(1, abs=1e-12) and rho.min() >= 0
    assert np.ptp(gradient[held]) <= 1e-9 * np.abs(gradient).max()
    assert (gradient[~held] >= gradient[held].max() - 1e-9 * np.abs(gradient).max()).all()


@given(st.integers(0, 10_000), TEMPERATURES)
def test_chi_square_with_a_uniform_prior_is_a_projection(seed, lam):
    losses = np.random.default_rng(seed).gamma(2, 1, 25)
    rho = mirror.chi_square(losses, np.full(25, -np.log(25)), lam)
    assert rho == pytest.approx(project(-lam * losses / 50), abs=1e-12)


@given(st.integers(0, 10_000), TEMPERATURES)
def test_the_derivative_of_the_renyi_objective_is_the_same_everywhere(random_table, seed, lam):
    losses, log_prior, _ = random_table(seed, decisions=30)
    total, prior = losses.sum(0), np.exp(log_prior)
    rho = mirror.renyi_half(total, log_prior, lam)
    gradient = lam * total - np.sqrt(prior / rho) / np.sum(np.sqrt(rho * prior))
    assert rho.sum() == pytest.approx(1) and (rho > 0).all()
    assert np.ptp(gradient) <= 1e-6 * np.abs(gradient).max()


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("lam", [0.1, 1.0, 3.0])
def test_a_general_solver_finds_nothing_lower(random_table, name, lam):
    losses, log_prior, rng = random_table(3)
    total, prior = losses.sum(0), np.exp(log_prior)

    def objective(rho):
        return lam * rho @ total + DIVERGENCES[name](np.maximum(rho, 0), prior)

    ours = getattr(mirror, name)(total, log_prior, lam)
    sums_to_one = {"type": "eq", "fun": lambda rho: rho.sum() - 1}
    settings = {"bounds": [(1e-12, 1)] * 6, "constraints": sums_to_one, "options": {"ftol": 1e-13}}
    theirs = minimize(objective, prior, method="SLSQP", **settings)
    assert objective(ours) == pytest.approx(theirs.fun, abs=1e-6)
    assert all(objective(ours) <= objective(rho) for rho in rng.dirichlet(np.ones(6), 100))


@pytest.mark.parametrize("name", DIVERGENCES)
def test_equal_losses_leave_the_prior_and_a_sure_decision_stays(random_table, name):
    _, log_prior, _ = random_table(4)
    minimiser = getattr(mirror, name)
    assert minimiser(np.full(6, 2.5), log_prior, 7.0) == pytest.approx(np.exp(log_prior))
    assert minimiser(np.array([3.0]), np.zeros(1), 7.0) == pytest.approx([1])


@pytest.mark.parametrize(
    ("losses", "log_prior", "lam", "said"),
    [
        ([1.0, 2.0], np.log([0.5, 0.4]), 1.0, "sum to 1; they sum to 0.9"),
        ([1.0, np.nan], np.log([0.5, 0.5]), 1.0, "finite numbers .* got .nan"),
        ([1.0, 2.0, 3.0], np.log([0.5, 0.5]), 1.0, r"each decision, got \(3,\) and \(2,\)"),
        ([1.0, 2.0], np.log([0.5, 0.5]), 0.0, "inverse_temperature must be .* got 0.0"),
        ([1.0, 2.0], np.array([0.0, -np.inf]), 1.0, "leave that decision out"),
    ],
)
@pytest.mark.parametrize("name", DIVERGENCES)
def test_bad_input_is_named(name, losses, log_prior, lam, said):
    with pytest.raises(ValueError, match=said):
        getattr(mirror, name)(losses, log_prior, lam)
