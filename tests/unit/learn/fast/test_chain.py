"""The fast chain: its arithmetic, its decisions, its law, and its bookkeeping."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp
from torch import nn
from torch.nn import functional

from greenai_nb.learn.fast import chain as fast_chain
from greenai_nb.learn.fast import kernels, softmax
from greenai_nb.learn.fast import run as fast_run
from greenai_nb.learn.fast.chain import (
    ChainSettings,
    SearchSettings,
    fit_accept_reject,
    fit_random_search,
    sweep,
)
from greenai_nb.learn.fast.kernels import HIDDEN, OUTPUT
from greenai_nb.learn.fast.state import chain_at, layers, output_layer, refresh, write
from greenai_nb.learn.fit import MOVES
from greenai_nb.learn.initial_weights import start_sparse
from greenai_nb.nets.architectures import mlp
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear
from greenai_nb.theory.prior import HeavyTail

CLASSES = 5
SIDE = 6


pytestmark = pytest.mark.usefixtures("one_thread")


def test_exponentials_and_logarithms_are_those_of_numpy():
    x = np.linspace(-60, 60, 4001).astype(np.float32)
    ours = np.array([softmax.fast_exp(value) for value in x])
    assert np.allclose(ours, np.exp(x.astype(float)), rtol=1e-6)
    ours = np.array([softmax.fast_log(value) for value in np.exp(x)])
    assert np.allclose(ours, np.log(np.exp(x).astype(float)), rtol=3e-7, atol=3e-7)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5000), st.floats(0.001, 3), st.integers(1, 3))
def test_the_loss_change_is_that_of_two_softmaxes_and_its_linear_part_is_below(seed, count, size, units):
    rng = np.random.default_rng(seed)
    logits, labels = 3 * rng.normal(size=(CLASSES, count)), np.sort(rng.integers(0, CLASSES, count))
    directions = rng.uniform(-1, 1, (units, CLASSES)) * (rng.random((units, CLASSES)) < 0.7)
    directions, shift = directions.astype(np.float32), rng.uniform(-size, size, (units, count))
    mass, shift = np.exp(logits - logits.max(0)).astype(np.float32), shift.astype(np.float32)
    inverse, slope, growth = np.empty((3, count), np.float32)
    softmax.normalize(mass, inverse)
    before, scale = mass.copy(), inverse.copy()
    used, ends = np.flatnonzero(directions.any(0)), np.searchsorted(labels, np.arange(CLASSES + 1))
    powers = directions.T.astype(float) @ shift
    small = bool(np.abs(powers).max() <= softmax.SMALL)
    found = softmax.loss_change(mass, inverse, ends, used, directions, shift, small, growth)
    moved = logits + powers
    images = np.arange(count)

    def losses(z):
        return logsumexp(z, axis=0) - z[labels, images]

    exact, rounding = (losses(moved) - losses(logits)).sum(), 1e-6 * count + 1e-5
    assert found == pytest.approx(exact, abs=rounding, rel=1e-5)
    softmax.commit(mass, inverse, used, directions, shift, small, growth)
    assert np.allclose(mass * inverse, np.exp(moved - logsumexp(moved, axis=0)), atol=2e-6)
    linear = 0.0
    for direction, of_unit in zip(directions, shift, strict=True):
        for start in range(0, count, softmax.TILE):
            softmax.slopes(before, scale, ends, direction, slope, start)
        linear += of_unit.astype(float) @ slope
    assert linear <= exact + rounding


def perceptron(bias=True):
    return mlp(SIDE**2, 8, CLASSES, bias=bias)


def convolutional():
    return nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16, CLASSES))


def with_signs():
    return nn.Sequential(BinaryConv2d(1, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16, CLASSES))


def perceptron_with_signs():
    return nn.Sequential(nn.Flatten(), BinaryLinear(SIDE**2, 8), nn.ReLU(), nn.Linear(8, CLASSES))


def softmax_layer():
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, CLASSES))


def signed_inputs():
    return convolutional()


NETS = {
    "perceptron": lambda: perceptron(False),
    "perceptron with biases": perceptron,
    "convolution": convolutional,
    "convolution with signs": with_signs,
    "perceptron with signs": perceptron_with_signs,
    "softmax layer on bytes": lambda: softmax_layer(),
    "softmax layer on numbers of either sign": softmax_layer,
    "convolution of numbers of either sign": signed_inputs,
}
SIGNED = softmax_layer, signed_inputs


def small(make=perceptron, seed=0, images=300):
    """A network whose weights are all in use, images of noise, and their labels."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    shown = rng.integers(0, 256, (images, 1, SIDE, SIDE)) * (rng.random((images, 1, SIDE, SIDE)) < 0.4)
    net = make()
    with torch.no_grad():
        net[-1].weight.normal_()
    labels = torch.tensor(rng.integers(0, CLASSES, images))
    if make in SIGNED:
        return net, torch.tensor(0.4 * rng.normal(size=shown.shape), dtype=torch.float32), labels
    return net, torch.tensor(shown, dtype=torch.uint8), labels


