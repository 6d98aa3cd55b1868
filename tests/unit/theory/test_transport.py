"""Wasserstein-1: the linear programme, its dual, the line, and the minimiser against all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance

from greenai_nb.theory import moving, transport

SEEDS = st.integers(0, 10_000)


def metric(rng, count):
    """Shortest ways in a random complete graph."""
    distance = rng.random((count, count))
    distance = distance + distance.T
    np.fill_diagonal(distance, 0)
    for k in range(count):
        distance = np.minimum(distance, distance[:, [k]] + distance[[k]])
    return distance


def masses(rng, count):
    return rng.dirichlet(np.full(count, 0.5), 2)


@given(SEEDS, st.integers(1, 9))
def test_the_programme_and_its_dual_by_the_c_transform_agree(seed, count):
    rng = np.random.default_rng(seed)
    distance, (rho, prior) = metric(rng, count), masses(rng, count)
    f = transport.potential(rho, prior, distance)
    dual = prior @ transport.c_transform(f, distance) - rho @ f
    assert dual == pytest.approx(transport.wasserstein(rho, prior, distance), abs=1e-9)
    for other in rng.normal(size=(20, count)):
        assert prior @ transport.c_transform(other, distance) - rho @ other <= dual + 1e-9


@given(SEEDS, st.integers(1, 9))
def test_on_a_line_it_is_the_area_between_the_distribution_functions(seed, count):
    rng = np.random.default_rng(seed)
    places, (rho, prior) = rng.normal(size=count), masses(rng, count)
    apart = np.abs(np.subtract.outer(places, places))
    ours = transport.on_a_line(rho, prior, places)
    assert ours == pytest.approx(transport.wasserstein(rho, prior, apart), abs=1e-9)
    assert ours == pytest.approx(wasserstein_distance(places, places, rho, prior), abs=1e-9)


@given(SEEDS, st.integers(1, 9), st.floats(0.01, 20))
def test_nothing_is_below_the_minimiser_and_its_value_is_the_c_transform(seed, count, lam):
    rng = np.random.default_rng(seed)
    losses, distance, prior = rng.gamma(2, 1, count), metric(rng, count), masses(rng, count)[0]
    log_prior = np.log(prior, out=np.full(count, -np.inf), where=prior > 0)
    rho = transport.minimiser(losses, log_prior, lam, distance)
    value = lam * rho @ losses + transport.wasserstein(rho, prior, distance)
    assert value == pytest.approx(prior @ transport.c_transform(lam * losses, distance), abs=1e-8)
    cost = (lam * losses + distance).ravel()  # of plan[u, s]: all plans at once, with rho left free
    leaves = np.kron(np.eye(count), np.ones(count))
    assert value == pytest.approx(linprog(cost, A_eq=leaves, b_eq=prior).fun, abs=1e-8)
    assert rho.sum() == pytest.approx(1)


def test_hardly_any_place_keeps_mass_and_a_far_one_is_left_alone():
    rng = np.random.default_rng(0)
    apart = np.abs(np.subtract.outer(np.arange(20), np.arange(20))) / 5
    uniform = np.full(20, -np.log(20))
    rho = transport.minimiser(3 * rng.random(20), uniform, 2.0, apart)
    assert (rho == 0).sum() >= 10
    assert transport.minimiser(np.arange(20.0), uniform, 1e-3, apart) == pytest.approx(np.full(20, 0.05))
    assert transport.minimiser(np.arange(20.0), uniform, 1.0, apart)[0] == pytest.approx(1)


def test_rounds_are_taken_one_by_one():
    rng = np.random.default_rng(3)
    losses, distance, log_prior = rng.random((4, 3, 6)), metric(rng, 6), np.log(masses(rng, 6)[0])
    together = transport.minimiser(losses, log_prior, 1.5, distance)
    for place in np.ndindex(4, 3):
        assert together[place] == pytest.approx(
            transport.minimiser(losses[place], log_prior, 1.5, distance)
        )
        assert transport.c_transform(losses, distance)[place] == pytest.approx(
            transport.c_transform(losses[place], distance)
        )


def test_at_a_tie_a_mass_stays():
    apart = 1.0 - np.eye(3)
    rho = transport.minimiser(np.array([0.0, 1.0, 1.0]), np.log([0.2, 0.3, 0.5]), 1.0, apart)
    assert rho == pytest.approx([0.2, 0.3, 0.5])


@given(SEEDS, st.integers(2, 6))
def test_a_round_of_the_work_function_is_a_c_transform(seed, count):
    rng = np.random.default_rng(seed)
    service, distance = rng.random((5, count)), metric(rng, count)
    work = moving.work_function(service, distance, 0)
    for before, losses, after in zip(work[:-1], service, work[1:], strict=True):
        assert transport.c_transform(before + losses, distance) == pytest.approx(after, abs=1e-12)


HALF, APART = np.array([0.5, 0.5]), 1 - np.eye(2)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: transport.c_transform(np.ones(3), APART), r"distance must be 3 x 3, got \(2, 2\)"),
        (lambda: transport.c_transform(HALF, -APART), "distance must be a number .* got -1"),
        (lambda: transport.c_transform(HALF, np.ones((2, 2))), "zero from a state to itself"),
        (lambda: transport.minimiser(HALF, np.log([0.5, 0.4]), 1, APART), "they sum to 0.9"),
        (lambda: transport.minimiser(HALF, np.log(HALF), 0, APART), "inverse_temperature must be"),
        (lambda: transport.minimiser(HALF, np.zeros(1), 1, APART), r"got \(2,\) and \(1,\)"),
        (lambda: transport.minimiser(HALF * np.nan, np.log(HALF), 1, APART), "finite numbers"),
        (lambda: transport.wasserstein(HALF, HALF / 2, APART), "prior must be masses .* sum to 0.5"),
        (lambda: transport.wasserstein(np.array([2.0, -1.0]), HALF, APART), "rho must be .* got -1"),
        (lambda: transport.wasserstein(np.ones(1), HALF, APART), r"got \(1,\) and \(2,\)"),
        (lambda: transport.on_a_line(HALF, HALF, np.ones(3)), r"got \(2,\), \(2,\) and \(3,\)"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()
