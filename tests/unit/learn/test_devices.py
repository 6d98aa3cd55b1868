"""A network trains where it is: the same batches, losses and decisions as on the processor."""

import numpy as np
import pytest
import torch
from torch import nn

from greenai_nb.learn.accept_reject import steps
from greenai_nb.learn.fast.chain import fit_accept_reject
from greenai_nb.learn.fast.whole_filters import fit_whole_filters
from greenai_nb.learn.fit import accuracies, accuracy
from greenai_nb.learn.moves import Move, Redraw, ScaleMixture, Unit, Weights
from greenai_nb.learn.noise import smeared_losses
from greenai_nb.learn.recurrent.eprop import GRADIENTS, fit_recurrent
from greenai_nb.learn.recurrent.network import RowReader
from greenai_nb.learn.sgd import fit_sgd
from greenai_nb.learn.stack import Stack, fit_stack
from greenai_nb.nets.architectures import mlp
from greenai_nb.nets.binary import BinaryLinear
from greenai_nb.nets.counts import count
from greenai_nb.nets.quantize import dorefa_mlp, with_levels
from greenai_nb.nets.spiking import spiking_mlp
from greenai_nb.prune.dropout_energy import fit_edropout
from greenai_nb.prune.rewiring import DeepR, RigL, SoftDeepR, SparseEvolution
from greenai_nb.theory.prior import HeavyTail

ROUNDING = 1e-4
TIES = 0.04  # one image in thirty, whose logits may be equal to rounding