COLD = ChainSettings(
    inverse_temperature=1.0,
    scale=0.2,
    scale_output=0.2,
    step_hidden=0.3,
    step_output=1.0,
    output_prob=0.4,
)
HOT = ChainSettings(
    inverse_temperature=0.003,
    scale=2.0,
    scale_output=2.0,
    step_hidden=2.0,
    step_output=3.0,
    output_prob=0.7,
)
OUTPUTS = ChainSettings(inverse_temperature=0.1, scale_output=5.0, step_output=0.5, output_prob=1.0)
SINGLE = ChainSettings(inverse_temperature=0.3, scale=0.5, step_hidden=0.5, output_prob=0.2, block=1)
LAWS = {"cold": COLD, "hot": HOT, "outputs": OUTPUTS, "single moves": SINGLE}


class Exact:
    """A network in double precision whose weights are named as the records of moves name them."""

    def __init__(self, net, images, labels):
        self.net, self.labels = copy.deepcopy(net).double(), labels
        self.scaled = images.double() / (1 if images.is_floating_point() else 255)
        self.output = output_layer(self.net)
        self.first = None if self.output is self.net[1] else layers(self.net)[0]
        if isinstance(self.first, BinaryConv2d | BinaryLinear):
            weight = self.first.weight.data
            size = weight.abs().flatten(1).mean(1).view(-1, *[1] * (weight.ndim - 1))
            self.first.weight.data = torch.where(weight >= 0, size, -size)

    @torch.inference_mode()
    def loss(self):
        return functional.cross_entropy(self.net(self.scaled), self.labels, reduction="sum").item()

    def weight(self, move):
        """A view of the one weight that a move is about."""
        unit, column = move["unit"], move["column"]
        if move["layer"] == OUTPUT:
            of_bias = unit == self.output.in_features
            weights = self.output.bias.data if of_bias else self.output.weight.data[:, unit]
            return weights[column : column + 1]
        weights = self.first.weight.data[unit].view(-1)
        return weights[column:][:1] if column < len(weights) else self.first.bias.data[unit : unit + 1]

    @torch.inference_mode()
    def reach(self, move):
        """How far a logit can move, for a move of size one."""
        if move["layer"] == OUTPUT:
            of_bias = move["unit"] == self.output.in_features
            return 1.0 if of_bias else self.net[:-1](self.scaled)[:, move["unit"]].abs().max().item()
        by_filter = self.output.weight.unflatten(1, (len(self.first.weight), -1))
        return by_filter[:, move["unit"]].abs().sum(1).max().item() * self.brightest(move["column"])

    def brightest(self, column):
        """The size of the largest pixel under a weight."""
        if isinstance(self.first, nn.Conv2d):
            under = functional.unfold(self.scaled, self.first.kernel_size, stride=self.first.stride)
        else:
            under = self.scaled.flatten(1)[..., None]
        return under[:, column].abs().max().item() if column < under.shape[1] else 1.0


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_every_recorded_decision_is_that_of_a_full_pass_in_double_precision(make, law):
    """Also those of giant steps, which the rule against large steps must reject."""
    net, images, labels = small(make)
    chain, exact = chain_at(net, images, labels), Exact(net, images, labels)
    moves = sweep(chain, 1536 // law.block, law, np.random.default_rng(1))
    before, refused, largest = exact.loss(), 0, 0.0
    for number, move in enumerate(moves):
        largest = largest if number % law.block else 0.0  # of the block's moves so far
        step = abs(move["change"]) * exact.reach(move)
        too_far = step > softmax.LARGEST_STEP
        weight = exact.weight(move)
        old = weight.item()
        weight += float(move["change"])
        after = exact.loss()
        wanted = move["log_uniform"] < move["log_prior_ratio"] - law.inverse_temperature * (
            after - before
        )
        assert move["accepted"] == (wanted and not too_far)
        if np.isfinite(move["loss_change"]):
            # 1 + p (exp(d) - 1) may be as small as exp(-|d|), but it is rounded like 1.
            rounding = 1e-4 + float(np.exp(max(step, largest)) * np.finfo(np.float32).eps)
            assert move["loss_change"] == pytest.approx(after - before, abs=rounding, rel=1e-4)
        if move["accepted"]:
            before, largest = after, max(step, largest)
        else:
            weight.fill_(old)
        refused += too_far
    assert 0.05 < moves["accepted"].mean() < 0.95
    assert refused > 5 or law is not HOT
    found = copy.deepcopy(net)
    write(chain, found)
    for ours, known in zip(found.parameters(), exact.net.parameters(), strict=True):
        assert torch.allclose(ours.double(), known, atol=1e-5)


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_more_images_than_a_tile_holds_change_nothing(make):
    net, images, labels = small(make, images=2 * softmax.TILE + 500)
    images[:, 0, 0, 0], images[labels.argsort(stable=True)[: softmax.TILE], 0, 0, 1] = 0, 0
    chain, exact = chain_at(net, images, labels), Exact(net, images, labels)
    law = ChainSettings(
        inverse_temperature=0.05, scale=0.5, scale_output=0.5, step_hidden=0.3, output_prob=0.3
    )
    share = chain.column_cdf[-2:][0]  # of what is no bias, each weight equally often
    chain.column_cdf[:-1] = np.linspace(0, share, len(chain.column_cdf))[1:]
    moves = sweep(chain, 8, law, np.random.default_rng(1))
    before = exact.loss()
    for move in moves[np.isfinite(moves["loss_change"])]:
        weight = exact.weight(move)
        old = weight.item()
        weight += float(move["change"])
        change = exact.loss() - before
        assert move["loss_change"] == pytest.approx(change, abs=5e-3, rel=1e-4)
        if move["accepted"]:
            before += change
        else:
            weight.fill_(old)
    assert moves["accepted"].sum() > 20 and refresh(chain) == pytest.approx(before, rel=1e-4)


def test_a_weight_under_black_pixels_costs_no_operations_and_follows_the_prior():
    net, images, labels = small()
    images[:, 0, 0, 3] = 0
    chain = chain_at(net, images, labels)
    chain.column_cdf[:] = np.arange(len(chain.column_cdf)) >= 3
    moves = sweep(chain, 20, ChainSettings(output_prob=0.0), np.random.default_rng(1))
    assert (moves["column"] == 3).all() and not moves["operations"].any()
    assert not np.nan_to_num(moves["loss_change"]).any()
    assert (moves["accepted"] == (moves["log_uniform"] < moves["log_prior_ratio"])).all()


def test_whole_numbers_in_the_settings_compile_nothing_anew():
    net, images, labels = small()
    law = ChainSettings(
        inverse_temperature=1, scale=1, scale_output=1, step_hidden=1, step_output=1, output_prob=0
    )
    sweep(chain_at(net, images, labels), 1, COLD, np.random.default_rng(0))
    known = len(kernels.sweep.signatures)
    sweep(chain_at(net, images, labels), 1, law, np.random.default_rng(0))
    sweep(chain_at(net, images, labels), 1, SearchSettings(1, 1, 0), np.random.default_rng(0))
    assert len(kernels.sweep.signatures) == known


def test_the_prior_ratio_is_that_of_the_prior():
    net, images, labels = small()
    chain, exact = chain_at(net, images, labels), Exact(net, images, labels)
    law = ChainSettings(
        inverse_temperature=0.0, scale=0.2, scale_output=0.7, redraw_prob=0.0, output_prob=0.5
    )
    for move in sweep(chain, 20, law, np.random.default_rng(2)):
        weight = exact.weight(move)
        old, new = weight.item(), weight.item() + float(move["change"])
        hidden_bias = move["layer"] == HIDDEN and move["column"] == SIDE**2
        output_bias = move["layer"] == OUTPUT and move["unit"] == 8
        prior = HeavyTail((0.2, 0.7)[move["layer"]] if not hidden_bias | output_bias else 1.0)
        known = prior.log_density(new) - prior.log_density(old)
        assert move["log_prior_ratio"] == pytest.approx(float(known), abs=1e-4)
        if move["accepted"]:
            weight.fill_(new)


def test_without_data_the_chain_returns_the_prior():
    net, images, labels = small(lambda: mlp(SIDE**2, 2, CLASSES))
    for weight in net.parameters():
        torch.nn.init.zeros_(weight)
    chain = chain_at(net, images[:5], labels[:5])
    law = ChainSettings(
        inverse_temperature=0.0,
        scale=0.05,
        scale_output=0.05,
        step_hidden=0.1,
        step_output=0.1,
        output_prob=0.5,
    )
    generator, draws = np.random.default_rng(3), []
    inked = np.flatnonzero(np.diff(chain.column_cdf[:-1], prepend=0) > 0)
    for _ in range(2500):
        sweep(chain, 6, law, generator)
        draws.append([*chain.filters[:, inked].ravel(), *chain.outgoing.ravel()])
    spread = np.abs(np.array(draws)[100::25]).ravel()
    assert stats.kstest(spread[::5], lambda x: 1 - HeavyTail(0.05).tail(x)).pvalue > 1e-3


def test_signs_without_data_are_uniform():
    net, images, labels = small(with_signs)
    chain = chain_at(net, images[:5], labels[:5])
    law, generator, draws = (
        ChainSettings(inverse_temperature=0.0, output_prob=0.0),
        np.random.default_rng(4),
        [],
    )
    for _ in range(400):
        sweep(chain, 3, law, generator)
        draws.append(chain.filters[:, :-1] > 0)
    assert np.mean(draws[20:], axis=0) == pytest.approx(np.full((4, 9), 0.5), abs=0.15)
    assert np.allclose(np.abs(chain.filters[:, :-1]), np.abs(chain.filters[:, :1]))


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_the_tracked_loss_stays_with_the_recomputed_one(make):
    """Cold, so that masses reach their floor and confident images count."""
    net, images, labels = small(make, images=60)
    chain, rng = chain_at(net, images, labels), np.random.default_rng(4)
    tracked, law = refresh(chain), ChainSettings(inverse_temperature=30.0, scale=0.1, scale_output=0.1)
    for _ in range(20):
        moves = sweep(chain, 400, law, rng)
        tracked += moves["loss_change"][moves["accepted"]].sum()
        true = refresh(chain)
        assert abs(tracked - true) < 1e-4 * len(labels) and true > 0
        tracked = true


def test_a_refresh_gives_the_loss_and_the_probabilities_of_the_network(monkeypatch):
    monkeypatch.setattr("greenai_nb.learn.fast.state.IMAGES_AT_ONCE", 77)
    net, images, labels = small(convolutional)
    chain = chain_at(net, images, labels)
    with torch.inference_mode():
        logits = net.double()(images.double() / 255)
    known = functional.cross_entropy(logits, labels, reduction="sum").item()
    assert refresh(chain) == pytest.approx(known, rel=1e-5)
    order = torch.argsort(labels, stable=True)
    assert np.allclose(chain.mass * chain.inverse, logits[order].softmax(1).T, atol=1e-5)


def test_centred_inputs_are_uncentred_ones_with_another_bias():
    """w (x - m) + b = w x + (b - w m): the same probabilities, and the same chain from there on."""
    net, images, labels = small(convolutional)
    mean, shifted = 0.3, copy.deepcopy(net)
    with torch.no_grad():
        shifted[0].bias -= mean * shifted[0].weight.sum((1, 2, 3))
    centred = chain_at(net, images / 255 - mean, labels)
    plain = chain_at(shifted, images, labels)
    assert np.allclose(centred.activations, plain.activations, atol=1e-5)
    assert np.allclose(centred.mass * centred.inverse, plain.mass * plain.inverse, atol=1e-5)


def softmax_target():
    """Two classes, one feature of either sign, and no bias: a target that a grid can integrate."""
    feature = torch.tensor([-1.5, -0.5, 0.2, 0.9, 1.4]).view(-1, 1, 1, 1)
    labels, law = torch.tensor([0, 1, 0, 1, 1]), ChainSettings(1.0, 0.7, 0.7, step_output=1.0)
    return feature, labels, law


def test_a_chain_without_hidden_units_draws_from_an_enumerable_target():
    feature, labels, law = softmax_target()
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    chain, generator, draws = chain_at(net, feature, labels), np.random.default_rng(5), []
    for _ in range(20_000):
        sweep(chain, 1, law, generator)
        draws.append(chain.outgoing[0].copy())
    grid = np.linspace(-12, 12, 481)
    w = np.stack(np.meshgrid(grid, grid, indexing="ij"))
    logits = w[:, None] * feature.view(-1, 1, 1).numpy()
    picked = np.take_along_axis(logits, labels.numpy()[None, :, None, None], 0)[0]
    log_mass = (picked - logsumexp(logits, axis=0)).sum(0) + HeavyTail(0.7).log_density(w).sum(0)
    mass = np.exp(log_mass - logsumexp(log_mass))
    for known, drawn in (
        ((mass * w[1]).sum(), np.array(draws)[:, 1]),
        ((mass * (w[1] - w[0] > 0)).sum(), np.diff(draws)[:, 0] > 0),
        ((mass * (np.abs(w[0]) < 0.1)).sum(), np.abs(np.array(draws)[:, 0]) < 0.1),
    ):
        thinned = drawn[::20].astype(float)
        assert thinned.mean() == pytest.approx(known, abs=4.5 * thinned.std() / 1000**0.5)


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_a_random_search_keeps_what_lowers_the_loss_and_nothing_else(make):
    net, images, labels = small(make)
    images[:, 0, 0, 0] = 0  # moves of weights that see nothing change nothing, and are not kept
    chain, generator = chain_at(net, images, labels), np.random.default_rng(1)
    before = refresh(chain)
    moves = sweep(chain, 40, SearchSettings(0.3, 0.5, 0.5), generator)
    kept, exact = moves["accepted"], np.isfinite(moves["loss_change"])
    assert kept.sum() > 10 and (moves["loss_change"][kept] < 0).all()
    assert (moves["loss_change"][exact & ~kept] >= 0).all()
    assert refresh(chain) == pytest.approx(before + moves["loss_change"][kept].sum(), abs=0.01)


def test_a_random_search_and_a_chain_without_hidden_units_train(tiny_data):
    torch.manual_seed(0)
    start = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    by_chain = fit_accept_reject(start, tiny_data, proposals=3200, settings=ChainSettings(30, 1, 1))
    assert by_chain.moves.layer.unique().tolist() == ["output"]
    by_search = fit_random_search(start_sparse(mlp(16, 6, 3)), tiny_data, proposals=6400)
    assert by_search.settings["trainer"] == "random search" and "scale" not in by_search.settings
    for done in (by_chain, by_search):
        logits = done.net(tiny_data.train.scaled())
        true = functional.cross_entropy(logits, tiny_data.train.labels)
        assert done.trace.loss.iloc[-1] == pytest.approx(true.item(), abs=1e-4)
        assert true < 0.9 * np.log(3)


def test_large_networks_are_refreshed_less_often():
    many = ChainSettings(output_prob=0.98)

    def between(chain):
        return fast_chain._Blocks(many, chain, None).between_refreshes

    net, images, labels = small(perceptron)
    assert between(chain_at(net, images, labels)) == fast_chain.REFRESH_EVERY
    wide = nn.Sequential(nn.Conv2d(3, 64, 11, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4096, 5))
    chain = chain_at(wide, torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8), labels[:5])
    assert between(chain) > 2 * fast_chain.REFRESH_EVERY


