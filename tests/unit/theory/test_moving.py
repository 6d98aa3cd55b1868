"""Work functions against all paths, movement against its bound, ski rental against every gap."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenai_nb.theory import forecasters, moving

SEEDS = st.integers(0, 10_000)


def task_system(seed, states=5, rounds=5):
    """Random service costs, and distances between random points of a plane."""
    rng = np.random.default_rng(seed)
    points = rng.random((states, 2))
    return rng.random((rounds, states)), np.linalg.norm(points[:, None] - points, axis=-1)


def cost(path, service, distance, start):
    """Cost of a path, step by step."""
    total, here = 0.0, start
    for losses, there in zip(service, path, strict=True):
        total += distance[here, there] + losses[there]
        here = there
    return total


@pytest.mark.parametrize("seed", range(3))
def test_the_work_function_is_the_least_over_all_paths(seed):
    service, distance = task_system(seed)
    least = np.full(5, np.inf)
    for path in itertools.product(range(5), repeat=5):
        least = np.minimum(least, cost(path, service, distance, 2) + distance[path[-1]])
    assert moving.work_function(service, distance, 2)[-1] == pytest.approx(least)


@given(SEEDS)
def test_the_optimum_in_hindsight_is_that_of_a_plain_recursion_backwards(seed):
    service, distance = task_system(seed, rounds=12)
    ahead = np.zeros(5)
    for losses in service[::-1]:
        ahead = np.array(
            [min(distance[s, u] + losses[u] + ahead[u] for u in range(5)) for s in range(5)]
        )
    path = moving.offline_optimum(service, distance, 1)
    assert cost(path, service, distance, 1) == pytest.approx(ahead[1])
    assert moving.path_cost(path, service, distance, 1) == pytest.approx(ahead[1])
    assert moving.work_function(service, distance, 1)[-1].min() == pytest.approx(ahead[1])


@given(SEEDS, st.integers(2, 6), st.floats(0.1, 10))
def test_the_work_function_algorithm_is_competitive(seed, states, scale):
    """At most 2n - 1 times the optimum, plus what the last work function may differ by over n states."""
    service, distance = task_system(seed, states, 60)
    service = service * scale
    ours = moving.work_function_algorithm(service, distance, 0)
    best = moving.offline_optimum(service, distance, 0)
    allowed = (2 * states - 1) * cost(best, service, distance, 0) + 2 * states * distance.max()
    assert cost(ours, service, distance, 0) <= allowed


@given(SEEDS)
def test_the_algorithm_moves_only_to_states_whose_work_is_their_own(seed):
    service, distance = task_system(seed, rounds=30)
    work = moving.work_function(service, distance, 0)
    path = moving.work_function_algorithm(service, distance, 0)
    rounds = np.arange(30)
    assert work[rounds + 1, path] == pytest.approx(work[rounds, path] + service[rounds, path])


def test_two_states_far_apart_by_hand():
    """Going over costs 3, and six units of loss are borne first: 9 in all, 2n - 1 times the optimum."""
    service, distance = np.tile([1.0, 0.0], (7, 1)), 3 * (1 - np.eye(2))
    assert moving.work_function(service, distance, 0)[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 6]
    assert moving.work_function_algorithm(service, distance, 0).tolist() == [0] * 6 + [1]
    assert moving.offline_optimum(service, distance, 0).tolist() == [1] * 7


@given(SEEDS, st.floats(0.001, 20))
def test_exponential_weights_move_no_further_than_their_service(random_table, seed, lam):
    losses, log_prior, _ = random_table(seed)
    state = forecasters.init(log_prior)
    for row in losses:
        after = forecasters.gibbs(state, row, lam)
        moved = 0.5 * sum(
            abs(a - b) for a, b in zip(state.distribution, after.distribution, strict=True)
        )
        assert moving.total_variation(state.distribution, after.distribution) == pytest.approx(moved)
        assert moved <= moving.movement_bound(state.distribution, row, lam) + 1e-12
        state = after


def test_the_movement_bound_is_nearly_used():
    """A small loss on a decision that has hardly any mass moves what it costs."""
    log_prior = np.log([1e-3, 1 - 1e-3])
    before = forecasters.init(log_prior)
    after = forecasters.gibbs(before, np.array([1.0, 0.0]), 1e-2)
    bound = moving.movement_bound(before.distribution, np.array([1.0, 0.0]), 1e-2)
    assert 0.99 < moving.total_variation(before.distribution, after.distribution) / bound < 1


@pytest.mark.parametrize("wake", [1.0, 20.0])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99, 1.0, 1.01, 2.0, 5.0])
def test_a_threshold_against_every_gap(wake, share):
    threshold = share * wake
    gaps = np.concatenate([np.linspace(1e-3, 10, 20_001) * wake, [threshold * (1 + 1e-12)]])
    worst = max(
        (gap if gap <= threshold else threshold + wake) / min(gap, wake) for gap in gaps.tolist()
    )
    assert moving.competitive_ratio(threshold, wake) == pytest.approx(worst, rel=1e-9)
    assert (moving.idle_energy(gaps, threshold, wake) / np.minimum(gaps, wake)).max() == worst


@pytest.mark.parametrize("wake", [1, 2, 5, 20, 50])
def test_the_best_mixture_against_its_closed_form(wake):
    """Chances proportional to (1 - 1/B)^(B - 1 - s) make every gap equally bad."""
    chances, ratio = moving.best_mixture(wake)
    known = (1 - 1 / wake) ** np.arange(wake - 1, -1, -1)
    assert chances == pytest.approx(known / known.sum(), abs=1e-7)
    assert ratio == pytest.approx(moving.randomised_ratio(wake), abs=1e-9)
    for gap in range(1, 3 * wake):
        energy = sum(p * (gap if gap <= s else s + wake) for s, p in enumerate(chances))
        assert energy / min(gap, wake) == pytest.approx(ratio, abs=1e-6)


def test_the_ratio_of_fine_steps():
    assert moving.randomised_ratio(10**6) == pytest.approx(math.e / (math.e - 1), abs=1e-6)


SERVICE, APART = np.ones((3, 2)), 1 - np.eye(2)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: moving.work_function(-SERVICE, APART, 0), r"service must be .* \[0, inf\), got -1"),
        (lambda: moving.work_function(SERVICE, np.ones((3, 3)), 0), r"distance must be 2 x 2.*\(3, 3\)"),
        (lambda: moving.work_function(SERVICE, np.ones((2, 2)), 0), "zero from a state to itself"),
        (lambda: moving.offline_optimum(SERVICE, APART, 2), r"start must be .* 1, got 2"),
        (lambda: moving.movement_bound(np.ones(1), -np.ones(1), 1), "losses must be .* got -1"),
        (lambda: moving.movement_bound(np.ones(1), np.ones(1), 0), "inverse_temperature must be"),
        (lambda: moving.idle_energy(1.0, -1.0, 2.0), "threshold must be"),
        (lambda: moving.competitive_ratio(0.0, 2.0), "threshold must be"),
        (lambda: moving.best_mixture(0), "wake must be a whole number"),
        (lambda: moving.randomised_ratio(2.5), "wake must be a whole number"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_a_shorter_detour_is_no_metric():
    line = np.array([[0.0, 1, 5], [1, 0, 1], [5, 1, 0]])
    with pytest.raises(ValueError, match="no detour shorter"):
        moving.work_function(np.ones((2, 3)), line, 0)
