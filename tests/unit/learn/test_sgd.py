"""Training by gradients: its steps, where it stops, and what it refuses."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from greenai_nb.data.datasets import Split
from greenai_nb.learn import sgd
from greenai_nb.learn.initial_weights import start_sparse
from greenai_nb.learn.sgd import fit_sgd
from greenai_nb.nets.architectures import mlp
from greenai_nb.nets.binary import BinaryLinear
from greenai_nb.nets.scaling import NoScale


def small(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return mlp(16, 5, 3)


def with_batch_norm() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


def binary() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), BinaryLinear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3, bias=False)
    )


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def scripted(monkeypatch):
    """Let validation accuracies be what the test says; gives the network's state at each look."""

    def script(*accuracies: float) -> list[dict]:
        told, states = iter(accuracies), []

        def look(net, split):
            states.append(copy.deepcopy(net.state_dict()))
            return next(told)

        monkeypatch.setattr(sgd, "accuracy", look)
        return states

    return script


def test_sgd_takes_the_steps_of_a_plain_loop(tiny_data):
    torch.manual_seed(0)
    net = mlp(16, 5, 3)
    weights = [parameter.detach().clone().requires_grad_() for parameter in net.parameters()]
    net = fit_sgd(net, tiny_data, epochs=2, learning_rate=0.2, batch_size=20, l1=0.01, seed=3).net
    generator, step = torch.Generator().manual_seed(3), 0
    for _ in range(2):
        for chosen in torch.randperm(60, generator=generator).split(20):
            logits = (tiny_data.train.flat()[chosen] @ weights[0].T).relu() @ weights[1].T
            loss = functional.cross_entropy(logits, tiny_data.train.labels[chosen])
            rate = 0.2 * (1 - step / 6)
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                moved = weight.data - rate * gradient
                weight.data = moved.sign() * (moved.abs() - rate * 0.01).clamp(min=0)
            step += 1
    for ours, known in zip(net.parameters(), weights, strict=True):
        assert torch.allclose(ours, known, atol=1e-6)


def test_the_trace_and_the_settings_have_what_they_promise(tiny_data):
    done = fit_sgd(small(), tiny_data, epochs=3, batch_size=25, seed=7)
    assert list(done.trace) == ["step", "loss", "accuracy", "seconds", "operations"]
    assert done.trace.step.tolist() == [3, 6, 9]
    assert done.trace.operations.tolist() == [n * 60 * (16 * 5 + 5 * 3) * 3 for n in (1, 2, 3)]
    asked = {"epochs": 3, "batch_size": 25, "seed": 7, "patience": None}
    assert asked.items() <= done.settings.items()
    assert not done.interrupted and not done.remembered and not len(done.moves)


def test_the_settings_name_the_trainer(tiny_data):
    assert fit_sgd(small(), tiny_data, epochs=1).settings["trainer"] == "SGD"
    assert fit_sgd(small(), tiny_data, epochs=1, l1=0.1).settings["trainer"] == "SGD with L1"


def test_a_copy_is_trained_and_the_argument_is_left_alone(tiny_data):
    for net in (with_batch_norm(), binary()):
        start = copy.deepcopy(net.state_dict())
        done = fit_sgd(net, tiny_data, epochs=1)
        assert same(net.state_dict(), start) and net.training
        assert not same(done.net.state_dict(), start) and not done.net.training


def test_a_network_learns(tiny_data):
    trace = fit_sgd(small(), tiny_data, epochs=10, learning_rate=0.5, batch_size=10).trace
    assert trace.loss.iloc[-1] < 0.5 * trace.loss.iloc[0] and trace.accuracy.iloc[-1] > 0.9


def test_gradients_keep_copies_alike_and_say_so(tiny_data):
    torch.manual_seed(0)
    start = start_sparse(mlp(16, 12, 3, bias=True))
    with pytest.warns(UserWarning, match="6 of 12 hidden units differ at the start; others are copies"):
        copies = fit_sgd(start, tiny_data, epochs=3).net[1].weight
    assert len(copies.detach().unique(dim=0)) <= 6
    apart = fit_sgd(start_sparse(start, noise=0.01), tiny_data, epochs=3).net[1].weight
    assert len(apart.detach().unique(dim=0)) == 12


