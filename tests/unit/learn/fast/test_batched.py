"""Chains side by side on one device: each decides as the compiled chain does, and has its law."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional

from greenai_nb.learn.accept_reject import log_ratio
from greenai_nb.learn.fast import batched, chain
from greenai_nb.learn.fast.batched import Chains, Draws, chains_at, draw, refresh, write
from greenai_nb.learn.fast.chain import ChainSettings, SearchSettings
from greenai_nb.learn.fast.kernels import OUTPUT
from greenai_nb.learn.fast.softmax import LARGEST_STEP
from greenai_nb.learn.fast.state import chain_at
from greenai_nb.learn.moves import Redraw, ScaleMixture, SignFlip
from greenai_nb.nets.architectures import mlp, shallow_cnn
from greenai_nb.nets.binary import BinaryLinear
from greenai_nb.theory.prior import HeavyTail

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE, UNITS, CLASSES, MANY, MOVES = 5, 6, 4, 3, 400
NETS = {
    "no biases": lambda: mlp(SIDE**2, UNITS, CLASSES),
    "biases": lambda: mlp(SIDE**2, UNITS, CLASSES, bias=True),
    "signs": lambda: nn.Sequential(
        nn.Flatten(), BinaryLinear(SIDE**2, UNITS), nn.ReLU(), nn.Linear(UNITS, CLASSES)
    ),
}
COLD = ChainSettings(1.0, 0.2, 0.2, 0.3, 1.0, output_prob=0.4, redraw_prob=0.3, block=1)
HOT = ChainSettings(0.003, 2.0, 2.0, 2.0, 3.0, output_prob=0.7, redraw_prob=0.3, block=1)
TINY = replace(COLD, scale=1e-60, scale_output=1e-60)
LAWS = {"cold": COLD, "hot": HOT, "search": SearchSettings(0.3, 0.5, 0.5, block=1)}


def problem(make, images=80, seed=0):
    """A network whose weights are all in use, images of noise, and labels."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    net, shape = make(), (images, 1, SIDE, SIDE)
    with torch.no_grad():
        net[-1].weight.normal_()
    shown = torch.tensor(rng.integers(0, 256, shape) * (rng.random(shape) < 0.5), dtype=torch.uint8)
    return net, shown, torch.tensor(rng.integers(0, CLASSES, images))


def in_double(chains: Chains) -> Chains:
    """The chains with all numbers in double precision."""
    numbers = {name: value for name, value in vars(chains).items() if isinstance(value, torch.Tensor)}
    doubled = {name: value.double() for name, value in numbers.items() if value.dtype == torch.float32}
    chains = replace(chains, **doubled)
    refresh(chains)
    return chains


class FullPass:
    """A network in double precision, with what a chain's records name as its weights."""

    def __init__(self, chains, number, net, images, labels):
        self.net, self.images, self.labels = copy.deepcopy(net).double(), images.double() / 255, labels
        write(chains, number, self.net)
        if isinstance(self.net[1], BinaryLinear):  # its weights are signs times a scale already
            plain = nn.Linear(SIDE**2, UNITS, bias=False).double()
            plain.weight = self.net[1].weight
            self.net[1] = plain

    @torch.inference_mode()
    def loss(self):
        return functional.cross_entropy(self.net(self.images), self.labels, reduction="sum").item()

    def weight(self, move):
        """A view of one weight, and how far its move by 1 can move a logit."""
        first, last, unit, column = self.net[1], self.net[3], move["unit"], move["column"]
        with torch.inference_mode():
            outputs = self.net[:3](self.images)
        if move["layer"] == OUTPUT:
            of_bias = unit == UNITS
            reach = 1.0 if of_bias else outputs[:, unit].max().item()
            row = last.bias.data if of_bias else last.weight.data[:, unit]
            return row[column : column + 1], reach
        row = first.bias.data[unit : unit + 1] if column == SIDE**2 else first.weight.data[unit, column:]
        return row[:1], last.weight[:, unit].abs().max().item()