def fit(data, seed=1, proposals=2000, start=None, **given):
    torch.manual_seed(0)
    net = start or start_sparse(mlp(16, 6, 3))
    return fit_accept_reject(net, data, proposals=proposals, seed=seed, **given)


def test_a_seed_gives_the_same_chain_and_the_start_is_left_alone(tiny_data):
    first, again, other = (fit(tiny_data, seed=seed) for seed in (1, 1, 2))
    weight = first.net[1].weight
    assert torch.equal(weight, again.net[1].weight) and not torch.equal(weight, other.net[1].weight)
    kept = weight.clone()
    more = fit(tiny_data, proposals=20_000, seed=3, start=first.net)
    assert torch.equal(kept, first.net[1].weight)
    assert more.trace.loss.iloc[-1] < first.trace.loss.iloc[-1]


def test_proposals_tell_the_copies_of_the_sparse_start_apart(tiny_data):
    torch.manual_seed(0)
    done = fit(tiny_data, proposals=20_000, start=start_sparse(mlp(16, 12, 3)))
    assert len(done.net[1].weight.detach().unique(dim=0)) == 12


def test_looking_does_not_change_the_chain(tiny_data, monkeypatch):
    refreshed = []
    monkeypatch.setattr(fast_chain, "REFRESH_EVERY", 7 * 32)
    monkeypatch.setattr(fast_run.state, "refresh", lambda chain: refreshed.append(1) or refresh(chain))
    once = fit(tiny_data, proposals=20 * 32, evaluations=1)
    times = len(refreshed)
    often = fit(tiny_data, proposals=20 * 32, evaluations=6)
    assert len(refreshed) == 2 * times
    assert torch.equal(once.net[1].weight, often.net[1].weight)
    logits = once.net(tiny_data.train.scaled())
    true = functional.cross_entropy(logits, tiny_data.train.labels)
    assert once.trace.loss.iloc[-1] == pytest.approx(true.item(), abs=1e-4)


