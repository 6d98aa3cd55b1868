"""Forecasters against plain loops and enumeration, and the three theorems on whole games."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenai_nb.theory import bounds, forecasters, game
from greenai_nb.theory.toy import options, toy

ROUNDS = 120
LAMBDAS = (0.1, 0.3, 1.0)


def random_table(seed, outcomes=5, decisions=6, loss_range=2.0):
    rng = np.random.default_rng(seed)
    log_prior = np.log(rng.dirichlet(np.ones(decisions)))
    return rng.random((outcomes, decisions)) * loss_range, log_prior, rng


def test_gibbs_laws_are_those_of_a_plain_loop():
    losses, log_prior, _ = random_table(0)
    law, state = np.exp(log_prior), forecasters.init(log_prior)
    for row in losses:
        assert state.law == pytest.approx(law)
        law = law * np.exp(-0.7 * row)
        law /= law.sum()
        state = forecasters.gibbs(state, row, 0.7)


def test_second_order_laws_are_those_of_a_plain_loop():
    losses, log_prior, _ = random_table(1)
    score, state, lam = np.zeros(6), forecasters.init(log_prior), 0.7
    for drawn, row in enumerate(losses):
        law = np.exp(log_prior - lam * score)
        assert state.law == pytest.approx(law / law.sum())
        score += row + lam / 2 * (row - row[drawn]) ** 2
        state = forecasters.second_order(state, row, drawn, lam)
    assert forecasters.free_energy(state, lam) == pytest.approx(
        -math.log(np.exp(log_prior - lam * score).sum()) / lam
    )


@given(st.integers(0, 10_000), st.floats(0.01, 50))
def test_the_free_energy_is_attained_by_the_gibbs_law_alone(seed, lam):
    losses, log_prior, rng = random_table(seed)
    state = forecasters.init(log_prior)
    for row in losses:
        state = forecasters.gibbs(state, row, lam)

    def objective(law):
        held = law > 0
        return law @ losses.sum(0) + law[held] @ (np.log(law[held]) - log_prior[held]) / lam

    least = forecasters.free_energy(state, lam)
    assert objective(state.law) == pytest.approx(least, rel=1e-10, abs=1e-10)
    assert objective(rng.dirichlet(np.ones(6))) >= least - 1e-10


@given(st.integers(0, 10_000))
def test_the_mixture_telescopes_to_ten_digits_and_is_below_the_expected_loss(seed):
    losses, log_prior, rng = random_table(seed)
    trace = game.play(losses, log_prior, game.fixed(rng.integers(0, 5, 40)), 40, 1.0, 2.0)
    assert trace.mixture == pytest.approx(trace.free_energy, abs=1e-10)
    assert np.all(np.diff(trace.mixture, prepend=0) <= np.diff(trace.gibbs, prepend=0) + 1e-12)


@given(st.integers(0, 10_000), st.floats(0.01, 20))
def test_theorem_1_over_laws_on_random_tables(seed, lam):
    losses, log_prior, _ = random_table(seed)
    worst = game.spiteful(losses, [range(5)] * 40, lam)
    trace = game.play(losses, log_prior, worst, 40, lam, 2.0)
    allowed = trace.free_energy + bounds.hoeffding_remainder(np.arange(1, 41), 2.0, lam)
    assert np.all(trace.gibbs <= allowed + 1e-9)


def test_a_forecaster_that_learns_the_wrong_way_breaks_the_bound():
    losses, log_prior, _ = random_table(3)
    losses[:, 1:] += 2
    lam, state, ours = 0.5, forecasters.init(log_prior), 0.0
    for row in np.tile(losses, (8, 1)):
        ours += forecasters.expected_loss(state.law, row)
        state = forecasters.gibbs(state, -row, lam)
    right = game.play(losses, log_prior, game.fixed([*range(5)] * 8), 40, lam, 4.0)
    assert ours > right.free_energy[-1] + bounds.hoeffding_remainder(40, 4.0, lam)


@pytest.mark.parametrize("lam", [0.2, 1.0, 3.0])
def test_theorem_2_over_every_draw_of_a_short_game(lam, slack):
    """Four decisions, five rounds: all 1,024 sequences of draws, weighed by their probability."""
    losses, log_prior, _ = random_table(5, outcomes=5, decisions=4)
    expected = allowed = total = 0.0
    for draws in itertools.product(range(4), repeat=5):
        state, probability, suffered = forecasters.init(log_prior), 1.0, 0.0
        for row, drawn in zip(losses, draws, strict=True):
            probability *= state.law[drawn]
            suffered += row[drawn]
            state = forecasters.second_order(state, row, drawn, lam)
        total += probability
        expected += probability * suffered
        allowed += probability * forecasters.free_energy(state, lam)
    assert total == pytest.approx(1)
    assert expected <= allowed
    slack(
        "Theorem 2, second order", f"enumerated, lambda {lam:g}", expected, allowed, allowed - expected
    )


@given(st.integers(0, 10_000), st.floats(0.01, 20))
def test_the_step_behind_theorem_2(seed, lam):
    """E_w^ log E_w exp(lambda D - lambda^2 D^2 / 2) <= 0 with D = l(w^) - l(w)."""
    losses, log_law, _ = random_table(seed)
    distance = lam * (losses[0][:, None] - losses[0])
    law = np.exp(log_law)
    assert law @ np.log(np.exp(distance - distance**2 / 2) @ law) <= 1e-12


def test_theorem_2_on_average_over_played_games():
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
        "spiteful": game.spiteful(small_toy.losses, either, lam),
    }


@pytest.mark.parametrize("lam", LAMBDAS)
@pytest.mark.parametrize("name", ["random", "planted", "alternating", "contrarian", "spiteful"])
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


def test_hindsight_is_the_least_cumulative_loss():
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
    gaps = [row @ law + math.log(law @ np.exp(-2.0 * row)) / 2.0 for row in losses]
    assert game.spiteful(losses, [range(3)], 2.0)(0, law) == int(np.argmax(gaps))
    assert game.fixed([2, 0])(1, law) == 0


def test_a_bad_game_is_refused_before_the_first_round():
    losses, log_prior, _ = random_table(0)

    def never(t, law):
        raise AssertionError("a round was played")

    with pytest.raises(ValueError, match="inverse_temperature must be"):
        game.play(losses, log_prior, never, 5, -1.0, 2.0)
    with pytest.raises(
        ValueError, match=r"losses of one outcome must lie in an interval of length 0\.1"
    ):
        game.play(losses, log_prior, never, 5, 1.0, 0.1)
    with pytest.raises(ValueError, match=r"log_prior must be .* sum to 1"):
        game.play(losses, log_prior - 1, never, 5, 1.0, 2.0)
    with pytest.raises(ValueError, match="losses must be finite"):
        game.play(losses * math.nan, log_prior, never, 5, 1.0, 2.0)
    with pytest.raises(ValueError, match="rounds must be"):
        game.play_second_order(losses, log_prior, never, 0, 1.0, np.random.default_rng(0))
