import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from greenai_nb.theory.prior import GroupHeavyTail, HeavyTail, Student, Truncated
from greenai_nb.theory.space import Space, nodes, product, signs

PRIORS = [HeavyTail(0.3), Truncated(0.3, 0.5), Truncated(0.3, 40.0), Student(0.3, 3.0), Student(0.3)]


def name(prior):
    return f"{type(prior).__name__}-{getattr(prior, 'degrees_of_freedom', prior.radius)}"


@pytest.mark.parametrize("prior", PRIORS, ids=name)
def test_priors_have_mass_one_under_another_library(prior):
    def density(v):
        return math.exp(prior.log_density(v))

    # The tail beyond 1e4 scales is there for Cauchy's law: 2 / (pi 1e4).
    whole = 2 * sum(
        integrate.quad(density, low, min(high, prior.radius), limit=200)[0]
        for low, high in ((0, 0.3), (0.3, 3), (3, math.inf))
        if low < prior.radius
    )
    assert whole == pytest.approx(1, abs=1e-8)


def test_the_sparsity_prior_is_the_formula_of_the_theorem():
    assert HeavyTail(0.2).log_density(np.array([-0.3, 0.0])) == pytest.approx(
        np.log([3 / 0.4 * 2.5**-4, 3 / 0.4])
    )


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e6])
def test_mass_and_moments_come_out_to_ten_digits(scale):
    line = nodes(HeavyTail(scale))
    size = np.abs(line.points[:, 0]) / scale
    assert line.mean(np.ones_like(size)) == pytest.approx(1, abs=1e-10)
    assert line.mean(size) == pytest.approx(1 / 2, abs=1e-10)
    assert line.mean(size**2) == pytest.approx(1, abs=1e-10)
    assert line.mean(np.log1p(size)) == pytest.approx(1 / 3, abs=1e-10)
    fisher = line.mean((4 / (1 + size)) ** 2)
    assert fisher == pytest.approx(48 / 5, abs=1e-10)


def test_moments_in_closed_form():
    prior = HeavyTail(0.2)
    assert prior.absolute_moment(0) == pytest.approx(1)
    assert prior.absolute_moment(1) == pytest.approx(0.1)
    assert prior.absolute_moment(2) == pytest.approx(0.04)
    assert prior.absolute_moment(3) == math.inf
    line = nodes(prior)
    assert prior.absolute_moment(1.5) == pytest.approx(line.mean(np.abs(line.points[:, 0]) ** 1.5))
    student = Student(0.2, 5.0)
    assert student.absolute_moment(2) == pytest.approx(stats.t(5, scale=0.2).var())
    assert student.absolute_moment(1) == pytest.approx(
        2 * integrate.quad(lambda v: v * stats.t(5, scale=0.2).pdf(v), 0, math.inf)[0]
    )
    assert Student(0.2).absolute_moment(1) == math.inf


@pytest.mark.parametrize("nu", [1.0, 3.0])
def test_student_densities_are_those_of_scipy(nu):
    v = np.array([-3.0, 0.0, 0.01, 50.0])
    assert Student(0.2, nu).log_density(v) == pytest.approx(stats.t(nu, scale=0.2).logpdf(v))


def test_draws_follow_their_priors():
    def distribution(prior):
        whole = HeavyTail(prior.scale)
        return lambda x: (1 - whole.tail(x)) / (1 - whole.tail(prior.radius))

    generator = np.random.default_rng(0)
    for prior in (HeavyTail(0.2), Truncated(0.2, 0.3)):
        draws = prior.sample(20_000, generator)
        assert stats.kstest(np.abs(draws), distribution(prior)).pvalue > 0.01
        assert np.mean(draws > 0) == pytest.approx(0.5, abs=0.02)
        assert np.abs(draws).max() <= prior.radius
    draws = Student(0.2).sample(20_000, generator)
    assert stats.kstest(draws, stats.cauchy(scale=0.2).cdf).pvalue > 0.01


@given(st.floats(0.001, 0.999), st.floats(1e-6, 1e3))
def test_the_quantile_inverts_the_tail(q, scale):
    prior = HeavyTail(scale)
    assert prior.tail(abs(prior.quantile(q))) == pytest.approx(2 * min(q, 1 - q))


