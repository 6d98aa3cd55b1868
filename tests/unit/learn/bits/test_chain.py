"""Flips of signs against forward passes in double precision, and against enumerated distributions."""

import copy

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn
from torch.nn import functional

from greenai_nb.data.datasets import load
from greenai_nb.learn.bits import state
from greenai_nb.learn.bits.chain import FlipSettings, fit_bit_flips, sweep
from greenai_nb.learn.bits.start import start_from_differences
from greenai_nb.learn.fast.kernels import HIDDEN
from greenai_nb.nets.architectures import sign_mlp
from greenai_nb.nets.packed.pack import pack
from greenai_nb.theory.space import signs

SETTINGS = {
    "plain": FlipSettings(),
    "often output weights": FlipSettings(output_prob=0.5, coupling=0.0),
    "firing costs": FlipSettings(firing_price=0.05),
    "errors": FlipSettings(loss="errors", inverse_temperature=3.0, output_prob=0.0),
}


def images_of(count, classes=3, shape=(1, 4, 4), seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, *shape), generator=generator, dtype=torch.uint8)
    return images, torch.arange(count) % classes


def small_net(inputs=16, hidden=5, classes=3, seed=1):
    torch.manual_seed(seed)
    net = sign_mlp(inputs, hidden, classes)
    nn.init.normal_(net[-1].weight)
    return net


def loss_of(net, images, labels, settings):
    """The summed loss by a forward pass in double precision."""
    with torch.inference_mode():
        units = net[:-1](images.float() / 255)
        logits = functional.linear(units.double(), net[-1].weight.double(), net[-1].bias.double())
    if settings.loss == "errors":
        truth = logits.gather(1, labels[:, None])
        loss = (logits > truth).any(1).double().sum()
    else:
        loss = functional.cross_entropy(logits, labels, reduction="sum")
    return float(loss + settings.firing_price * (units > 0).sum())


def apply(net, move):
    """Make the recorded move on a torch network."""
    unit, column, change = move["unit"], move["column"], float(move["change"])
    if move["layer"] != HIDDEN:
        if unit < net[3].out_features:
            net[-1].weight.data[column, unit] += change
        else:
            net[-1].bias.data[column] += change
    elif column < net[3].in_features:
        net[3].weight.data[unit, column] += change
    else:
        net[4].running_mean[unit] -= change


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_every_recorded_change_is_that_of_forward_passes(settings):
    images, labels = images_of(203)
    net = small_net()
    net[3].weight.data.sign_()
    chain = state.chain_at(net, images, labels)
    moves = sweep(chain, 20, settings, np.random.default_rng(0))
    before, priced = loss_of(net, images, labels, settings), 0
    for move in moves:
        if np.isnan(move["loss_change"]):
            assert not move["accepted"]
            continue
        after = copy.deepcopy(net)
        apply(after, move)
        change = loss_of(after, images, labels, settings) - before
        if move["layer"] == HIDDEN or settings.firing_price == 0:
            assert move["loss_change"] == pytest.approx(change, abs=2e-4)
        bar = move["log_prior_ratio"] - settings.inverse_temperature * change
        if move["layer"] == HIDDEN:
            assert move["accepted"] == (move["log_uniform"] < bar)
        priced += 1
        if move["accepted"]:
            net, before = after, before + change
    assert priced > 500 and 20 < moves["accepted"].sum() < len(moves)
    state.write(chain, written := small_net(seed=2))
    torch.testing.assert_close(written.state_dict(), net.state_dict(), atol=1e-5, rtol=0)


def test_caches_follow_the_weights():
    images, labels = images_of(130)
    chain = state.chain_at(small_net(), images, labels)
    sweep(chain, 30, FlipSettings(), np.random.default_rng(0))
    assert np.array_equal(chain.filters.astype(int) @ chain.inputs, chain.activations)
    tracked = chain.probabilities.copy()
    state.refresh(chain)
    np.testing.assert_allclose(chain.probabilities, tracked, atol=1e-5)
    np.testing.assert_allclose(chain.probabilities.sum(1), 1, atol=1e-6)
    assert not chain.probabilities[:, 3:].any()