def signs():
    first = BinaryLinear(16, 8)
    return nn.Sequential(nn.Flatten(), first, nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def convolution():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def few_bits():
    return dorefa_mlp(16, 8, 3, weight=2, activation=2, gradient=4, seed=0)


NETS = {
    "perceptron": lambda: mlp(16, 8, 3, bias=True),
    "convolution": convolution,
    "signs": signs,
    "few bits": few_bits,
    "levels": lambda: with_levels(mlp(16, 8, 3), 5),
    "spikes": lambda: spiking_mlp(16, 8, 3),
}
HOW = {"epochs": 2, "learning_rate": 0.3, "batch_size": 8, "seed": 5}
BOTH = "cpu", "cuda"


def made(make, seed=0):
    torch.manual_seed(seed)
    return make()


def where(net):
    return {weight.device.type for weight in (*net.parameters(), *net.buffers())}


def test_the_pretended_device_refuses_what_a_gpu_refuses(device):
    here, there = torch.ones(2), torch.ones(2, device=device)
    assert (there[torch.tensor([0])] + torch.tensor(1.0)).device.type == "cuda"
    for call in (lambda: here + there, lambda: here[there.long()], lambda: nn.Linear(2, 1)(there)):
        with pytest.raises(RuntimeError, match="same device"):
            call()
    with pytest.raises(TypeError, match="can't convert cuda:0"):
        there.numpy()
    assert here.add_(there.cpu()).tolist() == [2, 2] and there.tolist() == [1, 1]


def assert_alike(here, there):
    """Two fits, one of them on the device, are the same to the rounding of floats."""
    assert there.trace.loss.to_numpy() == pytest.approx(here.trace.loss.to_numpy(), rel=ROUNDING)
    assert there.trace.operations.equals(here.trace.operations)
    state = there.net.state_dict()
    for name, weight in here.net.state_dict().items():
        assert torch.allclose(state[name].cpu(), weight, atol=ROUNDING), name


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_a_network_trains_where_it_is(make, tiny_data, device):
    net = made(make)
    here = fit_sgd(net, tiny_data, **HOW, l1=1e-4)
    there = fit_sgd(made(make).to(device), tiny_data, **HOW, l1=1e-4)
    assert where(there.net) == {"cuda"} and where(here.net) == {"cpu"}
    assert_alike(here, there)
    found = accuracies(there.net, tiny_data.test)
    assert found.device.type == "cpu"
    assert float(found) == pytest.approx(accuracy(here.net, tiny_data.test), abs=TIES)


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_a_network_is_counted_where_it_is(make, tiny_data, device):
    net, images = made(make), tiny_data.test.scaled()
    assert count(made(make).to(device), images.to(device)).equals(count(net, images))


def test_losses_under_noise_are_those_of_the_processor(tiny_data, device):
    here, there = (
        smeared_losses(net, HeavyTail(0.3), tiny_data.test, 3, np.random.default_rng(0))
        for net in (made(signs).eval(), made(signs).eval().to(device))
    )
    assert there == pytest.approx(here, rel=ROUNDING)


RULES = [
    None,
    DeepR(1e-3, 1e-6),
    SoftDeepR(1e-3, 1e-6, -0.01),
    SparseEvolution(every=2),
    RigL(every=2),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_a_stack_trains_and_is_rewired_where_it_is(rule, tiny_data, device):
    def stack():
        masks = [
            [torch.arange(16 * 8).view(8, 16) % 3 > 0, torch.arange(24).view(3, 8) % 2 > 0]
            for _ in range(2)
        ]
        return Stack([made(lambda: mlp(16, 8, 3), seed) for seed in range(2)], masks)

    rules = [rule, None]
    here = fit_stack(stack(), tiny_data, **HOW, rewirings=rules)
    there = fit_stack(stack().to(device), tiny_data, **HOW, rewirings=rules)
    assert_alike(here, there)
    assert where(there.net) == where(there.net.network(1)) == {"cuda"}
    found, known = (accuracies(fit.net, tiny_data.test) for fit in (there, here))
    assert torch.allclose(found, known, atol=TIES)


def test_a_stack_of_few_bits_trains_where_it_is(tiny_data, device):
    here = fit_stack(Stack([made(few_bits), made(few_bits, 1)]), tiny_data, **HOW)
    there = fit_stack(Stack([made(few_bits), made(few_bits, 1)]).to(device), tiny_data, **HOW)
    assert_alike(here, there)


@pytest.mark.parametrize("gradients", GRADIENTS)
def test_a_recurrent_network_trains_where_it_is(gradients, tiny_data, device):
    def net():
        return made(lambda: RowReader(4, 6, 3))

    here = fit_recurrent(net(), tiny_data, gradients, **HOW)
    assert_alike(here, fit_recurrent(net().to(device), tiny_data, gradients, **HOW))


@pytest.mark.parametrize("units", [None, 4])
def test_units_are_searched_where_the_network_is(units, tiny_data, device):
    here = fit_edropout(made(lambda: mlp(16, 8, 3)), tiny_data, **HOW, units=units)
    there = fit_edropout(made(lambda: mlp(16, 8, 3)).to(device), tiny_data, **HOW, units=units)
    assert_alike(here, there)


@pytest.mark.parametrize("batch_size", [None, 20])
def test_the_reference_sampler_decides_as_on_the_processor(batch_size, tiny_data, device):
    prior = HeavyTail(0.3)
    moves = [Move(Weights("1.weight"), ScaleMixture(0.5)), Move(Unit("3.weight", 2), Redraw(prior))]
    how = {"moves": moves, "priors": {"3.weight": prior}, "inverse_temperature": 1.0}
    images, labels = tiny_data.train.scaled(), tiny_data.train.labels

    def decisions(net):
        chain = steps(
            net, images, labels, **how, batch_size=batch_size, generator=np.random.default_rng(0)
        )
        return [next(chain) for _ in range(60)]

    nets = [made(NETS["perceptron"]), made(NETS["perceptron"]).to(device)]
    for here, there in zip(*map(decisions, nets), strict=True):
        assert here.accepted == there.accepted and (here.index == there.index).all()
        assert there.log_ratio.total == pytest.approx(here.log_ratio.total, abs=1e-3)
    assert where(nets[1]) == {"cuda"}
    for here, there in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.allclose(there.cpu(), here, atol=ROUNDING)


def test_the_compiled_chain_runs_on_the_processor_and_gives_the_network_back_where_it_was(
    tiny_data, device
):
    for make, fit in (
        (convolution, fit_accept_reject),
        (convolution, fit_whole_filters),
        (lambda: mlp(16, 8, 3), fit_accept_reject),
        (lambda: mlp(16, 8, 3, bias=True), fit_accept_reject),
    ):
        here, there = (fit(made(make).to(place), tiny_data, proposals=640) for place in ("cpu", device))
        assert where(there.net) == {"cuda"}
        assert_alike(here, there)


@pytest.mark.parametrize("store", [False, True])
def test_weights_on_no_device_or_on_two_are_refused_before_any_compute(
    store, tiny_data, monkeypatch, tmp_path
):
    monkeypatch.setenv("GREENAI_STORE", str(tmp_path) if store else "off")
    nowhere, halved = mlp(16, 8, 3).to("meta"), mlp(16, 8, 3)
    halved[3].to("meta")
    for net, said in ((nowhere, "one device, not meta, got meta"), (halved, "got cpu and meta")):
        with pytest.raises(ValueError, match=said):
            fit_sgd(net, tiny_data, epochs=1)
        with pytest.raises(ValueError, match=said):
            accuracy(net, tiny_data.test)
        with pytest.raises(ValueError, match=said):
            steps(
                net,
                tiny_data.train.scaled(),
                tiny_data.train.labels,
                moves=[Move(Weights("1.weight"), ScaleMixture(0.5))],
                priors={},
                inverse_temperature=1.0,
                generator=np.random.default_rng(0),
            )


def test_a_training_is_remembered_for_its_device_alone(tiny_data, device, monkeypatch, tmp_path):
    monkeypatch.setenv("GREENAI_STORE", str(tmp_path))
    net = made(NETS["perceptron"])
    assert not fit_sgd(net, tiny_data, **HOW).remembered
    assert not fit_sgd(net.to(device), tiny_data, **HOW).remembered
    again = fit_sgd(net, tiny_data, **HOW)
    assert again.remembered and where(again.net) == {"cuda"}