@pytest.mark.parametrize("centre", [-0.4, 0.0, 0.2])
def test_noise_around_a_centre_stays_in_the_support_and_is_centred(centre):
    prior = Truncated(0.1, 0.5)
    moved = centre + prior.noise_around(centre).sample(5000, np.random.default_rng(1))
    assert np.abs(moved).max() <= 0.5
    assert moved.mean() == pytest.approx(centre, abs=0.01)
    assert np.isfinite(prior.log_density(moved)).all()


@pytest.mark.parametrize("size", [1, 2, 9])
def test_the_group_prior_has_mass_one_and_its_mean_square(size):
    prior = GroupHeavyTail(0.5, size)
    area = 2 * math.pi ** (size / 2) / math.gamma(size / 2)

    def radial(r, power):
        point = np.zeros(size)
        point[0] = r
        return area * r ** (size - 1 + power) * math.exp(prior.log_density(point))

    assert integrate.quad(radial, 0, math.inf, (0,))[0] == pytest.approx(1)
    second = integrate.quad(radial, 0, math.inf, (2,), limit=200)[0]
    assert second == pytest.approx(0.25 * size * (size + 1) / 2, rel=1e-5)
    norms = np.linalg.norm(prior.sample((20_000,), np.random.default_rng(2)), axis=1)
    assert stats.kstest(norms / 0.5, stats.betaprime(size, 3).cdf).pvalue > 0.01


def test_a_group_of_one_is_the_sparsity_prior():
    v = np.array([-0.3, 0.0, 7.0])
    assert GroupHeavyTail(0.2, 1).log_density(v[:, None]) == pytest.approx(HeavyTail(0.2).log_density(v))


def test_signs_are_all_there_and_uniform():
    space = signs(3)
    assert len({tuple(row) for row in space.points}) == 8
    assert space.mean(space.points.T) == pytest.approx([0, 0, 0])


def test_a_product_is_independent():
    one, two = nodes(HeavyTail(0.3)), signs(2)
    both = product(two, one)
    assert both.points.shape == (4 * len(one.points), 3)
    assert both.mean(np.abs(both.points[:, 2])) == pytest.approx(0.15)
    assert both.mean(both.points[:, 0] * both.points[:, 1]) == pytest.approx(0)


@pytest.mark.parametrize("prior", PRIORS, ids=name)
def test_nodes_hold_every_prior(prior):
    line = nodes(prior)
    v = line.points[:, 0]
    assert line.mean(np.ones_like(v)) == pytest.approx(1, abs=1e-6)
    assert np.abs(v).max() <= prior.radius
    clipped = np.minimum(np.abs(v), 0.2)
    known = 2 * sum(
        integrate.quad(lambda x: min(x, 0.2) * math.exp(prior.log_density(x)), low, high, limit=200)[0]
        for low, high in ((0, 0.2), (0.2, prior.radius))
    )
    assert line.mean(clipped) == pytest.approx(known, rel=1e-3)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_not_positive_is_named(scale):
    with pytest.raises(ValueError, match=r"scale must be a number in \(0, inf\), got"):
        HeavyTail(scale)
    with pytest.raises(ValueError, match="degrees_of_freedom must be"):
        Student(1.0, scale)


def test_masses_that_do_not_sum_to_one_are_refused():
    with pytest.raises(
        ValueError, match=r"log_mass must be logs of masses .* sum to 1, they sum to 0\.5"
    ):
        Space(np.zeros((1, 1)), np.log([0.5]))
    with pytest.raises(ValueError, match="2 points need as many masses, got 1"):
        Space(np.zeros((2, 1)), np.zeros(1))
    with pytest.raises(ValueError, match="log_mass"):
        nodes(Student(1.0), (3, 4), 1)


def test_a_centre_outside_the_radius_is_refused():
    with pytest.raises(ValueError, match=r"centre must lie in \(-0.5, 0.5\), got 0.5"):
        Truncated(0.1, 0.5).noise_around(0.5)
    with pytest.raises(ValueError, match="2 entries a group"):
        GroupHeavyTail(1.0, 2).log_density(np.zeros((3, 3)))
