"""The authors' chain: its decisions against full passes in double precision, and its law."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from greenai_nb.learn.fast import softmax
from greenai_nb.learn.fast.kernels import HIDDEN
from greenai_nb.learn.fast.state import chain_at, refresh, write
from greenai_nb.learn.fast.whole_filters import (
    WholeFilterSettings,
    _WholeFilters,
    fit_whole_filters,
)
from greenai_nb.nets.architectures import mlp, shallow_cnn
from greenai_nb.theory.prior import Cauchy

pytestmark = pytest.mark.usefixtures("one_thread")


def mover_on(images, law, seed=0):
    """A mover of a small network on colour images of noise, with the network, images and labels."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    net = shallow_cnn(4, 3, 2, classes=5, shape=(3, 7, 7))
    shown = torch.tensor(rng.integers(0, 256, (images, 3, 7, 7)), dtype=torch.uint8)
    labels = torch.tensor(rng.integers(0, 5, images))
    return _WholeFilters(law, chain_at(net, shown, labels), rng), net, shown, labels


LAWS = {
    "cold": WholeFilterSettings(1.0, 0.1, 0.01),
    "hot, with giant steps": WholeFilterSettings(0.003, 2.0, 0.05),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("images", [200, softmax.TILE + 300])
def test_every_decision_is_that_of_a_full_pass_in_double_precision(law, images):
    mover, net, shown, labels = mover_on(images, law)
    exact, accepted, refused, layers_seen = net.double(), 0, 0, set()

    @torch.inference_mode()
    def logits():
        write(mover.chain, exact)
        return exact(shown.double() / 255)

    def loss(z):
        return functional.cross_entropy(z, labels, reduction="sum").item()

    prior, before = Cauchy(law.scale), logits()
    for _ in range(120):
        twin = copy.deepcopy(mover)
        layer, at, change, log_ratio = twin._draw()
        log_uniform = math.log(1 - twin.generator.random())
        weights = mover.chain.filters if layer == HIDDEN else mover.chain.outgoing
        old = weights[at].copy()
        known = prior.log_density(old + change.astype(float)) - prior.log_density(old)
        assert log_ratio == pytest.approx(known.sum(), abs=1e-3)
        weights[at] += change
        after = logits()
        weights[at] = old
        rise = loss(after) - loss(before)
        too_far = (after - before).abs().max().item() > softmax.LARGEST_STEP
        wanted = log_uniform < log_ratio - law.inverse_temperature * rise and not too_far
        moved = mover.advance(1)
        assert np.array_equal(weights[at], old + change if wanted else old)
        if wanted:
            assert moved == pytest.approx(rise, abs=2e-3, rel=1e-4)
            before, accepted = after, accepted + 1
        refused, layers_seen = refused + too_far, layers_seen | {layer}
    assert 5 < accepted < 115 and len(layers_seen) == 2
    assert refused > 5 or law is not LAWS["hot, with giant steps"]
    assert refresh(mover.chain) == pytest.approx(loss(before), rel=1e-5)


def test_without_data_the_chain_returns_the_prior():
    mover, *_ = mover_on(5, WholeFilterSettings(0.0, 0.02, 0.002))
    mover.chain.filters[:] = mover.chain.outgoing[:] = 0
    refresh(mover.chain)
    draws = []
    for _ in range(400):
        mover.advance(100)
        draws.append([*mover.chain.filters[:, ::7].ravel(), *mover.chain.outgoing.ravel()[::11]])
    drawn = np.array(draws)[100::10].ravel()
    assert stats.kstest(drawn[::4], stats.cauchy(scale=0.02).cdf).pvalue > 1e-3


def test_a_fit_trains_a_copy_and_counts(tiny_data):
    torch.manual_seed(0)
    net, law = mlp(16, 6, 3, bias=True), WholeFilterSettings(30.0, 0.1, 0.01)
    done = fit_whole_filters(net, tiny_data, proposals=1500, settings=law, evaluations=3)
    assert done.trace.loss.is_monotonic_decreasing and done.trace.step.tolist() == [500, 1000, 1500]
    true = functional.cross_entropy(done.net(tiny_data.train.scaled()), tiny_data.train.labels)
    assert done.trace.loss.iloc[-1] == pytest.approx(true.item(), abs=1e-5)
    assert done.moves.tried.sum() == 1500 and done.moves.visited.iloc[-2:].min() == 1
    assert done.settings["trainer"] == "accept-reject of whole filters"
    again = fit_whole_filters(net, tiny_data, proposals=1500, settings=law, evaluations=3)
    assert torch.equal(done.net[1].weight, again.net[1].weight)


def test_filters_without_biases_are_refused(tiny_data):
    with pytest.raises(TypeError, match="real filters with biases"):
        fit_whole_filters(mlp(16, 6, 3), tiny_data, proposals=10)
    with pytest.raises(ValueError, match="step must be a number"):
        WholeFilterSettings(step=0)