@pytest.mark.parametrize("price", [0.0, 0.3])
def test_the_chain_draws_from_the_gibbs_distribution_with_ising_s_prior(price):
    """All 128 states of one unit on pictures of 2 x 3 pixels, drawn by 4,000 short chains."""
    images, labels = images_of(12, classes=2, shape=(1, 2, 3))
    net = small_net(6, 1, 2)
    settings = FlipSettings(0.4, 0.2, firing_price=price, output_prob=0.0, block=16)
    points = signs(7).points.astype(int)
    target = []
    for w in points:
        net[3].weight.data[0] = torch.tensor(w[:6], dtype=torch.float32)
        net[4].running_mean[0] = -w[6]
        picture = w[:6].reshape(2, 3)
        agreement = (picture[1:] * picture[:-1]).sum() + (picture[:, 1:] * picture[:, :-1]).sum()
        loss = loss_of(net, images, labels, settings)
        target.append(settings.coupling * agreement - settings.inverse_temperature * loss)
    expected, generator = softmax(target), np.random.default_rng(5)
    chain, seen = state.chain_at(net, images, labels), np.zeros(128)
    for _ in range(4000):
        sweep(chain, 8, settings, generator)
        seen[(points == chain.filters[0]).all(1)] += 1
    pearson = ((seen - 4000 * expected) ** 2 / (4000 * expected)).sum()
    assert pearson < 127 + 4 * np.sqrt(2 * 127)
    assert np.abs(expected - 1 / 128).sum() > 0.3, "the distribution must not be flat"


def test_output_weights_alone_follow_their_prior():
    """At inverse temperature zero an output weight has the density 1.5 / tau (1 + |v| / tau)^-4."""
    images, labels = images_of(6)
    chain = state.chain_at(small_net(hidden=8), images, labels)
    settings = FlipSettings(0.0, 0.0, scale_output=0.5, output_prob=1.0, redraw_prob=0.5)
    drawn = []
    for _ in range(400):
        sweep(chain, 20, settings, np.random.default_rng(len(drawn)))
        drawn.append(np.abs(chain.outgoing[:-1]).ravel())
    below = np.mean(np.array(drawn[5:]) < 0.5)
    assert below == pytest.approx(1 - 2**-3, abs=0.02)


def test_a_fit_is_repeated_by_its_seed_and_can_be_packed():
    data = load()
    start = start_from_differences(sign_mlp(data.pixels, 20), data.train.images)
    size = {"proposals": 12_800, "settings": FlipSettings(30.0), "evaluations": 4}
    fit = fit_bit_flips(start, data.first(500), seed=3, **size)
    again = fit_bit_flips.__wrapped__(start, data.first(500), seed=3, **size | {"evaluations": 2})
    assert all(map(torch.equal, fit.net.state_dict().values(), again.net.state_dict().values()))
    assert fit.trace.loss.iloc[-1] < 0.95 * fit.trace.loss.iloc[0]
    assert set(fit.moves["proposal"]) == {"sign flip", "step or redraw"}
    images = data.test.scaled()[:200]
    with torch.inference_mode():
        torch.testing.assert_close(pack(fit.net)(images), fit.net(images), atol=1e-4, rtol=1e-5)


def test_bad_input_is_named_before_any_compute():
    images, labels = images_of(10)
    net = small_net()
    with pytest.raises(TypeError, match="sign_mlp"):
        state.chain_at(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), images, labels)
    with pytest.raises(ValueError, match="even number of inputs"):
        state.chain_at(small_net(15), *images_of(10, shape=(1, 3, 5)))
    with pytest.raises(ValueError, match="-1 and \\+1 alone"):
        state.chain_at(nn.Sequential(net[0], *net[3:]), images, labels)
    net[4].running_mean[0] = 0
    with pytest.raises(ValueError, match="running mean"):
        state.chain_at(net, images, labels)
    with pytest.raises(ValueError, match=r"output_prob is 0\.05, not 0"):
        FlipSettings(loss="errors")
    for wrong in ({"loss": "hinge"}, {"coupling": -1}, {"firing_price": np.nan}, {"block": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            FlipSettings(**wrong)
