import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from greenai_nb.theory import bounds, game, smearing
from greenai_nb.theory.penalty import penalty
from greenai_nb.theory.prior import HeavyTail, Student
from greenai_nb.theory.space import nodes, product

COIN = np.log([0.5, 0.5])
ONE_ERRS = np.eye(2)


def test_the_right_hand_sides_are_their_formulas():
    assert bounds.gibbs_bound(10.0, 6.0, 50, 4.0, 0.5) == pytest.approx(10 + 12 + 0.5 * 16 * 50 / 8)
    assert bounds.second_order_bound(10.0, 6.0, 7.0, 0.5) == pytest.approx(10 + 12 + 0.25 * 7)
    assert bounds.mixture_bound(10.0, 6.0) == 16
    assert bounds.batch_risk_bound(0.3, 6.0, 20.0, 100, 0.5) == pytest.approx(0.3 + 0.12 + 0.2)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_range_of_clipped_logits_is_found_by_search(classes):
    corners = torch.tensor(list(itertools.product([-1.5, 1.5], repeat=min(classes, 4))))
    logits = torch.cat([corners, corners[:, -1:].repeat(1, classes - corners.shape[1])], 1)
    losses = torch.nn.functional.cross_entropy(
        logits.double(), torch.zeros(len(logits), dtype=torch.long), reduction="none"
    )
    assert bounds.loss_range(1.5, classes) == pytest.approx((losses.max() - losses.min()).item())


def test_the_range_is_twice_the_clip_for_two_classes_and_does_not_overflow():
    assert bounds.loss_range(1.5, 2) == pytest.approx(3.0)
    assert bounds.loss_range(800.0, 1000) == pytest.approx(1600 + math.log(999))


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


def test_online_to_batch_on_enumerated_data(slack):
    """Two decisions, data that are independent coins: every data set of ten rounds is enumerated."""
    rounds, lam, odds = 10, 0.5, 0.7
    risk, average = ONE_ERRS @ [odds, 1 - odds], 0.0
    for outcomes in itertools.product((0, 1), repeat=rounds):
        probability = np.prod(np.where(np.array(outcomes) == 0, odds, 1 - odds))
        totals = np.vstack([np.zeros(2), np.cumsum(ONE_ERRS[list(outcomes)], axis=0)])[:-1]
        laws = np.exp(-lam * totals)
        average += probability * (laws / laws.sum(1, keepdims=True) @ risk).mean()
    remainder = bounds.hoeffding_remainder(rounds, 1.0, lam)
    allowed = bounds.batch_risk_bound(risk.min(), math.log(2), remainder, rounds, lam)
    assert average <= allowed
    slack("online to batch", "two coins", average, allowed, allowed - average)
    far = bounds.batch_risk_bound(0.3, 1e6, 0.0, 10**12, 1.0)
    assert far == pytest.approx(0.3, abs=1e-5)


def smeared(loss, centre, scale, weights=1):
    """omega at a centre, for a loss of one or two weights under the sparsity prior."""
    noise = nodes(HeavyTail(scale), (-2, 4), 1)
    noise = noise if weights == 1 else product(noise, noise)
    at = np.asarray(centre)[:, None] + noise.points.T
    return float(smearing.smearing(loss(*at), noise, loss(*np.asarray(centre, float))))


def test_smearing_a_square_costs_the_priors_variance():
    assert smeared(lambda v: v**2, [2.0], 0.3) == pytest.approx(0.09)


@pytest.mark.parametrize("scale", [0.01, 0.3, 2.0])
@pytest.mark.parametrize("centre", [(0.0, 0.0), (0.4, -3.0)])
def test_every_row_bounds_the_smearing_it_is_for(scale, centre, slack):
    def absolute(a, b):
        return np.abs(a) + np.abs(b)

    def euclidean(a, b):
        return np.hypot(a, b)

    def square(a, b):
        return (a**2 + b**2) / 2

    def logit(a, b):
        return np.logaddexp(0, -(a - b))

    def clipped(a, b):
        return np.logaddexp(0, -np.clip(a - b, -4, 4))

    rows = {
        "Lipschitz, l1": (absolute, smearing.lipschitz_l1(1.0, 2, scale)),
        "Lipschitz, l2": (euclidean, smearing.lipschitz_l2(1.0, 2, scale)),
        "smooth": (square, smearing.smooth_l2(1.0, 2, scale)),
        "logistic": (logit, smearing.logistic(2, scale)),
        "clipped logistic": (clipped, smearing.clipped_logistic(2, scale)),
    }
    for row, (loss, allowed) in rows.items():
        cost = smeared(loss, centre, scale, weights=2)
        assert cost <= allowed * (1 + 1e-6)
        slack(f"smearing, {row}", f"tau {scale:g}, u {centre}", cost, allowed, allowed - cost)