def proposed(moves, chains, law):
    """One step of records of the compiled chain, one for each chain, as what the chains propose."""
    output = moves["layer"] == OUTPUT
    column, label = np.where(output, 0, moves["column"]), np.where(output, moves["column"], 0)
    steps = law.steps(chains.start)
    scale = np.where(output, steps.scales_out[moves["unit"]], steps.scales[column])
    redraw = (moves["log_prior_ratio"] == 0) & np.isfinite(scale)
    rows, unit = np.arange(MANY), moves["unit"].copy()
    inner = np.minimum(unit, UNITS - 1)
    old = np.where(
        output, chains.outgoing.numpy()[rows, unit, label], chains.filters.numpy()[rows, inner, column]
    )
    amount = np.where(redraw, old + moves["change"], moves["change"].astype(float))
    drawn = output, unit, column, label, redraw, amount, scale, moves["log_uniform"].copy()
    return Draws(*map(torch.from_numpy, drawn)), old, scale


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_every_decision_is_that_of_the_compiled_chain_and_of_a_full_pass(make, law):
    net, images, labels = problem(make)
    start = chain_at(net, images, labels)
    records = [
        chain.sweep(chain_at(net, images, labels), MOVES, law, np.random.default_rng(seed))
        for seed in range(MANY)
    ]
    chains = in_double(chains_at(start, MANY))
    exact = [FullPass(chains, number, net, images, labels) for number in range(MANY)]
    losses = [one.loss() for one in exact]
    temperature, early, refused = law.steps(start).inverse_temperature, 0, 0
    for moves in zip(*records, strict=True):
        moves = np.array(moves)
        drawn, olds, scales = proposed(moves, chains, law)
        found = batched.step(chains, drawn, temperature)
        assert found.accepted.tolist() == moves["accepted"].tolist()
        assert found.change.numpy() == pytest.approx(moves["change"], abs=1e-5, rel=1e-5)
        assert found.log_prior_ratio.numpy() == pytest.approx(moves["log_prior_ratio"], abs=1e-4)
        for number, (one, move) in enumerate(zip(exact, moves, strict=True)):
            weight, reach = one.weight(move)
            old, new = weight.item(), weight.item() + found.change[number].item()
            assert old == pytest.approx(olds[number], abs=1e-12)
            weight.fill_(new)
            change = one.loss() - losses[number]
            flips, prior = start.binary and move["layer"] != OUTPUT, HeavyTail(min(scales[number], 1e9))
            kind = Redraw(prior) if drawn.redraw[number] else ScaleMixture(1.0)
            kind, prior = (SignFlip(), None) if flips else (kind, prior)
            if temperature < math.inf:
                wanted = (
                    move["log_uniform"]
                    < log_ratio(kind, prior, np.array([old]), np.array([new]), change, temperature).total
                )
            else:
                wanted = change < 0
            too_far = abs(new - old) * reach > LARGEST_STEP
            assert found.accepted[number].item() == (wanted and not too_far)
            if math.isfinite(found.loss_change[number]):
                assert found.loss_change[number].item() == pytest.approx(change, abs=1e-9, rel=1e-9)
                assert found.loss_change[number].item() == pytest.approx(
                    move["loss_change"], abs=2e-3, rel=1e-3
                )
            early += math.isnan(found.loss_change[number]) and not too_far
            refused += too_far
            if found.accepted[number]:
                losses[number] += change
            else:
                weight.fill_(old)
    shares = [moves["accepted"].mean() for moves in records]
    assert min(shares) > 0.02 and max(shares) < 0.95 and early > 100
    assert refused > 5 or law is not HOT
    assert refresh(chains).numpy() == pytest.approx(losses, abs=1e-6)


def signs_problem():
    """Eight signs, ten images and fixed output weights: a target that can be enumerated."""
    rng = np.random.default_rng(3)
    torch.manual_seed(3)
    net = nn.Sequential(nn.Flatten(), BinaryLinear(4, 2), nn.ReLU(), nn.Linear(2, 3))
    with torch.no_grad():
        net[3].weight.normal_(std=2.0)
    images = torch.tensor(rng.integers(0, 256, (10, 1, 2, 2)), dtype=torch.uint8)
    return net, images, torch.tensor(rng.integers(0, 3, 10))


