import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize

from greenai_nb.theory import bounds, game
from greenai_nb.theory.penalty import penalty
from greenai_nb.theory.prior import HeavyTail

COIN = np.log([0.5, 0.5])
ONE_ERRS = np.eye(2)


def test_the_right_hand_sides_are_their_formulas():
    assert bounds.gibbs_bound(10.0, 6.0, 50, 4.0, 0.5) == pytest.approx(10 + 12 + 0.5 * 16 * 50 / 8)
    assert bounds.mixture_bound(10.0, 6.0) == 16


@given(st.floats(0.1, 1e5), st.floats(0.1, 50), st.integers(1, 10_000))
def test_tuning_finds_the_minimum(complexity, loss_range, rounds):
    def total(log_lam):
        return bounds.gibbs_bound(0.0, complexity, rounds, loss_range, math.exp(log_lam))

    tuned = bounds.tuned_inverse_temperature(complexity, loss_range, rounds)
    found = optimize.minimize_scalar(total, bracket=(math.log(tuned) - 1, math.log(tuned) + 1))
    assert total(math.log(tuned)) == pytest.approx(found.fun)
    assert total(math.log(tuned)) == pytest.approx(loss_range * math.sqrt(rounds * complexity / 2))


def test_small_lambda_attains_the_hoeffding_remainder():
    """Limit lambda -> 0: the two-weight opponent uses all of lambda M^2 T / 8."""
    used = [
        bounds.two_weight_regret(1000, lam) / bounds.hoeffding_remainder(1000, 1.0, lam)
        for lam in (1.0, 0.1, 0.01, 0.001)
    ]
    assert used == sorted(used)
    assert used[-1] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("lam", [0.2, 1.0])
def test_two_weights_are_played_as_their_formula_says(lam, slack):
    rounds = 200
    worst = game.contrarian(ONE_ERRS, [(0, 1)] * rounds)
    trace = game.play(ONE_ERRS, COIN, worst, rounds, lam, 1.0)
    best = game.hindsight(ONE_ERRS, trace.outcomes)
    regret = trace.gibbs[-1] - best[-1]
    assert regret == pytest.approx(bounds.two_weight_regret(rounds, lam))
    assert regret / rounds == pytest.approx(math.tanh(lam / 2) / 4)
    allowed = bounds.gibbs_bound(0.0, math.log(2), rounds, 1.0, lam)
    assert regret <= allowed
    slack("Theorem 1 on two weights", f"lambda {lam:g}", regret, allowed, allowed - regret)


def test_coins_are_flipped_as_the_formula_says():
    rng = np.random.default_rng(0)
    best = rng.binomial(20, 0.5, (4000, 8)).min(1)
    simulated = 10 - best.mean() - 3 * math.log(2)
    error = best.std() / math.sqrt(4000)
    assert bounds.coin_regret_beyond_price(20, 3) == pytest.approx(simulated, abs=4 * error)
    assert bounds.coin_regret_beyond_price(20, 0) == pytest.approx(0)


def test_coefficient_one_costs_a_linear_remainder():
    """Limit T -> inf: log cosh(1/2) a round at best, just below the 1/8 of Theorem 1 at lambda = 1."""
    limit = math.log(math.cosh(0.5))
    heights = [
        max(bounds.coin_regret_beyond_price(rounds, p) for p in range(1, rounds // 2)) / rounds
        for rounds in (50, 200, 800)
    ]
    assert heights == sorted(heights)
    assert heights[-1] == pytest.approx(limit, rel=0.04)
    assert heights[-1] < limit < 1 / 8
    assert bounds.coin_regret_beyond_price(5000, 800) / 5000 == pytest.approx(limit, rel=0.01)


def test_the_mixture_bound_becomes_tight_up_to_a_constant():
    """Limit T -> inf with tau = T^-1/2: one active weight of a Gaussian model, in closed form.

    The likelihood of T unit-variance observations with mean 1 is exp(-T (v - 1)^2 / 2), so that
    -log E_pi exp(-L_T) is an integral over one weight.
    """

    def shares(rounds):
        prior = HeavyTail(rounds**-0.5)
        width = rounds**-0.5
        peak = integrate.quad(
            lambda v: math.exp(-rounds * (v - 1) ** 2 / 2 + prior.log_density(v)),
            1 - 12 * width,
            1 + 12 * width,
        )[0]
        regret = -math.log(peak)
        allowed = penalty([[1.0]], prior.scale) + rounds * prior.scale**2 / 2
        return regret / allowed, allowed - regret

    used, room = zip(*(shares(10.0**k) for k in (2, 3, 4, 6, 8)), strict=True)
    assert list(used) == sorted(used) and used[-1] > 0.9
    assert room[-1] == pytest.approx(room[-2], abs=0.01)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"inverse_temperature .* got -1"):
        bounds.hoeffding_remainder(5, 1.0, -1)
    with pytest.raises(ValueError, match=r"complexity .* got 0.0"):
        bounds.tuned_inverse_temperature(0.0, 1.0, 10)
