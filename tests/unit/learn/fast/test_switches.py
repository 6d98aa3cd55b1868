"""Switches: the law against an enumeration, decisions against full passes, and what is returned."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional

from greenai_nb.learn.fast import softmax
from greenai_nb.learn.fast.chain import ChainSettings
from greenai_nb.learn.fast.state import chain_at, layers, refresh, write
from greenai_nb.learn.fast.switches import (
    SWITCHES,
    SwitchSettings,
    _Switches,
    fit_switches,
    rise_without,
)
from greenai_nb.nets.architectures import mlp, shallow_cnn
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear
from greenai_nb.prune.structure import without_dead_units
from greenai_nb.theory.prior import HeavyTail

pytestmark = pytest.mark.usefixtures("one_thread")


def mover_on(net, law, images, classes, shape, seed=0):
    rng = np.random.default_rng(seed)
    shown = torch.tensor(rng.integers(0, 256, (images, *shape)), dtype=torch.uint8)
    labels = torch.tensor(rng.integers(0, classes, images))
    return _Switches(law, chain_at(net, shown, labels), rng), shown, labels


# --- All states of two units with three signs each, and their switches ---

SIGNS = SwitchSettings(0.3, output_prob=0.0, block=4, log_odds_against=0.1, every=4, warm_up=0)


def signs_and_switches():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Flatten(), BinaryLinear(3, 2), nn.ReLU(), nn.Linear(2, 3))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[0.9, -0.5, 0.7], [-0.4, 0.8, 1.1]]))
        net[3].weight.copy_(torch.tensor([[2.5, -1.5], [-2.0, 2.0], [0.5, 1.0]]))
    return net, *mover_on(net, SIGNS, 12, 3, (1, 1, 3))


def enumerated(net, shown, labels):
    """The Gibbs distribution of all 256 states, in double precision, and without the package."""
    x, output = shown.flatten(1).double() / 255, net[3].double()
    size, mass = net[1].weight.detach().double().abs().mean(1), {}
    for signs in itertools.product([-1.0, 1.0], repeat=6):
        for on in itertools.product([0.0, 1.0], repeat=2):
            hidden = (x @ (torch.tensor(signs).double().view(2, 3) * size[:, None]).T).relu()
            loss = functional.cross_entropy(output(hidden * torch.tensor(on)), labels, reduction="sum")
            energy = SIGNS.inverse_temperature * loss.item() + SIGNS.log_odds_against * sum(on)
            mass[signs, on] = math.exp(-energy)
    total = sum(mass.values())
    return {state: each / total for state, each in mass.items()}


def state_of(mover):
    signs = np.sign(mover.chain.filters[:, :3]).ravel().tolist()
    return tuple(signs), tuple(mover.on.astype(float).tolist())


def test_signs_and_switches_have_the_law_of_all_256_states():
    net, mover, shown, labels = signs_and_switches()
    exact, rounds = enumerated(net, shown, labels), 20_000
    found = dict.fromkeys(exact, 0.0)
    for _ in range(rounds):
        mover.advance(1)
        found[state_of(mover)] += 1 / rounds

    def apart(one, other):
        return sum(abs(one[state] - other[state]) for state in exact) / 2

    assert apart(exact, found) < 0.075
    by_switches = [
        {on: sum(law[state] for state in law if state[1] == on) for on in {s[1] for s in law}}
        for law in (exact, found)
    ]
    for on, known in by_switches[0].items():
        assert by_switches[1][on] == pytest.approx(known, abs=0.02)
    wrong = {state: each * math.exp(0.5 * sum(state[1])) for state, each in exact.items()}
    total = sum(wrong.values())
    assert apart(exact, {state: each / total for state, each in wrong.items()}) > 0.1


class Certain:
    """A generator whose next number is known."""

    def __init__(self, uniform):
        self.uniform = uniform

    def random(self):
        return self.uniform


def test_in_all_256_states_a_switch_turns_with_its_conditional_probability():
    """Draws from the exact conditional distribution leave the target invariant."""
    net, mover, shown, labels = signs_and_switches()
    exact, some = enumerated(net, shown, labels), set()
    weights, size = mover.chain.outgoing[:2].copy(), np.abs(mover.chain.filters[:, :1])
    for (signs, on), number in itertools.product(exact, range(2)):
        other = tuple(1 - each if unit == number else each for unit, each in enumerate(on))
        probability = exact[signs, other] / (exact[signs, other] + exact[signs, on])
        for uniform in (probability - 1e-4, probability + 1e-4):
            mover.chain.filters[:, :3] = size * np.reshape(signs, (2, 3))
            mover.on[:] = on
            mover.chain.outgoing[:2] = weights * np.array(on)[:, None]
            mover.waiting[:2] = weights * (1 - np.array(on)[:, None])
            refresh(mover.chain)
            mover.generator = Certain(uniform)
            mover.turn(number)
            wanted = uniform < probability
            assert state_of(mover) == (signs, other if wanted else on)
            some.add((wanted, on[number]))
    assert len(some) == 4


# --- Real weights ---


@pytest.mark.parametrize("against", [0.0, 1.0])
def test_without_data_units_are_on_by_the_prior_odds_and_weights_follow_their_prior(against):
    law = SwitchSettings(
        0.0, 0.05, 0.05, 0.1, 0.1, 0.5, 0.3, 4, log_odds_against=against, every=12, warm_up=0
    )
    torch.manual_seed(0)
    net = mlp(9, 4, 2)
    for weight in net.parameters():
        nn.init.zeros_(weight)
    mover, *_ = mover_on(net, law, 5, 2, (1, 3, 3))
    on, into, out = [], [], []
    for _ in range(6000):
        mover.advance(3)
        on.append(mover.on.copy())
        into.append(mover.chain.filters[:, :9].copy())
        out.append(mover.chain.outgoing[:4] + mover.waiting[:4])
        assert not mover.chain.outgoing[:4][~mover.on].any()
    on, expected = np.array(on, float), 1 / (1 + math.exp(against))
    assert on.mean(0) == pytest.approx(np.full(4, expected), abs=0.03)
    assert np.cov(on.T) == pytest.approx(np.eye(4) * expected * (1 - expected), abs=0.02)
    for drawn in (np.array(into)[200::60], np.array(out)[200::60]):
        for state in (on[200::60] == 1, on[200::60] == 0):  # waiting weights follow the prior, too
            spread = np.abs(drawn[state]).ravel()[::3]
            assert stats.kstest(spread, lambda x: 1 - HeavyTail(0.05).tail(x)).pvalue > 1e-3


NETS = {
    "perceptron": lambda: mlp(36, 6, 5),
    "perceptron with biases": lambda: mlp(36, 6, 5, bias=True),
    "convolution": lambda: shallow_cnn(4, 3, 2, classes=5, shape=(1, 6, 6)),
    "convolution with signs": lambda: nn.Sequential(
        BinaryConv2d(1, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5)
    ),
}
COLD = SwitchSettings(0.5, 0.2, 0.2, 0.3, 1.0, 0.4, block=8, log_odds_against=0.5, every=16, warm_up=0)
HOT = SwitchSettings(0.02, 2.0, 2.0, 2.0, 8.0, 0.7, block=8, log_odds_against=0.3, every=16, warm_up=0)


@pytest.mark.parametrize("law", [COLD, HOT], ids=["cold", "hot"])
@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
@pytest.mark.parametrize("images", [200, softmax.TILE + 300])
def test_every_turn_is_that_of_a_full_pass_in_double_precision(make, law, images):
    torch.manual_seed(0)
    net, seen = make(), []
    mover, shown, labels = mover_on(net, law, images, 5, (1, 6, 6))
    exact = copy.deepcopy(net).double()

    @torch.inference_mode()
    def logits():
        write(mover.chain, exact)
        return exact(shown.double() / 255)

    def loss(z):
        return functional.cross_entropy(z, labels, reduction="sum").item()

    for _ in range(60 if images < 1000 else 12):
        mover.advance(1)
        for number in mover.generator.permutation(len(mover.on)):
            twin = copy.deepcopy(mover.generator)
            uniform, was_on = twin.random(), bool(mover.on[number])
            before, units = logits(), mover.of(number)
            own, waiting = mover.chain.outgoing[units].copy(), mover.waiting[units].copy()
            assert not (waiting if was_on else own).any()
            mover.chain.outgoing[units] = waiting
            after = logits()
            mover.chain.outgoing[units] = own
            rise = loss(after) - loss(before)
            too_far = (after - before).abs().max().item() > softmax.LARGEST_STEP
            lost = law.log_odds_against * (-1 if was_on else 1) + law.inverse_temperature * rise
            wanted = uniform < 1 / (1 + math.exp(lost)) and not too_far
            moved = mover.turn(number)
            assert mover.on[number] == was_on ^ wanted
            assert moved == pytest.approx(rise if wanted else 0, abs=2e-3, rel=1e-4)
            seen.append((wanted, was_on))
    assert set(seen) == set(itertools.product((True, False), repeat=2))
    assert refresh(mover.chain) == pytest.approx(loss(logits()), rel=1e-5, abs=1e-4)


def test_a_switch_that_would_move_a_logit_too_far_stays_on_and_stays_off():
    """The same rule in both directions, so that the distribution is the target's."""
    torch.manual_seed(0)
    mover, *_ = mover_on(NETS["perceptron with biases"](), COLD, 60, 5, (1, 6, 6))
    mover.chain.filters[0] = 0
    mover.chain.filters[0, -1] = 1.0  # a unit that is 1 on all images
    for waits in (False, True):
        mover.on[0] = not waits
        arrays = mover.chain.outgoing, mover.waiting
        arrays[waits][0], arrays[not waits][0] = [10.5, 0, 0, 0, 0], 0
        refresh(mover.chain)
        tried = [mover.turn(0) for _ in range(300)]
        assert tried == [0.0] * 300 and mover.on[0] == (not waits)
    assert mover.in_rounds.totals[:, [0, 2]].tolist() == [[300, 300]] * 2
    mover.settings = SwitchSettings(0.0, log_odds_against=0.0, warm_up=0)
    mover.waiting[0, 0] = 9.5
    assert any(mover.turn(0) for _ in range(100))