def test_many_chains_of_signs_are_draws_from_the_gibbs_distribution():
    net, images, labels = signs_problem()
    law, many = ChainSettings(inverse_temperature=0.4, output_prob=0.0, block=1), 10_000
    chains = chains_at(chain_at(net, images, labels), many)
    batched.sweep(chains, 120, law, np.random.default_rng(0))
    powers = 2 ** torch.arange(8)
    seen = ((chains.filters[:, :, :-1] > 0).flatten(1) * powers).sum(1).bincount(minlength=256)
    losses = []
    for state in range(256):
        signs = torch.where(state // powers % 2 > 0, 1.0, -1.0).view(2, 4)
        weight = signs * net[1].weight.detach().abs().mean(1, keepdim=True)
        hidden = torch.relu((images / 255).flatten(1) @ weight.T)
        losses.append(functional.cross_entropy(net[3](hidden), labels, reduction="sum").item())
    mass = np.exp(-law.inverse_temperature * np.array(losses))
    mass /= mass.sum()
    assert 16 * mass.max() > 1 / 16 > 16 * mass.min()  # far from uniform
    common = many * mass > 5
    counts = np.append(seen.numpy()[common], seen.numpy()[~common].sum())
    known = many * np.append(mass[common], mass[~common].sum())
    keep = known > 0
    assert stats.chisquare(counts[keep], known[keep]).pvalue > 1e-3


def test_without_data_the_chains_are_draws_from_the_prior():
    torch.manual_seed(0)
    net = mlp(4, 2, 3, bias=True)
    for weight in net.parameters():
        nn.init.zeros_(weight)
    _, images, labels = signs_problem()
    law = ChainSettings(0.0, 0.05, 0.2, 0.1, 0.3, output_prob=0.5, redraw_prob=0.05, block=1)
    chains = chains_at(chain_at(net, images, labels), 1000)
    batched.sweep(chains, 1000, law, np.random.default_rng(0))
    for weights, scale in ((chains.filters[:, :, :-1], 0.05), (chains.outgoing[:, :-1], 0.2)):
        for one in weights.flatten(1).T.numpy():
            found = stats.kstest(np.abs(one), lambda x, tau=scale: 1 - HeavyTail(tau).tail(x))
            assert found.pvalue > 1e-3
    assert abs(stats.spearmanr(chains.filters[0::2, 0, 0], chains.filters[1::2, 0, 0])[0]) < 0.17


@pytest.mark.parametrize("bias", [True, False])
def test_proposals_have_the_law_of_the_compiled_chain(bias):
    net, images, labels = problem(NETS["biases" if bias else "no biases"])
    start = chain_at(net, images, labels)
    settings = ChainSettings(1.0, 0.1, 0.3, 0.2, 0.7, output_prob=0.3, redraw_prob=0.25, block=1)
    drawn = Draws(
        *(
            x.flatten().numpy()
            for x in draw(chains_at(start, 40), 1000, settings, np.random.default_rng(1))
        )
    )
    out, rng = drawn.output, np.random.default_rng(2)
    assert out.mean() == pytest.approx(0.3, abs=0.01)
    for found, size in (
        (drawn.unit[out], UNITS + bias),
        (drawn.unit[~out], UNITS),
        (drawn.label[out], CLASSES),
    ):
        assert stats.chisquare(np.bincount(found, minlength=size)).pvalue > 1e-3
    chances = np.diff(start.column_cdf, prepend=0)
    drawn_columns = np.bincount(drawn.column[~out], minlength=len(chances))
    used = chances > 0
    assert not drawn_columns[~used].any()
    assert stats.chisquare(drawn_columns[used], (~out).sum() * chances[used]).pvalue > 1e-3
    for some, step, tau in ((out, 0.7, 0.3), (~out, 0.2, 0.1)):
        is_bias = drawn.unit == UNITS if step == 0.7 else drawn.column == SIDE**2
        assert drawn.redraw[some].mean() == pytest.approx(0.25, abs=0.02)
        assert drawn.scale[some] == pytest.approx(np.where(is_bias, 1.0, tau)[some])
        steps = ScaleMixture(step).draw(np.zeros((4000, 1)), rng)
        steps = np.concatenate([ScaleMixture(step).draw(np.zeros(1), rng) for _ in steps])
        assert stats.ks_2samp(drawn.amount[some & ~drawn.redraw], steps).pvalue > 1e-3
        for sizes, scale in ((some & ~is_bias, tau), (some & is_bias, 1.0)):
            values = drawn.amount[sizes & drawn.redraw]
            if len(values) > 50:
                assert (
                    stats.kstest(np.abs(values), lambda x, s=scale: 1 - HeavyTail(s).tail(x)).pvalue
                    > 1e-3
                )
                assert (values > 0).mean() == pytest.approx(0.5, abs=0.15)
    assert stats.kstest(-drawn.log_uniform, "expon").pvalue > 1e-3


def test_chains_on_a_device_make_the_decisions_of_the_processor(device):
    net, images, labels = problem(NETS["biases"])
    start = chain_at(net, images, labels)
    made = [chains_at(start, 4, place) for place in ("cpu", device)]
    here, there = (batched.sweep(each, 60, COLD, np.random.default_rng(0)) for each in made)
    assert made[1].filters.device.type == there.accepted.device.type == "cuda"
    assert torch.equal(here.accepted, there.accepted.cpu()) and here.accepted.any()
    finite = here.loss_change.isfinite()
    assert torch.allclose(here.loss_change[finite], there.loss_change.cpu()[finite], atol=1e-3)
    assert torch.allclose(refresh(made[0]), refresh(made[1]).cpu(), rtol=1e-5)
    found, known = copy.deepcopy(net), copy.deepcopy(net)
    write(made[1], 2, found)
    write(made[0], 2, known)
    for ours, theirs in zip(found.parameters(), known.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_scale_too_small_for_single_precision_is_that_of_the_compiled_chain():
    net, images, labels = problem(NETS["biases"])
    records = [
        chain.sweep(chain_at(net, images, labels), MOVES, TINY, np.random.default_rng(seed))
        for seed in range(MANY)
    ]
    chains, ratios = chains_at(chain_at(net, images, labels), MANY), []
    for moves in zip(*records, strict=True):
        moves = np.array(moves)
        drawn, _, _ = proposed(moves, chains, TINY)
        found = batched.step(chains, drawn._replace(amount=drawn.amount.float()), 1.0)
        assert found.accepted.tolist() == moves["accepted"].tolist()
        assert found.log_prior_ratio.numpy() == pytest.approx(moves["log_prior_ratio"], abs=1e-3)
        ratios += found.log_prior_ratio.tolist()
    assert float(draw(chains, 10, TINY, np.random.default_rng(0)).scale.min()) == TINY.scale
    assert min(ratios) < -500 and (chains.filters == 0).any() and (chains.filters != 0).any()


def test_the_tracked_loss_is_the_recomputed_one_and_the_start_is_left_alone():
    net, images, labels = problem(NETS["biases"])
    start = chain_at(net, images, labels)
    saved, chains = copy.deepcopy(start), chains_at(start, 5)
    before = refresh(chains)
    law = replace(COLD, inverse_temperature=30.0)
    found = batched.sweep(chains, 800, law, np.random.default_rng(0))
    moved = found.loss_change.masked_fill(~found.accepted, 0.0).sum(0)
    assert torch.allclose(refresh(chains), before + moved, atol=1e-3)
    assert (moved < 0).all() and len(set(moved.tolist())) == 5
    for now, then in zip(start, saved, strict=True):
        assert np.array_equal(now, then)


def test_chains_that_cannot_be_made_are_refused():
    net, images, labels = problem(NETS["biases"])
    start = chain_at(net, images, labels)
    with pytest.raises(ValueError, match="count"):
        chains_at(start, 0)
    for device in ("meta", *(() if torch.cuda.is_available() else ("cuda",))):
        with pytest.raises(ValueError, match=f"there is no device '{device}' to compute on"):
            chains_at(start, 2, device)
    with pytest.raises(ValueError, match="set block=1, got 32"):
        batched.sweep(chains_at(start, 2), 1, ChainSettings(), np.random.default_rng(0))
    convolution = shallow_cnn(4)
    softmax = nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, CLASSES))
    for other, shown in ((softmax, images), (convolution, torch.rand(8, 1, 28, 28))):
        with pytest.raises(TypeError, match="move linear, ReLU, linear"):
            chains_at(chain_at(other, shown, labels[: len(shown)]), 2)
