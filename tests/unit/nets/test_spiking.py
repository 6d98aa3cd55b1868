"""Leaky units against closed forms, codes against their totals, and events against counts by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn
from torch.nn import functional

from greenai_nb.learn.sgd import fit_sgd
from greenai_nb.nets.counts import count
from greenai_nb.nets.spiking import (
    DARK,
    Current,
    Latency,
    LeakyUnits,
    MeanOverTime,
    Rate,
    Silence,
    arriving_spikes,
    by_events,
    fire,
    leak_and_fire,
    spiking_mlp,
)
from greenai_nb.nets.weights import copied, prunable_weights

pytestmark = pytest.mark.usefixtures("one_thread")

PIXELS = arrays(np.float32, (2, 1, 3, 2), elements=st.floats(0, 1, width=32))
STEPS = st.integers(1, 12)


@given(st.floats(0, 1), st.floats(-2, 0.999), st.integers(1, 40))
def test_below_the_threshold_a_unit_is_a_geometric_sum(leak, drive, steps):
    current = drive * (1 - leak) if leak < 1 else drive / steps
    membranes, spikes = leak_and_fire(torch.full((1, steps, 1), current).double(), leak)
    t = np.arange(1, steps + 1)
    expected = current * (t if leak == 1 else (1 - leak**t) / (1 - leak))
    assert not spikes.any()
    assert membranes[0, :, 0].numpy() == pytest.approx(expected, abs=1e-6)


@given(st.floats(0.05, 0.99), st.floats(0.2, 5), st.integers(1, 40))
def test_the_first_spike_comes_when_the_closed_form_reaches_the_threshold(leak, current, steps):
    t = np.arange(1, steps + 1)
    response = current * (1 - leak**t) / (1 - leak)
    if np.abs(response - 1).min() < 1e-6:
        return
    _, spikes = leak_and_fire(torch.full((1, steps, 1), current).double(), leak)
    sent = spikes[0, :, 0].numpy()
    first = int(np.argmax(response >= 1)) if (response >= 1).any() else steps
    assert not sent[:first].any() and sent[first : first + 1].all()


@given(st.integers(1, 8), st.integers(1, 60))
def test_without_leak_a_constant_current_fires_at_even_distances(parts, steps):
    _, spikes = leak_and_fire(torch.full((1, steps, 1), 1 / 2**parts), leak=1.0)
    fired = spikes[0, :, 0].nonzero().flatten() + 1
    assert fired.tolist() == [*range(2**parts, steps + 1, 2**parts)]


def test_the_reset_takes_one_threshold_off():
    current = torch.tensor([2.5, 0.0, 0.0, 0.0]).view(1, 4, 1)
    membranes, spikes = leak_and_fire(current, leak=1.0)
    assert membranes[0, :, 0].tolist() == [2.5, 1.5, 0.5, 0.5]
    assert spikes[0, :, 0].tolist() == [1, 1, 0, 0]


@given(arrays(np.float64, 20, elements=st.floats(-3, 3)), st.floats(0.1, 30))
def test_a_spikes_gradient_is_that_of_the_surrogates_antiderivative(numbers, sharpness):
    membrane = torch.from_numpy(numbers).requires_grad_()
    u = membrane - 1
    smooth = u / (1 + sharpness * u.abs())
    upstream = torch.linspace(-1, 2, 20).double()
    (expected,) = torch.autograd.grad((upstream * smooth).sum(), membrane)
    spikes = fire(membrane, sharpness)
    (got,) = torch.autograd.grad((upstream * spikes).sum(), membrane)
    assert spikes.tolist() == [float(number - 1 >= 0) for number in numbers]
    assert got.numpy() == pytest.approx(expected.numpy(), abs=1e-9)


@given(st.floats(0, 1), st.floats(0.1, 20), st.integers(1, 9), st.integers(0, 99))
def test_the_units_own_backward_pass_is_that_of_autograd(leak, sharpness, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    current = torch.randn(3, steps, 5, generator=generator).double().requires_grad_()
    upstream = torch.randn(3, steps, 5, generator=generator).double()
    membrane = spikes = torch.zeros(3, 5).double()
    price, sent = torch.zeros(()), []
    for step in range(steps):
        membrane = leak * membrane + current[:, step] - spikes
        spikes = fire(membrane, sharpness)
        sent.append(spikes)
        price = price + (upstream[:, step] * spikes).sum()
    ours = LeakyUnits(steps, leak, sharpness)(current)
    assert torch.equal(ours, torch.stack(sent, 1))
    (expected,) = torch.autograd.grad(price, current)
    (got,) = torch.autograd.grad((upstream * ours).sum(), current)
    assert torch.allclose(got, expected, atol=1e-12)


@given(PIXELS, STEPS)
def test_latency_sends_one_spike_a_pixel_the_brighter_the_earlier(images, steps):
    spikes = Latency(steps)(torch.from_numpy(images))
    pixels = images.reshape(2, 6)
    assert spikes.shape == (2, steps, 6)
    assert np.array_equal(spikes.sum(1).numpy(), pixels > np.float32(DARK))
    when = spikes.argmax(1).numpy()
    for row, times in zip(pixels, when, strict=True):
        bright = np.flatnonzero(row > np.float32(DARK))
        order = bright[np.argsort(-row[bright], kind="stable")]
        assert (np.diff(times[order]) >= 0).all()


@given(PIXELS, STEPS)
def test_rate_sends_as_many_spikes_as_the_rounded_brightness(images, steps):
    spikes = Rate(steps)(torch.from_numpy(images)).numpy()
    assert np.isin(spikes, (0, 1)).all()
    total = np.floor(np.float32(steps) * images.reshape(2, 6) + np.float32(0.5))
    assert np.array_equal(spikes.sum(1), total)


def test_a_current_is_told_once_and_stays_on():
    torch.manual_seed(0)
    images, units = torch.rand(3, 1, 2, 2), LeakyUnits(5)
    told = Current(5)(images)
    assert torch.equal(told, images.view(3, 1, 4))
    assert torch.equal(units(told), units(told.repeat(1, 5, 1)))


@pytest.mark.parametrize("code", ["latency", "rate", "current"])
def test_the_logits_are_output_weights_on_mean_spikes(code):
    torch.manual_seed(1)
    net, images = spiking_mlp(8, 5, 3, code=code, steps=6, leak=0.8), torch.rand(4, 2, 2, 2)
    spikes = net[:3](images)
    assert torch.allclose(net(images), spikes.mean(1) @ net[4].weight.T, atol=1e-6)


@given(st.floats(0, 5))
def test_silence_adds_the_gradient_of_the_explicit_penalty(penalty):
    torch.manual_seed(2)
    quiet = spiking_mlp(6, 7, 3, steps=5, silence=penalty).double()
    images, labels = torch.rand(4, 1, 2, 3).double(), torch.tensor([0, 1, 2, 1])
    got = torch.autograd.grad(
        functional.cross_entropy(quiet(images), labels), [quiet[1].weight, quiet[4].weight]
    )
    spikes = quiet[:3](images)
    logits = (spikes @ quiet[4].weight.T).mean(1)
    price = penalty * spikes.sum(1).mean()
    loss = functional.cross_entropy(logits, labels) + price
    expected = torch.autograd.grad(loss, [quiet[1].weight, quiet[4].weight])
    for ours, theirs in zip(got, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12)
    assert torch.equal(quiet.eval()(images), quiet.train()(images))


def test_training_learns_and_silence_makes_it_quieter(tiny_data):
    spikes = {}
    for penalty in (0.0, 2.0):
        torch.manual_seed(0)
        net = spiking_mlp(16, 12, 3, silence=penalty)
        fit = fit_sgd(net, tiny_data, epochs=20, learning_rate=1.0, batch_size=10)
        spikes[penalty] = arriving_spikes(fit.net, tiny_data.test.scaled())["4"]
        if penalty == 0:
            assert fit.trace["accuracy"].iloc[-1] > 0.8
    assert spikes[2.0] < 0.7 * spikes[0.0]


def three_units():
    """Two pixels, three hidden units and two classes, with spikes that can be told by hand.

    In two steps pixel 0 (bright) fires in the first and pixel 1 (half bright) in the second. Unit 0
    hears pixel 0 and fires in step 1; unit 1 hears pixel 1 and fires in step 2; unit 2 never fires.
    """
    net = spiking_mlp(2, 3, 2, steps=2, leak=0.5)
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.2], [0.3, 0.3]]))
    return net, torch.tensor([[1.0, 0.5]]).view(1, 1, 1, 2)


def test_synaptic_operations_by_hand_on_three_units():
    net, image = three_units()
    assert net[:3](image)[0].tolist() == [[1, 0, 0], [0, 1, 0]]
    arriving = arriving_spikes(net, image)
    assert arriving == {"1": 2, "4": 2}
    table = by_events(count(net, image), arriving).set_index("layer")
    assert table["synaptic_operations"].to_dict() == {"0": 0, "1": 6, "2": 0, "3": 0, "4": 4, "5": 0}
    assert table["neuron_updates"].to_dict() == {"0": 0, "1": 0, "2": 6, "3": 0, "4": 0, "5": 0}
    assert table["macs"].sum() == table["nonzero_macs"].sum() == 0
    assert table["weight_bytes"].to_dict() == {"0": 0, "1": 24, "2": 0, "3": 0, "4": 16, "5": 0}
    assert table["weights"].sum() == 12 and table.loc["2", "state_bytes"] == 2 * 6 * 4
    with pytest.raises(ValueError, match=r"spikes arrive at \{'7'\}, the table has 0, 1, 2, 3, 4, 5"):
        by_events(count(net, image), {"7": 1})
    assert table.loc["2", "input_bytes"] == 6 * 4 and table.loc["2", "output_bytes"] == 1  # six bits


def test_without_arriving_spikes_a_linear_layer_multiplies_them():
    net, image = three_units()
    table = count(net, image.to("meta")).set_index("layer")
    assert table["macs"].to_dict() == {"0": 0, "1": 12, "2": 0, "3": 0, "4": 12, "5": 0}
    assert table["synaptic_operations"].sum() == 0


def test_a_current_is_multiplied_once_and_only_hidden_spikes_are_events():
    torch.manual_seed(0)
    net, images = spiking_mlp(4, 3, 2, code="current", steps=7), torch.rand(5, 1, 2, 2)
    arriving = arriving_spikes(net, images)
    assert [*arriving] == ["4"] and arriving["4"] == int(net[:3](images).sum())
    table = by_events(count(net, images), arriving).set_index("layer")
    assert (table.loc["1", "macs"], table.loc["4", "macs"]) == (5 * 12, 0)
    assert table.loc["2", "neuron_updates"] == 5 * 7 * 3


def test_what_other_functions_need_of_a_network_holds():
    net = spiking_mlp(6, 4, 3)
    assert [tuple(weight.shape) for weight in prunable_weights(net)] == [(4, 6), (3, 4)]
    twin, images = copied(net), torch.rand(2, 1, 2, 3)
    assert torch.equal(net(images), twin(images)) and twin[1].weight is not net[1].weight


@pytest.mark.parametrize("make", [LeakyUnits, Latency, Rate, Current])
@pytest.mark.parametrize("steps", [0, -1, 2.5])
def test_steps_that_are_none_are_refused(make, steps):
    with pytest.raises(ValueError, match=f"steps must be a whole number, 1 or more, got {steps}"):
        make(steps)


@pytest.mark.parametrize("leak", [-0.1, 1.01, float("nan")])
def test_a_leak_outside_the_unit_interval_is_refused(leak):
    with pytest.raises(ValueError, match=r"leak must be a number in \[0, 1\], got"):
        spiking_mlp(4, 3, leak=leak)


def test_codes_that_the_units_do_not_know_are_refused():
    with pytest.raises(ValueError, match="code must be one of latency, rate, current, got 'phase'"):
        spiking_mlp(4, 3, code="phase")
    net = spiking_mlp(4, 3, steps=4)
    net[0] = Latency(6)
    with pytest.raises(ValueError, match=r"got \(2, 6, 3\): these units were built for .* 4 steps"):
        net(torch.rand(2, 1, 2, 2))
    with pytest.raises(ValueError, match=r"penalty must be a number in \[0, inf\), got -1"):
        Silence(-1)
    assert MeanOverTime()(torch.ones(2, 4, 3)).shape == (2, 3)
    assert isinstance(net[1], nn.Linear)
