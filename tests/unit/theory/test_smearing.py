import math

import numpy as np
import pytest
import torch

from greenai_nb.theory import smearing
from greenai_nb.theory.prior import HeavyTail
from greenai_nb.theory.space import nodes, product


def smeared(loss, centre, scale, weights=1):
    """omega at a centre, for a loss of one or two weights under the sparsity prior."""
    noise = nodes(HeavyTail(scale), (-2, 4), 1)
    noise = noise if weights == 1 else product(noise, noise)
    moved = np.asarray(centre)[:, None] + noise.points.T
    return float(noise.mean(loss(*moved)) - loss(*np.asarray(centre, float)))


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
    with pytest.raises(ValueError, match=r"margin .* got -0.1"):
        smearing.flip_probability(-0.1, 1.0)
    with pytest.raises(ValueError, match=r"total .* got 0.5"):
        smearing.scale_for(lambda tau: 1.0, 10)