def test_what_is_off_waits_as_it_is():
    torch.manual_seed(0)
    mover, *_ = mover_on(NETS["perceptron with biases"](), COLD, 60, 5, (1, 6, 6))
    mover.settings = SwitchSettings(log_odds_against=1e6, block=8, every=10**6, warm_up=0)
    outgoing = mover.chain.outgoing[:6].copy()
    for number in range(5):
        mover.turn(number)
    assert mover.on.tolist() == [False] * 5 + [True]
    filters, waiting = mover.chain.filters.copy(), mover.waiting.copy()
    mover.advance(200)
    assert np.array_equal(mover.chain.filters[:5], filters[:5])
    assert np.array_equal(mover.waiting, waiting) and np.array_equal(waiting[:5], outgoing[:5])
    assert not mover.chain.outgoing[:5].any()
    assert not np.array_equal(mover.chain.filters[5], filters[5])


def test_with_everything_off_and_no_biases_there_is_nothing_to_move():
    mover, *_ = mover_on(NETS["perceptron"](), COLD, 60, 5, (1, 6, 6))
    mover.settings = SwitchSettings(log_odds_against=1e6, block=8, every=10**6, warm_up=0)
    for number in range(6):
        mover.turn(number)
    before = mover.chain.filters.copy()
    assert not mover.on.any() and mover.advance(50) == 0
    assert np.array_equal(mover.chain.filters, before)
    assert refresh(mover.chain) == pytest.approx(60 * math.log(5), rel=1e-5)
    mover.settings = COLD
    assert any(mover.turn(number) for number in range(6) for _ in range(200))