def test_the_soft_max_row_bounds_a_layer(slack):
    """Three classes and an input of two: six weights under the prior, by simulation."""
    x, scale = torch.tensor([0.6, -1.2]).double(), 0.2
    noise = torch.tensor(HeavyTail(scale).sample((200_000, 3, 2), np.random.default_rng(0)))
    weight = torch.tensor([[1.0, 0.2], [-0.5, 0.1], [0.0, 0.3]]).double()
    losses = -torch.log_softmax((weight + noise) @ x, 1)[:, 1]
    cost = (losses.mean() + torch.log_softmax(weight @ x, 0)[1]).item()
    error = (losses.std() / math.sqrt(len(losses))).item()
    allowed = smearing.softmax_layer(3, float(x.norm()), scale)
    assert 4 * error < cost <= allowed
    slack("smearing, soft-max layer", "six weights", cost, allowed, allowed - cost)


def test_the_margin_row_counts_the_flips(slack):
    """One unit sign(v + margin): the loss M is paid where the noise turns the sign."""
    for gamma in (0.01, 0.2, 3.0):
        flips = HeavyTail(0.1).tail(gamma) / 2
        assert smearing.flip_probability(gamma, 0.1) == pytest.approx(flips)
        draws = HeavyTail(0.1).sample(200_000, np.random.default_rng(1))
        assert np.mean(draws < -gamma) == pytest.approx(flips, abs=0.004)
    allowed = smearing.margin(np.array([0.2, 3.0]), 4.0, 0.1)
    assert allowed == pytest.approx(4 * (0.5 * 3**-3.0 + 0.5 * 31**-3.0))
    assert smearing.margin(np.array([0.0]), 4.0, 0.1) == pytest.approx(2.0)


@pytest.mark.parametrize("loss_range", [0.5, 30.0])
def test_cauchys_row_is_the_integral_it_stands_for(loss_range):
    law = stats.cauchy(scale=0.2)
    kink = loss_range / 3
    known = 2 * (integrate.quad(lambda s: 3 * s * law.pdf(s), 0, kink)[0] + loss_range * law.sf(kink))
    assert smearing.clipped_cauchy(3.0, loss_range, 0.2) == pytest.approx(known)
    assert Student(0.2).absolute_moment(1) == math.inf


def test_the_scales_are_those_of_the_table():
    rounds = 400
    table = {
        lambda tau: smearing.lipschitz_l1(3.0, 7, tau): 1 / (3 * 7 * rounds),
        lambda tau: smearing.lipschitz_l2(3.0, 7, tau): 1 / (2 * 3 * rounds * math.sqrt(7)),
        lambda tau: smearing.smooth_l2(3.0, 7, tau): (3 * 7 * rounds) ** -0.5,
        lambda tau: smearing.softmax_layer(10, 2.0, tau): (2 / (10 * rounds * 4)) ** 0.5,
        lambda tau: smearing.logistic(5, tau): (4 / (5 * rounds)) ** 0.5,
    }
    for row, known in table.items():
        assert smearing.scale_for(row, rounds) == pytest.approx(known)
    margins = np.full(8, 0.3)
    tau = smearing.scale_for(lambda tau: smearing.margin(margins, 4.0, tau), rounds)
    assert rounds * smearing.margin(margins, 4.0, tau) == pytest.approx(0.5)
    assert tau == pytest.approx(0.3 * (8 * 4 * rounds) ** (-1 / 3), rel=0.1)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"inverse_temperature must be a number in \(0, inf\), got -1"):
        bounds.hoeffding_remainder(5, 1.0, -1)
    with pytest.raises(ValueError, match=r"classes must be in \[2, inf\), got 1"):
        bounds.loss_range(1.0, 1)
    with pytest.raises(ValueError, match=r"margin must be in \[0, inf\), got -0.1"):
        smearing.flip_probability(-0.1, 1.0)
    with pytest.raises(ValueError, match="total must be a cost that smearing can reach"):
        smearing.scale_for(lambda tau: 1.0, 10)
    with pytest.raises(ValueError, match="complexity must be"):
        bounds.tuned_inverse_temperature(0.0, 1.0, 10)
