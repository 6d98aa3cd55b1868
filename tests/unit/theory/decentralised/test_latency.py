"""Rounds of many workers against closed forms, and against loops over single workers and messages."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenai_nb.theory.decentralised import gossip as averaging
from greenai_nb.theory.decentralised import latency
from greenai_nb.theory.decentralised.latency import Link

LINK = Link(1e-3, 1e8)
SEEDS = st.integers(0, 10_000)


def ring_steps(values):
    """Sum pieces around a ring of workers, then hand them on; steps taken, and bytes as pieces sent."""
    n, held = len(values), values.copy()
    for step in range(2 * (n - 1)):
        before = held.copy()
        for worker in range(n):
            piece = (worker - step) % n if step < n - 1 else (worker + 1 - (step - n + 1)) % n
            to = (worker + 1) % n
            held[to, piece] = before[worker, piece] + (before[to, piece] if step < n - 1 else 0)
    return held, 2 * (n - 1)


def tree_steps(values):
    """Sum up a binary tree, halving the senders, and back down; all messages of a level go at once."""
    n, held, steps, levels = len(values), values.copy(), 0, []
    gap = 1
    while gap < n:
        levels.append(gap)
        for worker in range(0, n - gap, 2 * gap):
            held[worker] += held[worker + gap]
        gap, steps = 2 * gap, steps + 1
    for gap in reversed(levels):
        for worker in range(0, n - gap, 2 * gap):
            held[worker + gap] = held[worker]
        steps += 1
    return held, steps


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 8, 13])
def test_all_reduces_take_the_steps_of_an_algorithm_that_sums(workers):
    values = np.random.default_rng(workers).integers(0, 9, (workers, workers))
    for algorithm, seconds, share in (
        (ring_steps, latency.ring_all_reduce_s, 1 / workers),
        (tree_steps, latency.tree_all_reduce_s, 1),
    ):
        held, steps = algorithm(values)
        assert (held == values.sum(0)).all()
        assert seconds(workers, 4e6, LINK) == pytest.approx(steps * (1e-3 + share * 4e6 / 1e8))


def test_a_ring_saves_bytes_and_a_tree_saves_messages():
    n, b = 1000, 1e9
    by_hand = 2 * (n - 1) / n * b / 1e8 + 2 * (n - 1) * 1e-3
    assert latency.ring_all_reduce_s(n, b, LINK) == pytest.approx(by_hand)
    assert latency.ring_all_reduce_s(n, b, LINK) < latency.tree_all_reduce_s(n, b, LINK)
    assert latency.ring_all_reduce_s(n, 0, LINK) > latency.tree_all_reduce_s(n, 0, LINK)


@pytest.mark.parametrize("workers", [1, 2, 7, 300])
def test_the_slowest_of_exponential_workers_is_harmonic(workers):
    harmonic = sum(1 / k for k in range(1, workers + 1))
    assert latency.expected_maximum(2.0, workers) == pytest.approx(2 * harmonic)
    times = latency.compute_times("exponential", 2.0, 4000, workers, np.random.default_rng(0))
    slowest = times.max(1)
    error = slowest.std() / np.sqrt(len(slowest))
    measured = latency.synchronous(times, 0.5)[-1, 0] / len(times)
    assert measured == pytest.approx(2 * harmonic + 0.5, abs=4 * error)


@pytest.mark.parametrize("kind", latency.KINDS)
def test_all_kinds_have_the_same_mean(kind):
    times = latency.compute_times(kind, 3.0, 500, 200, np.random.default_rng(1))
    assert times.shape == (500, 200)
    assert times.mean() == pytest.approx(3, rel=0.02) and times.min() > 0


def one_by_one(times, meets, exchange_s, pays_alone):
    """When each worker has ended each round, by the recursion for one worker after the other."""
    clock, ends = [0.0] * times.shape[1], []
    for number, spent in enumerate(times):
        ready = [before + c for before, c in zip(clock, spent, strict=True)]
        clock = [
            max([ready[k], *(ready[j] for j in meets(number, k))])
            + (exchange_s if pays_alone or meets(number, k) else 0)
            for k in range(len(ready))
        ]
        ends.append(clock)
    return np.array(ends)


@given(SEEDS, st.integers(1, 7))
def test_every_way_of_waiting_keeps_to_its_recursion(seed, workers):
    times = latency.compute_times("lognormal", 1.0, 9, workers, np.random.default_rng(seed))

    def partner(number, k):
        other = k + 1 if k % 2 == number % 2 else k - 1
        return [other] if 0 <= other < workers else []

    def beside(_, k):
        return [(k - 1) % workers, (k + 1) % workers]

    ring = np.add.outer(np.arange(workers), [-1, 1]) % workers
    expected = {
        "tempering": (one_by_one(times, partner, 0.1, False), latency.tempering(times, 0.1)),
        "gossip": (one_by_one(times, beside, 0.1, True), latency.gossip(times, ring, 0.1)),
        "all": (
            one_by_one(times, lambda *_: range(workers), 0.1, True),
            latency.synchronous(times, 0.1),
        ),
        "nobody": (one_by_one(times, lambda *_: [], 0.1, True), latency.without_waiting(times, 0.1)),
    }
    for name, (theirs, ours) in expected.items():
        assert ours == pytest.approx(theirs), name
    assert (latency.tempering(times, 0) <= latency.synchronous(times, 0) + 1e-12).all()
    assert (latency.without_waiting(times, 0) <= latency.gossip(times, ring, 0) + 1e-12).all()


@pytest.mark.parametrize("workers", [2, 8, 512])
def test_pairs_wait_between_two_of_two_and_the_bound_of_paths(workers):
    times = latency.compute_times("exponential", 1.0, 600, workers, np.random.default_rng(2))
    pairs = latency.seconds_a_round(latency.tempering(times, 0.0))
    assert latency.waiting_bound(1.0, 2) == pytest.approx(2.678, abs=1e-3)
    assert pairs < latency.waiting_bound(1.0, 2)
    assert pairs > (1.2 if workers == 2 else 1.5)  # two workers meet in every other round only
    ring = np.add.outer(np.arange(workers), [-1, 1]) % workers
    assert pairs < latency.seconds_a_round(latency.gossip(times, ring, 0.0))
    assert latency.seconds_a_round(latency.gossip(times, ring, 0.0)) < latency.waiting_bound(1.0, 3)


@pytest.mark.parametrize("met", [2, 3, 5, 100])
def test_the_bound_solves_its_equation(met):
    root = latency.waiting_bound(1.0, met)
    assert root - 1 - np.log(root) == pytest.approx(np.log(met)) and root > 1
    assert latency.waiting_bound(3.0, 1) == 3


@given(st.floats(0.01, 10), st.floats(0, 10), st.integers(1, 5000))
def test_without_stragglers_rounds_are_amdahl_or_gustafson(work, exchange, workers):
    serial = exchange / (work + exchange)
    divided = latency.synchronous(np.full((1, workers), work / workers), exchange)[-1, 0]
    assert (work + exchange) / divided == pytest.approx(latency.amdahl(serial, workers))
    grown = latency.synchronous(np.full((1, workers), work), exchange)[-1, 0]
    assert (workers * work + exchange) / grown == pytest.approx(latency.gustafson(serial, workers))


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_a_hypercube_has_its_second_eigenvalue_in_closed_form(dimension):
    workers = 2**dimension
    table = np.bitwise_xor.outer(np.arange(workers), 1 << np.arange(dimension))
    graph = np.zeros((workers, workers), bool)
    graph[np.arange(workers)[:, None], table] = True
    rate = averaging.second_eigenvalue(averaging.metropolis_weights(graph))
    assert rate == pytest.approx((dimension - 1) / (dimension + 1), abs=1e-12)


def test_thousands_of_workers_are_a_small_array():
    times = latency.compute_times("exponential", 1.0, 200, 4096, np.random.default_rng(3))
    ring = np.add.outer(np.arange(4096), [-1, 1]) % 4096
    ends = [latency.synchronous(times, 0), latency.tempering(times, 0), latency.gossip(times, ring, 0)]
    assert [each.shape for each in ends] == [(200, 4096)] * 3


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Link(-1.0, 1.0), "latency_s must be .* got -1.0"),
        (lambda: Link(0.0, 0.0), "bytes_per_s must be"),
        (lambda: LINK.send_s(-1), "size must be"),
        (lambda: latency.ring_all_reduce_s(0, 1, LINK), "workers must be a whole number"),
        (lambda: latency.compute_times("slow", 1, 1, 1, None), "kind must be one of steady, expo"),
        (lambda: latency.compute_times("steady", 0, 1, 1, None), "mean_s must be"),
        (lambda: latency.synchronous(np.ones(3), 0), r"a row for each round, got the shape \(3,\)"),
        (lambda: latency.tempering(-np.ones((2, 2)), 0), "compute_s must be .* got -1"),
        (lambda: latency.gossip(np.ones((2, 3)), np.zeros((2, 1), int), 0), "each of 3 workers"),
        (lambda: latency.gossip(np.ones((2, 3)), np.full((3, 1), 3), 0), r"in 0, \.\.\., 2"),
        (lambda: latency.seconds_a_round(np.ones((1, 3))), "at least two rounds"),
        (lambda: latency.amdahl(1.5, 2), r"serial_share must be in \[0, 1\], got 1.5"),
        (lambda: latency.waiting_bound(1.0, 0), "met must be a whole number"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()
