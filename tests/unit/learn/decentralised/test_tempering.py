"""Tempering in one process: its law against enumeration, its exchanges, and what it refuses."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from greenai_nb.learn.decentralised import tempering
from greenai_nb.learn.decentralised.bits import Bits
from greenai_nb.learn.decentralised.network import Network
from greenai_nb.learn.decentralised.tempering import InOneProcess, exchange, start, temper
from greenai_nb.learn.fast.chain import ChainSettings
from greenai_nb.nets.architectures import mlp
from greenai_nb.theory.decentralised import parallel
from greenai_nb.theory.prior import HeavyTail

LADDER = [2.0, 1.0, 0.4]


@pytest.fixture
def bits():
    return Bits(np.random.default_rng(0).normal(0, 1.2, 8))


def visited(rounds, replicas):
    """Rows at each inverse temperature, colder first, round by round."""
    return np.array([[now.state_at(k).row for k in range(replicas)] for now in rounds])


def p_value(rows, losses, inverse_temperature):
    expected = len(rows) * parallel.gibbs(losses, inverse_temperature)
    return stats.chisquare(np.bincount(rows, minlength=len(expected)), expected).pvalue


def test_every_temperature_has_its_gibbs_distribution_and_they_are_independent(bits):
    rounds = temper(InOneProcess(bits), start(bits, [1, 2, 3]), LADDER, rounds=6000, steps=40, seed=5)
    rows, losses = visited(rounds, 3)[100:], np.array(bits.losses)
    for k, inverse_temperature in enumerate(LADDER):
        assert p_value(rows[:, k], losses, inverse_temperature) > 0.01
    joint = np.bincount(rows[:, 0] * 8 + rows[:, 2], minlength=64).reshape(8, 8)
    kept = joint[parallel.gibbs(losses, 2.0) > 0.02]
    assert stats.chi2_contingency(kept).pvalue > 0.01


def test_exchanging_always_has_another_distribution(bits, monkeypatch):
    def always(losses, ladder, holders, number, seed):
        tried = tuple(range(number % 2, len(ladder) - 1, 2))
        return tried, tried

    monkeypatch.setattr(tempering, "exchange", always)
    rounds = temper(InOneProcess(bits), start(bits, [1, 2, 3]), LADDER, rounds=2000, steps=4)
    assert p_value(visited(rounds, 3)[:, 0], np.array(bits.losses), 2.0) < 1e-6


def test_exchanges_have_the_exact_probability():
    losses, ladder = np.array([0.3, 1.7]), (1.5, 0.5)
    swaps = parallel.exact_swaps(losses, ladder)
    for first, second in itertools.product(range(2), repeat=2):
        exact = 1.0 if first == second else swaps[2 * first + second, 2 * second + first]
        asked = [exchange(losses[[first, second]], ladder, (0, 1), n, 0)[1] for n in range(4000)]
        assert np.mean([len(each) for each in asked]) == pytest.approx(exact, abs=0.03)


def test_pairs_take_turns_and_their_temperatures_move():
    bits = Bits(np.zeros(4))
    rounds = [*temper(InOneProcess(bits), start(bits, range(4)), [4, 3, 2, 1], rounds=3, steps=1)]
    assert [now.tried for now in rounds] == [(0, 2), (1,), (0, 2)]
    assert [now.exchanges for now in rounds] == [(0, 2), (1,), (0, 2)]  # equal losses: always
    assert [now.holders for now in rounds] == [(1, 0, 3, 2), (1, 3, 0, 2), (3, 1, 2, 0)]
    assert rounds[-1].state_at(0) == rounds[-1].states[3]


def test_a_run_goes_on_from_any_round_to_the_bit(bits):
    whole = [*temper(InOneProcess(bits), start(bits, [1, 2, 3]), LADDER, rounds=20, steps=7, seed=2)]
    other = Bits(np.array(bits.losses))
    rest = [*temper(InOneProcess(other), whole[11], LADDER, rounds=8, steps=7, seed=2)]
    assert rest == whole[12:]
    moved = [*temper(InOneProcess(bits), start(bits, [1, 2, 3]), LADDER, rounds=20, steps=7, seed=3)]
    assert moved != whole


@pytest.fixture
def network(tiny_data, one_thread):
    torch.manual_seed(0)
    return Network(mlp(16, 6, 3), tiny_data.train, ChainSettings(scale=0.1, scale_output=0.3, block=8))


def test_a_network_comes_back_to_the_bit_and_its_loss_is_in_double_precision(network, tiny_data):
    begun = network.start(4)
    first = tempering.advanced(network, begun, 50, 2.0)
    elsewhere = tempering.advanced(network, first[0], 3, 1.0)
    again = tempering.advanced(network, begun, 50, 2.0)
    assert elsewhere[1] != first[1] == again[1]
    for ours, theirs in zip(first[0][:2], again[0][:2], strict=True):
        assert np.array_equal(ours, theirs)
    assert first[0].generator == again[0].generator
    net, train = network.network(first[0]).double(), tiny_data.train
    with torch.inference_mode():
        logits = net(train.scaled().double())
        expected = functional.cross_entropy(logits, train.labels, reduction="sum")
    assert first[1] == pytest.approx(float(expected), rel=1e-12)


def test_a_network_at_zero_draws_from_its_prior(network):
    """At inverse temperature 0 the exchange is certain, and both replicas draw from the prior."""
    rounds = [*temper(InOneProcess(network), start(network, [1, 2]), [1e-9, 0.0], rounds=400, steps=200)]
    assert np.mean([len(now.exchanges) for now in rounds]) > 0.99
    sizes = np.concatenate([np.abs(now.state_at(1).filters[0, :2]) for now in rounds[50:]])
    half = HeavyTail(0.1).scale * (2 ** (1 / 3) - 1)  # the median of (1 + |w| / tau)^-4
    assert np.mean(sizes < half) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("ladder", "said"),
    [
        ([1.5, 5.0, 0.1], r"must decrease, no two alike, got \[1.5, 5.0, 0.1\]"),
        ([1.0, 1.0, 0.1], "no two alike"),
        ([1.0, 0.5], "3 replicas .* got 2"),
        ([1.0, 0.5, -0.1], "hottest must be a number"),
        ([1.0, np.nan, 0.1], "finite numbers"),
        ([], "is empty"),
    ],
)
def test_a_ladder_out_of_order_is_refused_before_anything_moves(bits, ladder, said):
    with pytest.raises(ValueError, match=said):
        temper(InOneProcess(bits), start(bits, [1, 2, 3]), ladder, rounds=1, steps=1)


def test_bad_input_is_named(bits):
    with pytest.raises(ValueError, match=r"seed of its own, got \[1, 1\]"):
        start(bits, [1, 1])
    with pytest.raises(ValueError, match="rounds must be a whole number"):
        temper(InOneProcess(bits), start(bits, [1]), [1.0], rounds=0, steps=1)
    with pytest.raises(ValueError, match="a loss for each of 2, 4, 8"):
        Bits(np.zeros(6))


def test_a_loss_that_is_not_finite_stops_the_run_and_what_was_handed_back_stays(bits):
    handed, losses = [], iter([1.0, 2.0, np.inf])
    bits.loss = lambda: next(losses)
    with pytest.raises(ValueError, match="losses must be finite"):
        for now in temper(InOneProcess(bits), start(bits, [1]), [1.0], rounds=5, steps=1):
            handed.append(now)
    assert [now.losses for now in handed] == [(1.0,), (2.0,)]
