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
from greenai_nb.learn.sgd import fit_adam, fit_sgd
from greenai_nb.nets.architectures import mlp
from greenai_nb.nets.binary import BinaryLinear
from greenai_nb.nets.scaling import NoScale

BOTH = pytest.mark.parametrize("fit", [fit_sgd, fit_adam])


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


def test_adam_takes_the_steps_of_a_plain_loop(tiny_data):
    """The loop is numpy in double precision, gradients by hand."""
    net = small()
    hidden, output = (parameter.detach().double().numpy() for parameter in net.parameters())
    weights = [hidden.copy(), output.copy()]
    first, second = [[np.zeros_like(w) for w in weights] for _ in range(2)]
    images, labels = tiny_data.train.flat().double().numpy(), tiny_data.train.labels.numpy()
    generator, step = torch.Generator().manual_seed(3), 0
    for _ in range(2):
        for chosen in torch.randperm(60, generator=generator).split(20):
            x, y = images[chosen.numpy()], labels[chosen.numpy()]
            active = np.maximum(x @ weights[0].T, 0)
            logits = active @ weights[1].T
            error = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            error[np.arange(20), y] -= 1
            back = (error @ weights[1]) * (active > 0)
            rate = 0.01 * (1 - step / 6)
            step += 1
            for place, slope in enumerate((back.T @ x / 20, error.T @ active / 20)):
                first[place] = 0.9 * first[place] + 0.1 * slope
                second[place] = 0.999 * second[place] + 0.001 * slope**2
                mean, square = first[place] / (1 - 0.9**step), second[place] / (1 - 0.999**step)
                weights[place] = weights[place] - rate * mean / (np.sqrt(square) + 1e-8)
    fit = fit_adam(net, tiny_data, epochs=2, learning_rate=0.01, batch_size=20, seed=3)
    assert fit.net is net and not net.training
    for ours, known, start in zip(net.parameters(), weights, (hidden, output), strict=True):
        assert np.abs(known - start).max() > 0.01
        assert ours.detach().numpy() == pytest.approx(known, abs=1e-5)


@BOTH
def test_the_trace_and_the_law_have_what_they_promise(tiny_data, fit):
    done = fit(small(), tiny_data, epochs=3, batch_size=25, seed=7)
    assert list(done.trace) == ["step", "loss", "accuracy", "seconds", "operations"]
    assert done.trace.step.tolist() == [3, 6, 9]
    assert done.trace.operations.tolist() == [n * 60 * (16 * 5 + 5 * 3) * 3 for n in (1, 2, 3)]
    assert {"epochs": 3, "batch_size": 25, "seed": 7, "patience": None}.items() <= done.law.items()
    assert done.law["kept_epoch"] == 3 and done.law["interrupted"] is False


def test_the_law_names_the_trainer_and_counts_latent_weights(tiny_data):
    assert fit_sgd(small(), tiny_data, epochs=1).law["trainer"] == "SGD"
    assert fit_sgd(small(), tiny_data, epochs=1, l1=0.1).law["trainer"] == "SGD with L1"
    assert fit_adam(small(), tiny_data, epochs=1).law["trainer"] == "Adam"
    assert fit_adam(small(), tiny_data, epochs=1).law["latent_weights"] == 0
    assert fit_adam(binary(), tiny_data, epochs=1).law["latent_weights"] == 16 * 8


@pytest.mark.parametrize(("fit", "rate"), [(fit_sgd, 0.5), (fit_adam, 0.05)])
def test_a_network_learns(tiny_data, fit, rate):
    trace = fit(small(), tiny_data, epochs=10, learning_rate=rate, batch_size=10).trace
    assert trace.loss.iloc[-1] < 0.5 * trace.loss.iloc[0] and trace.accuracy.iloc[-1] > 0.9


def test_l1_is_not_offered_with_adam(tiny_data):
    with pytest.raises(TypeError, match="l1"):
        fit_adam(small(), tiny_data, epochs=1, l1=0.1)


@pytest.mark.parametrize(("fit", "rate"), [(fit_sgd, 10.0), (fit_adam, 0.5)])
def test_binary_connect_leaves_signs_times_a_scale_and_clipped_latent_weights(tiny_data, fit, rate):
    net = binary()
    before = net[1].weight.detach().clone()
    fit(net, tiny_data, epochs=5, learning_rate=rate, batch_size=10)
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
    fit_sgd(net, tiny_data, epochs=2, learning_rate=20.0, batch_size=20, seed=3)
    generator, step, clipped = torch.Generator().manual_seed(3), 0, 0
    for _ in range(2):
        for chosen in torch.randperm(60, generator=generator).split(20):
            signs = torch.where(latent >= 0, 1.0, -1.0).requires_grad_()
            logits = tiny_data.train.flat()[chosen] @ signs.T
            loss = functional.cross_entropy(logits, tiny_data.train.labels[chosen])
            moved = latent - 20 * (1 - step / 6) * torch.autograd.grad(loss, signs)[0]
            clipped += int((moved.abs() > 1).sum())
            latent, step = moved.clamp(-1, 1), step + 1
    assert clipped and torch.allclose(net[1].weight, latent, atol=1e-6)


