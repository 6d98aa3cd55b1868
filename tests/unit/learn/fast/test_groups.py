"""A prior on whole units: its density against quadrature and scipy, and the law of its chain."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import nn
from torch.nn import functional

from greenai_nb.learn.fast.groups import GroupPrior, GroupSettings, _Groups, fit_group_prior
from greenai_nb.learn.fast.state import chain_at, refresh
from greenai_nb.nets.architectures import mlp, shallow_cnn
from greenai_nb.nets.binary import BinaryLinear
from greenai_nb.theory.prior import HeavyTail

pytestmark = pytest.mark.usefixtures("one_thread")


def radii(chain):
    """The norm of each group, those of the weights in and out together."""
    outgoing = chain.outgoing[: chain.hidden_units].reshape(len(chain.filters), -1)
    return np.linalg.norm(np.hstack([chain.filters[:, :-1], outgoing]).astype(float), axis=1)


@given(st.floats(1e-3, 10), st.floats(0, 100))
def test_a_group_of_one_weight_has_the_prior_of_the_theorem(scale, weight):
    known = HeavyTail(scale).log_density(weight)
    assert GroupPrior(scale, 1).log_density(weight) == pytest.approx(float(known), abs=1e-9)


@pytest.mark.parametrize("size", [2, 7, 60])
def test_the_density_has_mass_one_and_the_scale_as_root_mean_square(size):
    prior, sphere = GroupPrior(0.3, size), 2 * math.pi ** (size / 2) / math.gamma(size / 2)

    def mass(log_radius, power):
        density = prior.log_density(math.exp(log_radius)) + size * log_radius
        return sphere * math.exp(density + power * log_radius)

    total, square = (integrate.quad(mass, -20, 30, (n,), limit=500, epsabs=1e-10)[0] for n in (0, 2))
    assert total == pytest.approx(1, abs=1e-6)
    assert square / size == pytest.approx(0.3**2, rel=1e-4)


@pytest.mark.parametrize("size", [1, 4, 794])
def test_radii_are_ratios_of_gammas_and_directions_uniform(size):
    prior, law = GroupPrior(0.05, size), stats.betaprime(size, 3)
    drawn = prior.sample(4000, np.random.default_rng(size))
    radius = np.linalg.norm(drawn, axis=1)
    assert stats.kstest(radius / prior.tau, law.cdf).pvalue > 1e-3
    first = drawn[:, 0] / radius
    if size > 1:  # a coordinate of a uniform direction
        uniform = stats.beta(0.5, (size - 1) / 2)
        assert stats.kstest(first**2, uniform.cdf).pvalue > 1e-3
    assert abs(np.mean(first > 0) - 0.5) < 0.04
    x = np.geomspace(0.01, 1e4, 50) * size
    depth = law.logpdf(size / 3) + np.log(size / 3) - law.logpdf(x) - np.log(x)
    assert prior.depth(x * prior.tau) == pytest.approx(depth, abs=1e-6)


def test_eight_thousand_nats_on_paper_are_twelve_in_the_chain():
    prior = GroupPrior(1e-3, 784 + 10)
    assert prior.price(2) == pytest.approx(797 * math.log(1 + 2 / 5.0157e-5), rel=1e-4)
    assert 8_400 < prior.price(2) < 8_500
    assert 3 * math.log(2 / prior.tau / prior.size) == pytest.approx(11.75, abs=0.01)
    assert prior.depth(2) == pytest.approx(12.06, abs=0.01)


def mover_on(make, law, images=5, seed=0):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    net = make()
    shown = torch.tensor(rng.integers(1, 256, (images, 1, 3, 3)), dtype=torch.uint8)
    labels = torch.tensor(rng.integers(0, 2, images))
    return _Groups(law, chain_at(net, shown, labels), rng), shown, labels


NETS = {
    "perceptron": lambda: mlp(9, 3, 2),
    "perceptron with biases": lambda: mlp(9, 3, 2, bias=True),
    "convolution": lambda: shallow_cnn(3, 2, 1, classes=2, shape=(1, 3, 3)),
}


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_without_data_the_radius_of_a_group_is_beta_prime(make, block):
    """Each draw comes after many single moves, which must leave alone what the redraws gave."""
    law = GroupSettings(0.0, 0.05, 0.05, 0.05, 0.4, block, 24 * block)
    mover, *_ = mover_on(make, law)
    draws = []
    for _ in range(500):
        mover.advance(23)  # up to the next round
        draws.append(radii(mover.chain))
        mover.advance(1)
    drawn = np.array(draws)[1:].ravel() / mover.prior.tau
    assert stats.kstest(drawn, stats.betaprime(mover.prior.size, 3).cdf).pvalue > 1e-3
    assert mover.in_rounds.totals.tolist() == [[1500, 1500, 0]]


def test_with_data_the_chain_has_the_law_of_weighted_draws_from_the_prior():
    """Exact draws, weighted by exp(-lambda l) in double precision, know nothing of any chain."""
    law = GroupSettings(3.0, 1.0, 0.5, 0.5, 0.5, 3, 30)
    mover, shown, labels = mover_on(lambda: mlp(9, 1, 2), law, images=6, seed=3)
    drawn = torch.tensor(mover.prior.sample(200_000, np.random.default_rng(1)))
    hidden = (drawn[:, :9] @ (shown.flatten(1).double() / 255).T).relu()
    logits = torch.stack([hidden * drawn[:, 9:10], hidden * drawn[:, 10:]], 1)
    loss = functional.cross_entropy(logits, labels.expand(len(drawn), -1), reduction="none").sum(1)
    weight, known = torch.exp(-3.0 * loss).numpy(), drawn.norm(dim=1).numpy()
    found, firsts = [], []
    for _ in range(3000):
        mover.advance(10)
        found.append(radii(mover.chain)[0])
        firsts.append(mover.chain.outgoing[0, 0])
    for chain, exact in ((found, known), (firsts, drawn[:, 9].numpy())):
        for q in (0.1, 0.25, 0.5, 0.75, 0.9):
            at = np.quantile(chain[200:], q)
            assert np.average(exact < at, weights=weight) == pytest.approx(q, abs=0.04)
    assert np.mean(drawn[:, 9].numpy() < np.median(firsts)) > 0.58, "the data must matter"


def test_a_unit_of_zeros_stays_a_unit_of_zeros():
    mover, *_ = mover_on(NETS["perceptron with biases"], GroupSettings(0.0), images=20)
    mover.chain.filters[0, :-1] = mover.chain.outgoing[0] = 0
    loss = refresh(mover.chain)
    mover.turn(0)
    assert radii(mover.chain)[0] == 0 and refresh(mover.chain) == loss


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_what_is_not_kept_leaves_no_trace(make):
    law, kept = GroupSettings(1.0, 0.1, 0.3, 0.3, 0.4, 4), 0
    mover, *_ = mover_on(make, law, images=60)
    loss = refresh(mover.chain)
    for _ in range(300):
        change = mover.advance(1)
        loss += change
        kept += change != 0
    assert 20 < kept < 280
    assert refresh(mover.chain) == pytest.approx(loss, abs=1e-3)


def test_a_fit_trains_a_copy_and_counts(tiny_data):
    torch.manual_seed(0)
    net, law = mlp(16, 6, 3, bias=True), GroupSettings(30.0, 0.3, 0.1, 0.1)
    done = fit_group_prior(net, tiny_data, proposals=1200, settings=law, evaluations=3)
    assert done.trace.loss.is_monotonic_decreasing and done.trace.step.tolist() == [400, 800, 1200]
    true = functional.cross_entropy(done.net(tiny_data.train.scaled()), tiny_data.train.labels)
    assert done.trace.loss.iloc[-1] == pytest.approx(true.item(), abs=1e-5)
    assert done.moves.tried.sum() == 1200
    again = fit_group_prior(net, tiny_data, proposals=1200, settings=law, evaluations=2)
    assert torch.equal(done.net[1].weight, again.net[1].weight)


def test_wrong_requests_are_refused_before_any_work(tiny_data):
    with pytest.raises(TypeError, match="hidden units or filters"):
        fit_group_prior(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), tiny_data, proposals=100)
    signs = nn.Sequential(nn.Flatten(), BinaryLinear(16, 4), nn.ReLU(), nn.Linear(4, 3))
    with pytest.raises(TypeError, match="needs real filters"):
        fit_group_prior(signs, tiny_data, proposals=100)
    with pytest.raises(ValueError, match="scale must be a number"):
        GroupSettings(scale=0)
    with pytest.raises(ValueError, match="block must be a whole number"):
        GroupSettings(block=0)
    with pytest.raises(ValueError, match="size must be a whole number"):
        GroupPrior(1.0, 0)
