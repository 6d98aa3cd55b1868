import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from greenai_nb.theory import prior, regret
from greenai_nb.theory.penalty import coordinate_price, penalty

scales = st.floats(1e-6, 1e3)
weights = st.lists(st.floats(-1e6, 1e6), max_size=20)


def density(v, scale):
    return 3 / (2 * scale) * (1 + abs(v) / scale) ** -4


@pytest.mark.parametrize("scale", [1e-3, 1.0, 7.0])
def test_the_prior_has_its_known_moments(scale):
    def moment(power):
        return 2 * integrate.quad(lambda z: z**power * density(z, 1.0), 0, math.inf)[0] * scale**power

    nodes, mass = prior.quadrature(scale)
    for power, known in ((0, 1), (1, scale / 2), (2, scale**2)):
        assert moment(power) == pytest.approx(known, rel=1e-6)
        assert mass @ np.abs(nodes) ** power == pytest.approx(known, rel=1e-5)
    assert np.exp(prior.log_density(0.3 * scale, scale)) == pytest.approx(density(0.3 * scale, scale))


def test_draws_follow_the_prior():
    draws = prior.sample(20_000, 0.2, np.random.default_rng(0))
    assert stats.kstest(np.abs(draws), lambda x: 1 - prior.tail(x, 0.2)).pvalue > 0.01
    assert np.mean(draws > 0) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("ratio", [1e-4, 4e-3, 6e-3, 0.1, 1.0, 10.0, 1e3])
def test_the_divergence_is_the_integral_it_stands_for(ratio):
    def integrand(v):
        return density(v - ratio, 1) * (4 * math.log1p(abs(v)) - 4 * math.log1p(abs(v - ratio)))

    edges = [-1e6, -1e3, -10, 0, ratio / 2, ratio, 2 * ratio + 10, 1e4 + ratio, 1e8]
    known = sum(
        integrate.quad(integrand, low, high, epsabs=1e-16, epsrel=1e-11, limit=500)[0]
        for low, high in itertools.pairwise(edges)
    )
    assert prior.translation_divergence(ratio) == pytest.approx(known, rel=2e-4, abs=1e-12)


@given(st.floats(0, 1e9))
def test_the_price_is_never_below_the_divergence(ratio):
    divergence = prior.translation_divergence(ratio)
    assert 0 <= divergence <= coordinate_price(ratio, 1.0) + 1e-12


@given(weights, scales)
def test_the_penalty_is_the_formula_of_the_slide(block, scale):
    active = [abs(w) for w in block if w != 0]
    known = 4 * len(active) * math.log1p(sum(active) / (scale * len(active))) if active else 0
    assert penalty([block], scale) == pytest.approx(known)
    assert penalty([block], scale, 7) == pytest.approx(known + 7 * math.log(2))


@given(weights, scales)
def test_pooling_a_block_is_never_cheaper_than_its_weights(block, scale):
    assert penalty([block], scale) >= coordinate_price(np.array(block), scale).sum() * (1 - 1e-9)


def test_equal_weights_are_pooled_without_loss():
    assert penalty([[2.0, -2.0, 0.0]], 0.5) == pytest.approx(
        coordinate_price(np.array([2.0, 2.0]), 0.5).sum()
    )


def test_a_scale_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="positive"):
        penalty([[1.0]], 0.0)


def game(seed, rounds=40, decisions=6, loss_range=2.0):
    rng = np.random.default_rng(seed)
    log_prior = np.log(rng.dirichlet(np.ones(decisions)))
    return rng.random((rounds, decisions)) * loss_range, log_prior


def test_gibbs_laws_are_those_of_a_plain_loop():
    losses, log_prior = game(0)
    law = np.exp(log_prior)
    for row, packaged in zip(losses, regret.gibbs(losses, log_prior, 0.7), strict=True):
        assert packaged == pytest.approx(law)
        law = law * np.exp(-0.7 * row)
        law /= law.sum()


@given(st.integers(0, 10_000), st.floats(0.01, 5))
def test_the_gibbs_forecaster_stays_below_its_bound(seed, lam):
    losses, log_prior = game(seed)
    ours = np.cumsum(regret.expected_loss(losses, regret.gibbs(losses, log_prior, lam)))
    rounds = np.arange(1, len(losses) + 1)
    allowed = regret.free_energy(losses, log_prior, lam) + regret.hoeffding_remainder(rounds, 2.0, lam)
    assert np.all(ours <= allowed + 1e-9)


def test_the_bound_fails_for_a_law_that_learns_the_wrong_way():
    losses, log_prior = game(3)
    losses[:, 1:] += 2
    lam, loss_range = 0.5, 4.0
    wrong = regret.gibbs(-losses, log_prior, lam)
    ours = np.cumsum(regret.expected_loss(losses, wrong))[-1]
    allowed = regret.free_energy(losses, log_prior, lam)[-1]
    assert ours > allowed + regret.hoeffding_remainder(40, loss_range, lam)


def test_the_free_energy_is_attained_by_the_gibbs_law():
    losses, log_prior = game(1)
    lam, total = 0.4, losses.sum(0)
    law = np.exp(log_prior - lam * total)
    law /= law.sum()
    attained = law @ total + (law @ (np.log(law) - log_prior)) / lam
    assert regret.free_energy(losses, log_prior, lam)[-1] == pytest.approx(attained)
    other = np.exp(log_prior)
    assert other @ total > attained


@given(st.integers(0, 10_000))
def test_the_mixture_telescopes_and_is_below_the_expected_loss(seed):
    losses, log_prior = game(seed)
    laws = regret.gibbs(losses, log_prior, 1.0)
    mixture = regret.mixture_loss(losses, laws)
    assert np.cumsum(mixture) == pytest.approx(regret.free_energy(losses, log_prior, 1.0))
    assert np.all(mixture <= regret.expected_loss(losses, laws) + 1e-12)


def test_smearing_a_square_costs_the_priors_variance():
    nodes, mass = prior.quadrature(0.3)
    centre = np.array([0.0, 2.0])
    shifted = (centre[:, None] + nodes) ** 2
    assert regret.smearing(shifted, mass, centre**2) == pytest.approx([0.09, 0.09], rel=1e-4)