# --- A fit ---

FIT = SwitchSettings(30.0, 0.1, 0.1, 0.1, 0.1, block=10, log_odds_against=30.0, every=100, warm_up=500)


@pytest.mark.parametrize("kind", ["perceptron", "perceptron without biases", "convolution"])
def test_a_fit_loses_units_and_the_smaller_network_gives_the_same_answers(tiny_data, kind):
    torch.manual_seed(0)
    net = {
        "perceptron": lambda: mlp(16, 12, 3, bias=True),
        "perceptron without biases": lambda: mlp(16, 12, 3),
        "convolution": lambda: shallow_cnn(12, 2, 2, classes=3, shape=(1, 4, 4)),
    }[kind]()
    start = copy.deepcopy(net)
    done = fit_switches(net, tiny_data, proposals=3000, settings=FIT, evaluations=3)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), start.parameters(), strict=True))
    true = functional.cross_entropy(done.net(tiny_data.train.scaled()), tiny_data.train.labels)
    assert done.trace.loss.iloc[-1] == pytest.approx(true.item(), abs=1e-5)
    turns = done.moves[done.moves.layer == SWITCHES]
    assert turns.tried.sum() == 12 * 25 and turns.visited.tolist() == [1.0] * 6
    gone = turns.accepted[turns.proposal == "off"].sum() - turns.accepted[turns.proposal == "on"].sum()
    assert 3 < gone < 12
    weights = done.moves[done.moves.layer != SWITCHES]
    assert weights.tried.sum() == 3000
    smaller = without_dead_units(done.net)
    first, output = layers(smaller)
    assert len(first.weight) == 12 - gone and output.in_features == output.weight.shape[1]
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in net.parameters())
    images = tiny_data.test.scaled()
    assert torch.allclose(smaller(images), done.net(images), atol=1e-5)
    whole = layers(done.net)
    assert (whole[0].weight.flatten(1).any(1).sum()) == 12 - gone
    again = fit_switches(net, tiny_data, proposals=3000, settings=FIT, evaluations=2)
    assert torch.equal(layers(again.net)[0].weight, whole[0].weight)