@BOTH
def test_patience_stops_and_returns_to_the_best_epoch(tiny_data, scripted, fit):
    states = scripted(0.2, 0.5, 0.5, 0.4, 0.9)
    done = fit(with_batch_norm(), tiny_data, epochs=5, patience=2)
    assert done.trace.accuracy.tolist() == [0.2, 0.5, 0.5, 0.4]
    assert same(done.net.state_dict(), states[1]) and not same(states[1], states[3])
    assert done.law["kept_epoch"] == 2 and done.law["patience"] == 2 and not done.net.training


def test_patience_returns_to_the_best_epoch_when_it_is_never_lost(tiny_data, scripted):
    states = scripted(0.2, 0.6, 0.4, 0.5)
    done = fit_sgd(with_batch_norm(), tiny_data, epochs=4, patience=3)
    assert len(done.trace) == 4 and same(done.net.state_dict(), states[1])


def test_without_patience_the_last_epoch_is_kept(tiny_data, scripted):
    states = scripted(0.9, 0.5, 0.1)
    done = fit_sgd(with_batch_norm(), tiny_data, epochs=3)
    assert len(done.trace) == 3 and same(done.net.state_dict(), states[2])


@BOTH
def test_patience_does_not_change_the_way(tiny_data, fit):
    free, patient = (
        fit(small(), tiny_data, epochs=12, learning_rate=0.01, patience=patience)
        for patience in (None, 1)
    )
    assert len(patient.trace) < 12
    known = free.trace.drop(columns="seconds").iloc[: len(patient.trace)]
    assert patient.trace.drop(columns="seconds").equals(known)
    assert patient.law["kept_epoch"] == patient.trace.accuracy.idxmax() + 1


@BOTH
def test_an_interrupt_keeps_the_finished_epochs(tiny_data, scripted, monkeypatch, fit):
    states = scripted(0.5, 0.4, 0.3)
    clip, calls = sgd.clip_latent_weights, iter(range(100))

    def interrupted_in_the_third_epoch(net):
        if next(calls) == 7:
            raise KeyboardInterrupt
        clip(net)

    monkeypatch.setattr(sgd, "clip_latent_weights", interrupted_in_the_third_epoch)
    with pytest.warns(UserWarning, match="interrupted in epoch 3 of 9: .* after epoch 2") as warned:
        done = fit(with_batch_norm(), tiny_data, epochs=9, batch_size=20)
    assert warned[0].filename == __file__
    assert done.trace.step.tolist() == [3, 6] and done.law["interrupted"] is True
    assert same(done.net.state_dict(), states[1]) and not done.net.training


def test_an_interrupt_with_patience_keeps_the_best_epoch(tiny_data, monkeypatch):
    told = iter([0.5, 0.4])

    def look(net, split):
        try:
            return next(told)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(sgd, "accuracy", look)
    with pytest.warns(UserWarning, match="interrupted in epoch 3 of 9: .* after epoch 1"):
        done = fit_sgd(small(), tiny_data, epochs=9, patience=5)
    assert done.trace.accuracy.tolist() == [0.5, 0.4] and done.law["kept_epoch"] == 1


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


@BOTH
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
def test_settings_out_of_range_are_refused(tiny_data, no_compute, fit, given, said):
    with pytest.raises(ValueError, match=said):
        fit(small(), tiny_data, **{"epochs": 1, **given})


def test_a_negative_penalty_is_refused(tiny_data, no_compute):
    with pytest.raises(ValueError, match=r"l1 must be a number in \[0, inf\), got -0.1"):
        fit_sgd(small(), tiny_data, epochs=1, l1=-0.1)


@BOTH
@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_refused(tiny_data, no_compute, fit, part, label):
    split = getattr(tiny_data, part)
    labels = split.labels.clone()
    labels[4] = label
    data = dataclasses.replace(tiny_data, **{part: Split(split.images, labels)})
    said = rf"{part} labels must be in \[0, 3\), one for each class name, got \[{label}\]"
    with pytest.raises(ValueError, match=said):
        fit(small(), data, epochs=1)


@BOTH
@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_images_that_are_not_finite_are_refused(tiny_data, no_compute, fit, part, value):
    split = getattr(tiny_data, part)
    images = split.images.float()
    images[2, 0, 1, 1] = value
    data = dataclasses.replace(tiny_data, **{part: Split(images, split.labels)})
    with pytest.raises(ValueError, match=rf"{part} images must be finite numbers .*got \[{value}\]"):
        fit(small(), data, epochs=1)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_split_without_images_is_refused(tiny_data, no_compute, part):
    split = getattr(tiny_data, part)
    data = dataclasses.replace(tiny_data, **{part: Split(split.images[:0], split.labels[:0])})
    with pytest.raises(ValueError, match=f"{part} images: none are there"):
        fit_sgd(small(), data, epochs=1)


@BOTH
def test_a_start_that_is_not_finite_is_refused(tiny_data, no_compute, fit):
    net = with_batch_norm()
    net[2].running_var[1] = float("nan")
    with pytest.raises(ValueError, match=r"the network's 2.running_var must be finite .*got \[nan\]"):
        fit(net, tiny_data, epochs=1)
