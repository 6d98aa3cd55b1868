"""e-prop against autograd without recurrent paths, and against traces that only go forward."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from greenai_nb.data.datasets import Split
from greenai_nb.learn.fit import accuracy
from greenai_nb.learn.recurrent.eprop import (
    GRADIENTS,
    back_in_time,
    eprop,
    fit_recurrent,
    random_feedback,
)
from greenai_nb.learn.recurrent.network import RowReader, filtered, first_judged, rows_of
from greenai_nb.nets.spiking import SHARPNESS

pytestmark = pytest.mark.usefixtures("one_thread")


def problem(gain=1.0, seed=0, units=12, rows=9, batch=5, **leaks):
    torch.manual_seed(seed)
    net = RowReader(6, units, 3, gain=gain, **leaks)
    return net, torch.rand(batch, 2, rows, 3), torch.randint(0, 3, (batch,))


def relative_error(ours, theirs):
    return float((ours - theirs).norm() / theirs.norm())


@given(st.floats(0, 3), st.integers(0, 20), st.floats(0, 1), st.floats(0, 1), st.integers(2, 12))
def test_eprop_is_autograd_without_recurrent_paths(gain, seed, leak, readout_leak, rows):
    net, *batch = problem(gain, seed, rows=rows, leak=leak, readout_leak=readout_leak)
    net = net.double()
    images, labels = batch[0].double(), batch[1]
    loss, ours = eprop(net, images, labels)
    reference, theirs = back_in_time(net, images, labels, cut=True)
    assert loss == pytest.approx(float(reference))
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, rtol=1e-9, atol=1e-12)


def test_in_single_precision_the_relative_error_is_below_one_in_a_hundred_thousand():
    net, *batch = problem(units=40, rows=28, batch=20)
    for ours, theirs in zip(eprop(net, *batch)[1], back_in_time(net, *batch, cut=True)[1], strict=True):
        assert relative_error(ours, theirs) <= 1e-5


def test_without_recurrent_weights_eprop_is_back_propagation_through_time():
    net, *batch = problem(gain=0.0)
    for ours, theirs in zip(eprop(net, *batch)[1], back_in_time(net, *batch)[1], strict=True):
        assert relative_error(ours, theirs) <= 1e-5
    net, *batch = problem(gain=1.0)
    into, back, *out = (
        relative_error(a, b)
        for a, b in zip(eprop(net, *batch)[1], back_in_time(net, *batch)[1], strict=True)
    )
    assert into > 0.01 and back > 0.01 and max(out) <= 1e-5


@pytest.mark.parametrize("symmetric", [True, False])
def test_traces_of_single_connections_that_only_go_forward_give_the_same(symmetric):
    net, images, labels = problem(batch=1)
    feedback = None if symmetric else random_feedback(net, torch.Generator().manual_seed(1))
    membranes, _, logits = (each[0].detach().double() for each in net.read(images))
    inputs, units = rows_of(images, 6)[0].double(), membranes.shape[1]
    teacher = (net.out.weight.detach() if symmetric else feedback).double()
    trace, filtered_trace = torch.zeros(6).double(), torch.zeros(units, 6).double()
    gradient, start = torch.zeros(units, 6).double(), first_judged(logits[None])
    for t in range(len(inputs)):
        trace = net.leak * trace + inputs[t]
        slope = 1 / (1 + SHARPNESS * (membranes[t] - 1).abs()) ** 2
        filtered_trace = net.readout_leak * filtered_trace + slope[:, None] * trace
        if t >= start:
            error = logits[t].softmax(0) - functional.one_hot(labels[0], 3)
            gradient += (error @ teacher)[:, None] * filtered_trace / (len(inputs) - start)
    ours = eprop(net, images, labels, feedback)[1][0].double()
    assert relative_error(ours, gradient) <= 1e-5


def test_back_in_time_is_the_derivative_where_no_unit_fires():
    net, images, labels = problem()
    net = net.double()
    images = images.double()
    _, gradients = back_in_time(net, images, labels)
    step, shifted = 1e-6, dict.fromkeys((1, -1), 0.0)
    for sign in shifted:
        with torch.no_grad():
            net.out.weight[1, 3] += sign * step
        shifted[sign] = float(back_in_time(net, images, labels)[0])
        with torch.no_grad():
            net.out.weight[1, 3] -= sign * step
    assert float(gradients[2][1, 3]) == pytest.approx((shifted[1] - shifted[-1]) / (2 * step), rel=1e-5)


@given(st.floats(0, 1), st.integers(1, 9))
def test_the_leaky_sum_is_its_recursion(leak, steps):
    torch.manual_seed(steps)
    signal = torch.randn(2, steps, 3).double()
    total = torch.zeros(2, 3).double()
    for step, got in enumerate(filtered(signal, leak).unbind(1)):
        total = leak * total + signal[:, step]
        assert torch.allclose(got, total, atol=1e-12)


def test_rows_hold_all_channels():
    images = torch.arange(12.0).view(1, 2, 3, 2)
    assert rows_of(images, 4)[0].tolist() == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]
    with pytest.raises(ValueError, match=r"has 4 numbers, this network reads 28: .*inputs=4"):
        rows_of(images, 28)


@pytest.fixture
def rows_data(tiny_data):
    """Sixty images whose class is the bright column."""
    splits = {
        name: Split(split.images.transpose(2, 3).contiguous(), split.labels)
        for name, split in (("train", tiny_data.train), ("validation", tiny_data.validation))
    }
    return dataclasses.replace(tiny_data, **splits)


@pytest.mark.parametrize("gradients", ["bptt", "e-prop"])
def test_a_copy_is_trained_and_learns(rows_data, gradients):
    torch.manual_seed(0)
    net = RowReader(4, 20, 3)
    before = [weight.clone() for weight in net.parameters()]
    fit = fit_recurrent(net, rows_data, gradients, epochs=15, learning_rate=0.5, batch_size=10)
    for weight, old in zip(net.parameters(), before, strict=True):
        assert torch.equal(weight, old)
    assert accuracy(fit.net, rows_data.validation) > 0.8
    assert fit.trace["loss"].iloc[-1] < fit.trace["loss"].iloc[0] / 2
    assert fit.trace["step"].tolist() == [6 * (n + 1) for n in range(15)]
    assert fit.settings["trainer"] == gradients
    again = fit_recurrent(net, rows_data, gradients, epochs=15, learning_rate=0.5, batch_size=10)
    for weight, same in zip(fit.net.parameters(), again.net.parameters(), strict=True):
        assert torch.equal(weight, same)


def test_one_step_moves_against_the_gradient_and_the_readout_alone_leaves_the_rest(rows_data):
    torch.manual_seed(0)
    net = RowReader(4, 8, 3)
    images, labels = rows_data.train.scaled(), rows_data.train.labels
    one = {"epochs": 1, "learning_rate": 0.3, "batch_size": 60}
    for gradients in GRADIENTS:
        fit = fit_recurrent(net, rows_data, gradients, **one, seed=3)
        feedback = None
        if gradients == "random feedback":
            feedback = random_feedback(net, torch.Generator().manual_seed(3))
        slopes = (back_in_time if gradients == "bptt" else eprop)(
            net, images, labels, **({} if feedback is None else {"feedback": feedback})
        )[1]
        names = [name for name, _ in net.named_parameters()]
        for name, old, new, slope in zip(
            names, net.parameters(), fit.net.parameters(), slopes, strict=True
        ):
            moves = gradients != "readout" or name.startswith("out")
            assert torch.allclose(new, old - 0.3 * moves * slope, atol=1e-5), name


def test_what_cannot_be_trained_is_refused(rows_data):
    net = RowReader(4, 8, 3)
    with pytest.raises(ValueError, match=r"gradients must be one of bptt, e-prop, .*, got 'sgd'"):
        fit_recurrent(net, rows_data, "sgd", epochs=1)
    with pytest.raises(ValueError, match="epochs must be a whole number, 1 or more, got 0"):
        fit_recurrent(net, rows_data, epochs=0)
    with pytest.raises(ValueError, match="learning_rate must be a number in"):
        fit_recurrent(net, rows_data, epochs=1, learning_rate=0)
    with pytest.raises(ValueError, match=r"this network reads 5: build it with inputs=4"):
        fit_recurrent(RowReader(5, 8, 3), rows_data, epochs=1)
    with pytest.raises(ValueError, match=r"readout_leak must be a number in \[0, 1\], got 1.5"):
        RowReader(4, 8, 3, readout_leak=1.5)
    with pytest.raises(ValueError, match="units must be a whole number, 1 or more, got 0"):
        RowReader(4, 0, 3)
