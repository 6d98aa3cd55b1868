import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from priors import Student
from scipy import integrate

from greenai_nb.theory import divergence
from greenai_nb.theory.penalty import coordinate_price
from greenai_nb.theory.prior import HeavyTail


def quad(integrand, *edges):
    """Integral by scipy, piece by piece."""
    with warnings.catch_warnings(action="ignore", category=integrate.IntegrationWarning):
        return sum(
            integrate.quad(integrand, low, high, epsabs=0, epsrel=1e-9, limit=400)[0]
            for low, high in itertools.pairwise(edges)
        )


@pytest.mark.parametrize("ratio", [*np.logspace(-4, 6, 11), 0.0199, 0.0201, 0.5])
def test_the_closed_form_is_the_integral_it_stands_for(ratio):
    """The integrand at s = v - u and its mirror image together, so that nothing cancels."""

    def integrand(s):
        if s < ratio:
            both = math.log1p(ratio / (1 + s)) + math.log((1 + ratio - s) / (1 + s))
        else:
            both = math.log1p(-((ratio / (1 + s)) ** 2))
        return 6 * (1 + s) ** -4 * both

    edges = sorted({0.0, *(ratio * np.logspace(-6, 0, 7)), *np.logspace(-3, 6, 10), 2 * ratio + 1})
    known = quad(integrand, *edges, math.inf)
    assert float(divergence.translation_divergence(ratio)) == pytest.approx(known, rel=1e-6)


def test_the_series_meets_the_closed_form_and_the_curvature_at_zero():
    below, above = divergence.SERIES_BELOW * np.array([1 - 1e-9, 1 + 1e-9])
    assert divergence.translation_divergence(below) == pytest.approx(
        divergence.translation_divergence(above), rel=1e-8
    )
    assert divergence.translation_divergence(1e-6) == pytest.approx(4.8e-12, rel=1e-5)
    assert divergence.translation_divergence(0.0) == 0


def test_a_large_weight_costs_four_thirds_less_than_its_price():
    gap = coordinate_price(1e8, 1.0) - divergence.translation_divergence(1e8)
    assert gap == pytest.approx(4 / 3, abs=1e-6)


@given(st.floats(0, 1e9))
def test_the_price_is_never_below_the_divergence(ratio):
    assert 0 <= divergence.translation_divergence(ratio) <= coordinate_price(ratio, 1.0) + 1e-12


@pytest.mark.parametrize("order", [0.5, 0.9, 2.0, 5.0])
@pytest.mark.parametrize("u", [0.01, 5.0])
def test_renyi_divergences_are_the_integrals_they_stand_for(order, u):
    def integrand(v):
        return 1.5 * (1 + abs(v - u)) ** (-4 * order) * (1 + abs(v)) ** (-4 * (1 - order))

    whole = quad(integrand, -math.inf, -10, -1, 0, u / 2, u, u + 1, u + 10, math.inf)
    prior = HeavyTail(0.2)
    assert divergence.renyi_divergence(prior, 0.2 * u, order) == pytest.approx(
        math.log(whole) / (order - 1), rel=1e-6, abs=1e-9
    )


def test_renyi_grows_with_the_order_up_to_the_price():
    prior = HeavyTail(1.0)
    values = [divergence.renyi_divergence(prior, 5.0, order) for order in (0.5, 0.9, 1, 2, 5, 20, 100)]
    assert values == pytest.approx([3.98, 5.66, 5.80, 6.33, 6.71, 7.00, 7.12], abs=0.005)
    assert values == sorted(values) and values[-1] < coordinate_price(5.0, 1.0)


@pytest.mark.parametrize("ratio", [1e-3, 1.0, 1e3, 1e6])
def test_order_one_is_the_closed_form(ratio):
    numeric = divergence.renyi_divergence(HeavyTail(0.01), 0.01 * ratio, 1)
    assert numeric == pytest.approx(divergence.translation_divergence(ratio), rel=1e-8)


def test_cauchys_divergence_is_the_known_one():
    """KL between Cauchy laws that are u apart is log(1 + u^2 / 4) in units of the scale."""
    assert divergence.renyi_divergence(Student(1.0), 3.0, 1) == pytest.approx(
        math.log(1 + 9 / 4), rel=1e-4
    )


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"order .* got 0"):
        divergence.renyi_divergence(HeavyTail(1.0), 1.0, 0)
    with pytest.raises(ValueError, match=r"ratio .*nan"):
        divergence.translation_divergence(math.nan)
