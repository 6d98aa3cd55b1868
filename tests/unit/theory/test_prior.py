import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from greenai_nb.theory.prior import Cauchy, HeavyTail


def test_the_sparsity_prior_is_the_formula_of_the_theorem():
    assert HeavyTail(0.2).log_density(np.array([-0.3, 0.0])) == pytest.approx(
        np.log([3 / 0.4 * 2.5**-4, 3 / 0.4])
    )


def test_the_prior_has_mass_one_under_another_library():
    def density(v):
        return math.exp(HeavyTail(0.3).log_density(v))

    mass = 2 * sum(integrate.quad(density, *ends)[0] for ends in ((0, 0.3), (0.3, 3), (3, math.inf)))
    assert mass == pytest.approx(1, abs=1e-8)


def test_draws_follow_the_prior():
    prior = HeavyTail(0.2)
    draws = prior.sample(20_000, np.random.default_rng(0))
    assert stats.kstest(np.abs(draws), lambda x: 1 - prior.tail(x)).pvalue > 0.01
    assert np.mean(draws > 0) == pytest.approx(0.5, abs=0.02)


@given(st.floats(0.001, 0.999), st.floats(1e-6, 1e3))
def test_the_quantile_inverts_the_tail(q, scale):
    prior = HeavyTail(scale)
    assert prior.tail(abs(prior.quantile(q))) == pytest.approx(2 * min(q, 1 - q))


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_not_positive_is_named(scale):
    with pytest.raises(ValueError, match=f"scale .* got {scale}"):
        HeavyTail(scale)


def test_the_cauchy_prior_is_that_of_scipy():
    v, prior = np.array([-3.0, -0.1, 0.0, 0.02, 50.0]), Cauchy(0.3)
    assert prior.log_density(v) == pytest.approx(stats.cauchy(scale=0.3).logpdf(v))
    drawn = prior.sample((4000,), np.random.default_rng(0))
    assert stats.kstest(drawn, stats.cauchy(scale=0.3).cdf).pvalue > 1e-3
    with pytest.raises(ValueError, match="scale must be a number"):
        Cauchy(0)