def test_the_rise_without_a_unit_is_that_of_a_network_without_it(tiny_data):
    torch.manual_seed(0)
    net = mlp(16, 7, 3, bias=True)
    found, split = rise_without(net, tiny_data.train), tiny_data.train
    exact = copy.deepcopy(net).double()

    def loss():
        answers = exact(split.images.double() / 255)
        return functional.cross_entropy(answers, split.labels, reduction="sum").item()

    whole = loss()
    for unit in range(7):
        exact.load_state_dict(net.double().state_dict())
        net.float()
        exact[3].weight.data[:, unit] = 0
        assert found[unit] == pytest.approx(loss() - whole, abs=1e-4)


def test_a_bias_without_weights_is_a_unit_that_does_something():
    torch.manual_seed(0)
    net = mlp(16, 5, 3, bias=True)
    with torch.no_grad():
        net[1].weight[:3] = 0
        net[1].bias[:3] = torch.tensor([0.7, -0.7, 0.0])
        net[3].weight[:, 4] = 0
    smaller, x = without_dead_units(net), torch.rand(5, 1, 4, 4)
    assert smaller[1].out_features == len(smaller[1].weight) == 2
    assert torch.allclose(smaller(x), net(x), atol=1e-6)
    nn.init.zeros_(net[3].weight)
    with pytest.raises(ValueError, match="no unit has weights in and out"):
        without_dead_units(net)


def test_wrong_requests_are_refused_before_any_work(tiny_data):
    net = mlp(16, 4, 3)
    with pytest.raises(TypeError, match="hidden units or filters"):
        fit_switches(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), tiny_data, proposals=200_000)
    with pytest.raises(TypeError, match="the fast chain moves"):
        fit_switches(nn.Sequential(nn.Flatten(), nn.Tanh()), tiny_data, proposals=200_000)
    with pytest.raises(TypeError, match="must be SwitchSettings, got ChainSettings"):
        fit_switches(net, tiny_data, proposals=200_000, settings=ChainSettings())
    with pytest.raises(ValueError, match=r"no switch is drawn within 100000.*shorter warm-up"):
        fit_switches(net, tiny_data, proposals=100_000)
    with pytest.raises(ValueError, match="log_odds_against must be a number in"):
        SwitchSettings(log_odds_against=-1.0)
    with pytest.raises(ValueError, match="every must be a whole number"):
        SwitchSettings(every=0)
    with pytest.raises(ValueError, match="step_hidden must be a number"):
        SwitchSettings(step_hidden=0)