def test_the_trace_adds_the_records_up(tiny_data):
    done = fit(tiny_data, proposals=4 * 32, evaluations=4)
    assert list(done.trace) == ["step", "loss", "accuracy", "seconds", "operations"]
    assert (
        done.trace.step.tolist() == [32, 64, 96, 128] and done.trace.operations.is_monotonic_increasing
    )
    assert list(done.moves) == list(MOVES) and done.moves.tried.sum() == 4 * 32
    assert done.moves.layer.tolist() == 4 * ["hidden", "output"]
    assert (done.moves.accepted + done.moves.refused_early <= done.moves.tried).all()
    assert done.moves.visited.between(0, 1).all() and done.moves.visited.max() > 0
    assert done.moves.step.tolist() == np.repeat([32, 64, 96, 128], 2).tolist()
    assert done.settings["proposals"] == 128 and done.settings["seed"] == 1


@pytest.mark.parametrize("bias", [False, True])
def test_weights_that_were_visited_are_counted_without_biases(tiny_data, bias):
    torch.manual_seed(0)
    start = start_sparse(mlp(16, 6, 3, bias=bias))
    tiny_data.train.images[:, 0, 0, 0] = 7  # a pixel that never varies is never drawn
    done = fit(tiny_data, proposals=40_000, start=start)
    assert done.moves.visited.iloc[-2:].tolist() == pytest.approx([15 / 16, 1])


