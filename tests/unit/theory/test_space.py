import math

import numpy as np
import pytest
from priors import Student
from scipy import integrate

from greenai_nb.theory.prior import HeavyTail
from greenai_nb.theory.space import Space, nodes, product, signs


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


@pytest.mark.parametrize("prior", [HeavyTail(0.3), Student(0.3, 3.0), Student(0.3)], ids=repr)
def test_nodes_hold_every_prior(prior):
    line = nodes(prior)
    v = line.points[:, 0]
    assert line.mean(np.ones_like(v)) == pytest.approx(1, abs=1e-6)
    clipped = np.minimum(np.abs(v), 0.2)
    known = 2 * sum(
        integrate.quad(lambda x: min(x, 0.2) * math.exp(prior.log_density(x)), low, high, limit=200)[0]
        for low, high in ((0, 0.2), (0.2, math.inf))
    )
    assert line.mean(clipped) == pytest.approx(known, rel=1e-3)


def test_masses_that_do_not_sum_to_one_are_refused():
    with pytest.raises(ValueError, match=r"log_mass .* 0.5"):
        Space(np.zeros((1, 1)), np.log([0.5]))
    with pytest.raises(ValueError, match=r"2 points .* got 1"):
        Space(np.zeros((2, 1)), np.zeros(1))
    with pytest.raises(ValueError, match="log_mass"):
        nodes(Student(1.0), (3, 4), 1)
