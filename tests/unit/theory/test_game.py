"""The three theorems on whole games."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenai_nb.theory import bounds, game
from greenai_nb.theory.toy import options, toy

ROUNDS = 120
LAMBDAS = (0.1, 0.3, 1.0)


def spiteful(losses, options, lam):
    """An opponent that wastes as much of Theorem 1 as it can: the widest gap in Hoeffding's lemma."""

    def gap(row, played):
        return row @ played + np.log(played @ np.exp(-lam * row)) / lam

    def pick(t, played):
        return max(options[t], key=lambda outcome: gap(losses[outcome], played))

    return pick


@given(st.integers(0, 10_000))
def test_the_mixture_telescopes_to_ten_digits_and_is_below_the_expected_loss(random_table, seed):
    losses, log_prior, rng = random_table(seed)
    trace = game.play(losses, log_prior, game.fixed(rng.integers(0, 5, 40)), 40, 1.0, 2.0)
    assert trace.mixture == pytest.approx(trace.free_energy, abs=1e-10)
    assert np.all(np.diff(trace.mixture, prepend=0) <= np.diff(trace.gibbs, prepend=0) + 1e-12)


@given(st.integers(0, 10_000), st.floats(0.01, 20))
def test_theorem_1_over_laws_on_random_tables(random_table, seed, lam):
    losses, log_prior, _ = random_table(seed)
    worst = spiteful(losses, [range(5)] * 40, lam)
    trace = game.play(losses, log_prior, worst, 40, lam, 2.0)
    allowed = trace.free_energy + bounds.hoeffding_remainder(np.arange(1, 41), 2.0, lam)
    assert np.all(trace.gibbs <= allowed + 1e-9)


def test_theorem_2_on_average_over_played_games(random_table):
    losses, log_prior, _ = random_table(7)
    pick = game.fixed([0, 1, 2, 3, 4] * 6)
    games = [
        game.play_second_order(losses, log_prior, pick, 30, 0.5, np.random.default_rng(seed))
        for seed in range(400)
    ]
    margins = np.array([each.allowed[-1] - each.expected[-1] for each in games])
    assert margins.mean() > 4 * margins.std() / 20
    for each in games:
        assert each.expected[0] == pytest.approx(np.exp(log_prior) @ losses[0])


@pytest.fixture(scope="module")
def small_toy():
    return toy(0.05)


def opponents(small_toy, lam):
    rng = np.random.default_rng(0)
    either = options(rng.standard_normal((ROUNDS, 2)))
    truth = small_toy.losses[either, -1].argmin(1)
    noisy = np.where(rng.random(ROUNDS) < 0.1, 1 - truth, truth)
    rows = np.arange(ROUNDS)
    return {
        "random": game.fixed(either[rows, rng.integers(0, 2, ROUNDS)]),
        "planted": game.fixed(either[rows, noisy]),
        "alternating": game.fixed(either[0][rows % 2]),
        "contrarian": game.contrarian(small_toy.losses, either),
        "leader": game.informed(game.against_the_leader, small_toy.losses, either),
        "spiteful": spiteful(small_toy.losses, either, lam),
    }


@pytest.mark.parametrize("lam", LAMBDAS)
@pytest.mark.parametrize(
    "name", ["random", "planted", "alternating", "contrarian", "leader", "spiteful"]
)
def test_theorems_on_the_toy(small_toy, name, lam, slack):
    log_prior, rounds = small_toy.space.log_mass, np.arange(1, ROUNDS + 1)
    opponent = opponents(small_toy, lam)[name]
    trace = game.play(small_toy.losses, log_prior, opponent, ROUNDS, lam, small_toy.clip)
    best = game.hindsight(small_toy.losses, trace.outcomes)
    network = game.hindsight(small_toy.smeared, trace.outcomes, small_toy.price / lam)
    rest = bounds.hoeffding_remainder(rounds, small_toy.clip, lam)
    title = f"{name}, lambda {lam:g}"
    for bound, allowed in (("(1a), over laws", trace.free_energy), ("(1b), over networks", network)):
        room = allowed + rest - trace.gibbs
        assert room.min() >= -1e-9
        used = (trace.gibbs - best)[-1]
        slack(f"Theorem 1 {bound}", title, used, (allowed + rest - best)[-1], room[-1])
    if lam == 1:
        room = network - trace.mixture
        assert room.min() >= 0
        used = (trace.mixture - best)[-1]
        slack("Theorem 3, mixture", title, used, (network - best)[-1], room[-1])


def test_hindsight_is_the_least_cumulative_loss(random_table):
    losses, _, rng = random_table(4)
    outcomes = rng.integers(0, 5, 20)
    price = rng.random(6)
    known = (np.cumsum(losses[outcomes], axis=0) + price).min(1)
    assert game.hindsight(losses, outcomes, price) == pytest.approx(known)
    assert game.hindsight(losses, outcomes) == pytest.approx(np.cumsum(losses[outcomes], 0).min(1))


def test_opponents_pick_what_they_say():
    losses = np.array([[0.0, 1.0], [1.0, 0.0], [0.2, 0.2]])
    law = np.array([0.9, 0.1])
    assert game.contrarian(losses, [range(3)])(0, law) == 1
    assert game.contrarian(losses, [[0, 2]])(0, law) == 2
    assert game.fixed([2, 0])(1, law) == 0


def test_the_opponent_of_the_leader_knows_who_leads():
    losses = np.array([[0.0, 1.0], [1.0, 0.0], [0.2, 0.2]])
    pick = game.informed(game.against_the_leader, losses, [[1, 2], [0, 1], [0, 2]])
    even = np.array([0.5, 0.5])
    assert pick(0, even) == 2, "before the first round the first decision leads"
    assert pick(1, np.array([0.6, 0.4])) == 0
    assert pick(2, np.array([0.1, 0.9])) == 0


def test_a_bad_game_is_refused_before_the_first_round(random_table):
    losses, log_prior, _ = random_table(0)

    def never(t, law):
        raise AssertionError("a round was played")

    with pytest.raises(ValueError, match=r"inverse_temperature .* got -1.0"):
        game.play(losses, log_prior, never, 5, -1.0, 2.0)
    with pytest.raises(ValueError, match=r"losses .* over 0.1"):
        game.play(losses, log_prior, never, 5, 1.0, 0.1)
    with pytest.raises(ValueError, match=r"log_prior .* sum to 1"):
        game.play(losses, log_prior - 1, never, 5, 1.0, 2.0)
    with pytest.raises(ValueError, match=r"losses .*nan"):
        game.play(losses * math.nan, log_prior, never, 5, 1.0, 2.0)
    with pytest.raises(ValueError, match=r"rounds .* got 0"):
        game.play_second_order(losses, log_prior, never, 0, 1.0, np.random.default_rng(0))