def test_a_rate_that_diverges_is_told_and_the_fit_is_there(tiny_data):
    with pytest.warns(
        UserWarning, match="the loss is nan after epoch 2: learning_rate=1e\\+30 diverges"
    ):
        fit = fit_sgd(small(), tiny_data, epochs=2, learning_rate=1e30)
    assert len(fit.trace) == 2


def test_binary_connect_leaves_signs_times_a_scale_and_clipped_latent_weights(tiny_data):
    net = binary()
    before = net[1].weight.detach().clone()
    net = fit_sgd(net, tiny_data, epochs=5, learning_rate=10.0, batch_size=10).net
    latent = net[1].weight.detach()
    effective = net[1](torch.eye(16)).T.detach()
    assert latent.abs().max() == 1 and (latent.sign() != before.sign()).any()
    signs = np.where(latent.numpy() >= 0, 1, -1)
    known = signs * np.abs(latent.numpy()).mean(1, keepdims=True)
    assert effective.numpy() == pytest.approx(known, rel=1e-6)


def test_binary_connect_takes_the_steps_of_a_plain_loop(tiny_data):
    """Without a scale, the latent weights move by the gradient at their signs."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), BinaryLinear(16, 3, scaling=NoScale()))
    latent = net[1].weight.detach().clone()
    trained = fit_sgd(net, tiny_data, epochs=2, learning_rate=20.0, batch_size=20, seed=3).net
    generator, step, clipped = torch.Generator().manual_seed(3), 0, 0
    for _ in range(2):
        for chosen in torch.randperm(60, generator=generator).split(20):
            signs = torch.where(latent >= 0, 1.0, -1.0).requires_grad_()
            logits = tiny_data.train.flat()[chosen] @ signs.T
            loss = functional.cross_entropy(logits, tiny_data.train.labels[chosen])
            moved = latent - 20 * (1 - step / 6) * torch.autograd.grad(loss, signs)[0]
            clipped += int((moved.abs() > 1).sum())
            latent, step = moved.clamp(-1, 1), step + 1
    assert clipped and torch.allclose(trained[1].weight, latent, atol=1e-6)


def test_patience_stops_and_returns_to_the_best_epoch(tiny_data, scripted):
    states = scripted(0.2, 0.5, 0.5, 0.4, 0.9)
    done = fit_sgd(with_batch_norm(), tiny_data, epochs=5, patience=2)
    assert done.trace.accuracy.tolist() == [0.2, 0.5, 0.5, 0.4]
    assert same(done.net.state_dict(), states[1]) and not same(states[1], states[3])
    assert done.settings["patience"] == 2 and not done.net.training


def test_patience_returns_to_the_best_epoch_when_it_is_never_lost(tiny_data, scripted):
    states = scripted(0.2, 0.6, 0.4, 0.5)
    done = fit_sgd(with_batch_norm(), tiny_data, epochs=4, patience=3)
    assert len(done.trace) == 4 and same(done.net.state_dict(), states[1])


def test_without_patience_the_last_epoch_is_kept(tiny_data, scripted):
    states = scripted(0.9, 0.5, 0.1)
    done = fit_sgd(with_batch_norm(), tiny_data, epochs=3)
    assert len(done.trace) == 3 and same(done.net.state_dict(), states[2])


def test_patience_does_not_change_the_way(tiny_data):
    free, patient = (
        fit_sgd(small(), tiny_data, epochs=12, learning_rate=0.01, patience=patience)
        for patience in (None, 1)
    )
    assert len(patient.trace) < 12
    known = free.trace.drop(columns="seconds").iloc[: len(patient.trace)]
    assert patient.trace.drop(columns="seconds").equals(known)


def test_an_interrupt_keeps_the_finished_epochs(tiny_data, scripted, monkeypatch):
    states = scripted(0.5, 0.4, 0.3)
    step, calls = sgd._Descent.step, iter(range(100))

    def interrupted_in_the_third_epoch(*arguments):
        if next(calls) == 7:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(sgd._Descent, "step", interrupted_in_the_third_epoch)
    with pytest.warns(
        UserWarning, match="interrupted in epoch 3 of 9: the network is that of epoch 2"
    ) as warned:
        done = fit_sgd(with_batch_norm(), tiny_data, epochs=9, batch_size=20)
    assert warned[0].filename == __file__
    assert done.trace.step.tolist() == [3, 6] and done.interrupted
    assert same(done.net.state_dict(), states[1]) and not done.net.training


def test_an_interrupt_with_patience_keeps_the_best_epoch(tiny_data, monkeypatch):
    told = iter([0.5, 0.4])

    def look(net, split):
        try:
            return next(told)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(sgd, "accuracy", look)
    with pytest.warns(UserWarning, match="interrupted in epoch 3 of 9: .* epoch 1"):
        done = fit_sgd(small(), tiny_data, epochs=9, patience=5)
    assert done.trace.accuracy.tolist() == [0.5, 0.4]


def test_an_interrupt_in_the_first_epoch_has_nothing_to_keep(tiny_data, monkeypatch):
    def interrupt(net, split):
        raise KeyboardInterrupt

    monkeypatch.setattr(sgd, "accuracy", interrupt)
    net = with_batch_norm()
    start = copy.deepcopy(net.state_dict())
    with pytest.raises(KeyboardInterrupt):
        fit_sgd(net, tiny_data, epochs=2)
    assert same(net.state_dict(), start)


@pytest.fixture
def no_compute(monkeypatch):
    def refuse(*_):
        raise AssertionError("computed before the check")

    monkeypatch.setattr(sgd, "multiply_accumulates", refuse)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochs": 0}, "epochs must be a whole number, 1 or more, got 0"),
        ({"epochs": 1.5}, "epochs must be a whole number, 1 or more, got 1.5"),
        ({"batch_size": -1}, "batch_size must be a whole number, 1 or more, got -1"),
        ({"patience": 0}, "patience must be a whole number, 1 or more, got 0"),
        ({"learning_rate": 0.0}, r"learning_rate must be a number in \(0, inf\), got 0.0"),
        ({"learning_rate": float("nan")}, r"learning_rate must be a number in \(0, inf\), got nan"),
    ],
)
def test_settings_out_of_range_are_refused(tiny_data, no_compute, given, said):
    with pytest.raises(ValueError, match=said):
        fit_sgd(small(), tiny_data, **{"epochs": 1, **given})


def test_a_negative_penalty_is_refused(tiny_data, no_compute):
    with pytest.raises(ValueError, match=r"l1 must be a number in \[0, inf\), got -0.1"):
        fit_sgd(small(), tiny_data, epochs=1, l1=-0.1)


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_refused(tiny_data, no_compute, part, label):
    split = getattr(tiny_data, part)
    labels = split.labels.clone()
    labels[4] = label
    data = dataclasses.replace(tiny_data, **{part: Split(split.images, labels)})
    said = rf"{part} labels must lie in \[0, 2\], got"
    with pytest.raises(ValueError, match=said):
        fit_sgd(small(), data, epochs=1)


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_images_that_are_not_finite_are_refused(tiny_data, no_compute, part, value):
    split = getattr(tiny_data, part)
    images = split.images.float()
    images[2, 0, 1, 1] = value
    data = dataclasses.replace(tiny_data, **{part: Split(images, split.labels)})
    with pytest.raises(ValueError, match=rf"{part} images must be finite numbers .*got \[{value}\]"):
        fit_sgd(small(), data, epochs=1)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_split_without_images_is_refused(tiny_data, no_compute, part):
    split = getattr(tiny_data, part)
    data = dataclasses.replace(tiny_data, **{part: Split(split.images[:0], split.labels[:0])})
    with pytest.raises(ValueError, match=f"{part} images: none are there"):
        fit_sgd(small(), data, epochs=1)


def test_a_start_that_is_not_finite_is_refused(tiny_data, no_compute):
    net = with_batch_norm()
    net[2].running_var[1] = float("nan")
    with pytest.raises(ValueError, match=r"the network's 2.running_var must be finite .*got \[nan\]"):
        fit_sgd(net, tiny_data, epochs=1)
