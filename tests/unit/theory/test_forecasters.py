"""Forecasters against plain loops and enumeration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenai_nb.theory import bounds, forecasters, game


def test_gibbs_laws_are_those_of_a_plain_loop(random_table):
    losses, log_prior, _ = random_table(0)
    law, state = np.exp(log_prior), forecasters.init(log_prior)
    for row in losses:
        assert state.distribution == pytest.approx(law)
        law = law * np.exp(-0.7 * row)
        law /= law.sum()
        state = forecasters.gibbs(state, row, 0.7)


def test_second_order_laws_are_those_of_a_plain_loop(random_table):
    losses, log_prior, _ = random_table(1)
    score, state, lam = np.zeros(6), forecasters.init(log_prior), 0.7
    for drawn, row in enumerate(losses):
        law = np.exp(log_prior - lam * score)
        assert state.distribution == pytest.approx(law / law.sum())
        score += row + lam / 2 * (row - row[drawn]) ** 2
        state = forecasters.second_order(state, row, drawn, lam)
    assert forecasters.free_energy(state, lam) == pytest.approx(
        -math.log(np.exp(log_prior - lam * score).sum()) / lam
    )


@given(st.integers(0, 10_000), st.floats(0.01, 50))
def test_the_free_energy_is_attained_by_the_gibbs_law_alone(random_table, seed, lam):
    losses, log_prior, rng = random_table(seed)
    state = forecasters.init(log_prior)
    for row in losses:
        state = forecasters.gibbs(state, row, lam)

    def objective(law):
        held = law > 0
        return law @ losses.sum(0) + law[held] @ (np.log(law[held]) - log_prior[held]) / lam

    least = forecasters.free_energy(state, lam)
    assert objective(state.distribution) == pytest.approx(least, rel=1e-10, abs=1e-10)
    assert objective(rng.dirichlet(np.ones(6))) >= least - 1e-10


def test_a_forecaster_that_learns_the_wrong_way_breaks_the_bound(random_table):
    losses, log_prior, _ = random_table(3)
    losses[:, 1:] += 2
    lam, state, ours = 0.5, forecasters.init(log_prior), 0.0
    for row in np.tile(losses, (8, 1)):
        ours += forecasters.expected_loss(state.distribution, row)
        state = forecasters.gibbs(state, -row, lam)
    right = game.play(losses, log_prior, game.fixed([*range(5)] * 8), 40, lam, 4.0)
    assert ours > right.free_energy[-1] + bounds.hoeffding_remainder(40, 4.0, lam)


@pytest.mark.parametrize("lam", [0.2, 1.0, 3.0])
def test_theorem_2_over_every_draw_of_a_short_game(random_table, lam, slack):
    """Four decisions, five rounds: all 1,024 sequences of draws, weighed by their probability."""
    losses, log_prior, _ = random_table(5, outcomes=5, decisions=4)
    expected = allowed = total = 0.0
    for draws in itertools.product(range(4), repeat=5):
        state, probability, suffered = forecasters.init(log_prior), 1.0, 0.0
        for row, drawn in zip(losses, draws, strict=True):
            probability *= state.distribution[drawn]
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
def test_the_step_behind_theorem_2(random_table, seed, lam):
    """E_w^ log E_w exp(lambda D - lambda^2 D^2 / 2) <= 0 with D = l(w^) - l(w)."""
    losses, log_law, _ = random_table(seed)
    distance = lam * (losses[0][:, None] - losses[0])
    law = np.exp(log_law)
    assert law @ np.log(np.exp(distance - distance**2 / 2) @ law) <= 1e-12