def test_chains_in_threads_are_those_one_after_the_other(tiny_data):
    alone = [fit(tiny_data, seed=seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: fit(tiny_data, seed=seed), range(4)))
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.net[1].weight, other.net[1].weight)


def test_an_interrupt_keeps_the_fit_so_far(tiny_data, monkeypatch):
    calls = []

    def interrupted(*given):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return sweep(*given)

    monkeypatch.setattr(fast_chain, "sweep", interrupted)
    with pytest.warns(UserWarning, match="interrupted after 64 proposals"):
        found = fit(tiny_data, proposals=10 * 32)
    assert found.interrupted and found.trace.step.tolist() == [32, 64, 64]
    found.net(tiny_data.train.scaled())


def test_bad_input_is_refused(tiny_data):
    with pytest.raises(ValueError, match="10 evaluations need 320 proposals at least, got 5"):
        fit(tiny_data, proposals=5)
    with pytest.raises(TypeError, match=r"got Linear, Sigmoid, Linear"):
        fit(tiny_data, start=nn.Sequential(nn.Linear(16, 4), nn.Sigmoid(), nn.Linear(4, 3)))
    padded = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    with pytest.raises(TypeError, match="without padding"):
        fit(tiny_data, start=padded)
    broken = start_sparse(mlp(16, 6, 3))
    broken[1].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="a finite loss, got nan"):
        fit(tiny_data, start=broken)
    tiny_data.train.labels[0] = 7
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 2\], got 0 to 7"):
        fit(tiny_data)
    with pytest.raises(ValueError, match=r"scale_output must be a number in \(0, inf\), got 0"):
        ChainSettings(scale_output=0)
    with pytest.raises(ValueError, match="inverse_temperature must be"):
        ChainSettings(inverse_temperature=-1)
