import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from greenai_nb.learn.sgd import fit_sgd
from greenai_nb.nets.architectures import mlp
from greenai_nb.nets.quantize import (
    DoReFa,
    EqualSteps,
    QuantizedActivation,
    QuantizedGradient,
    QuantizedLinear,
    dorefa_mlp,
    least_squares_step,
    quantize_gradient,
    round_to_bits,
    ternary_step,
    with_levels,
)

BITS = st.integers(1, 8)
NUMBERS = arrays(np.float32, st.integers(2, 30), elements=st.floats(-3, 3, width=32))


@given(arrays(np.float32, 20, elements=st.floats(0, 1, width=32)), BITS)
def test_rounding_to_bits_is_numpys_nearest_of_equal_levels(r, bits):
    levels = np.arange(2**bits) / (2**bits - 1)
    got = round_to_bits(torch.from_numpy(r), bits).numpy()
    nearest = np.abs(r[:, None] - levels).min(1)
    assert np.abs(got - r) == pytest.approx(nearest, abs=1e-6)
    assert np.abs(got[:, None] - levels).min(1).max() < 1e-6
    assert np.array_equal(round_to_bits(torch.from_numpy(got), bits).numpy(), got)


@given(NUMBERS, BITS)
def test_dorefas_weights_are_symmetric_monotone_and_never_zero(numbers, bits):
    weight = torch.from_numpy(numbers)
    if not weight.any():
        return
    got = DoReFa(bits)(weight)
    assert len(got.unique()) <= 2**bits
    assert (got[weight.argsort()].diff() >= 0).all()
    if bits == 1:
        assert torch.equal(got, weight.abs().mean() * torch.where(weight >= 0, 1.0, -1.0))
        return
    bent = np.tanh(numbers.astype(float))
    steps = 2**bits - 1
    exact = 2 * np.round(steps * (bent / (2 * np.abs(bent).max()) + 0.5)) / steps - 1
    differ = np.abs(got.numpy() - exact) > 1e-5  # where single precision rounds a tie the other way
    assert np.abs(got.numpy() - exact)[differ] == pytest.approx(2 / steps, abs=1e-5)
    assert (got.abs() >= 1 / steps - 1e-6).all() and (got.abs() <= 1).all()


def test_gradients_pass_straight_through_every_rounding():
    weight = torch.tensor([-0.6, 0.1, 0.4], requires_grad=True)
    for quantizer in (DoReFa(1), EqualSteps(5, 0.3)):
        (found,) = torch.autograd.grad(quantizer(weight)[1], weight)
        assert found.tolist() == [0, 1, 0]
    (found,) = torch.autograd.grad(DoReFa(3)(weight).sum(), weight)
    bent = torch.tanh(weight)
    (exact,) = torch.autograd.grad((bent / bent.abs().max()).sum(), weight)
    assert found.tolist() == pytest.approx(exact.tolist())


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_a_quantized_gradient_is_unbiased_at_both_ends_too(bits):
    gradient = torch.randn(4, 6, generator=torch.Generator().manual_seed(bits)).double()
    points = 100_001
    noise = (torch.arange(points).double() + 0.5) / points - 0.5
    alike = gradient.repeat(points, 1)
    got = quantize_gradient(alike, bits, noise.repeat_interleave(4)[:, None]).view(points, 4, 6)
    assert (got.mean(0) - gradient).abs().max() < 1e-4
    steps, largest = 2**bits - 1, gradient.abs().amax(1, keepdim=True)
    assert (got.std(0, correction=0) <= largest / steps * (1 + 1e-4)).all()
    levels = (got / (2 * largest) + 0.5) * steps
    assert (levels - levels.round()).abs().max() < 1e-9


def test_an_image_without_gradient_stays_without():
    gradient = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
    got = quantize_gradient(gradient, 2, torch.zeros(2, 2))
    assert got[0].tolist() == [0, 0] and got[1, 1] == -2


@given(NUMBERS)
def test_the_step_of_three_levels_is_the_best_of_all(numbers):
    weight = torch.from_numpy(numbers).double()
    if not weight.any():
        return
    step = ternary_step(weight)
    size = weight.abs()
    # By hand: the best sum of squares for every set of weights that are not zero.
    best = min(float((size.sort().values[:-k].square().sum())
                     + (size.topk(k).values - size.topk(k).values.mean()).square().sum())
               if k < len(size) else float((size - size.mean()).square().sum())
               for k in range(1, len(size) + 1))  # fmt: skip
    error = float((EqualSteps(3, step)(weight) - weight).square().sum())
    assert error == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("levels", [5, 7, 15, 255])
def test_the_least_squares_step_is_that_of_a_dense_scan(levels):
    weight = torch.randn(1000, generator=torch.Generator().manual_seed(levels)).double()
    largest = 2 * float(weight.abs().max()) / (levels - 1)
    scan = [
        float((EqualSteps(levels, step)(weight) - weight).square().sum())
        for step in np.linspace(largest / 2000, largest, 2000)
    ]
    step = least_squares_step(weight, levels)
    assert float((EqualSteps(levels, step)(weight) - weight).square().sum()) <= 1.001 * min(scan)


@given(NUMBERS, st.sampled_from([3, 7, 255]), st.floats(0.01, 1))
def test_equal_steps_are_idempotent_odd_and_within_half_a_step(numbers, levels, step):
    weight = torch.from_numpy(numbers).double()
    got = EqualSteps(levels, step)(weight)
    assert torch.allclose(EqualSteps(levels, step)(got), got, atol=1e-12)
    inside = weight.abs() <= step * (levels - 1) / 2
    assert ((got - weight).abs()[inside] <= step / 2 + 1e-12).all()
    assert len(got.unique()) <= levels


def test_levels_replace_linear_layers_and_leave_the_network_alone():
    net = mlp(20, 8, classes=3, bias=True)
    before = copy.deepcopy(net.state_dict())
    quantized = with_levels(net, 3)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    layer = quantized[1]
    assert isinstance(layer, QuantizedLinear) and torch.equal(layer.weight, net[1].weight)
    assert torch.equal(layer.bias, net[1].bias)
    assert len(layer.quantizer(layer.weight).unique()) == 3
    x = torch.rand(5, 20)
    hidden = torch.relu(x @ layer.quantizer(net[1].weight).T + net[1].bias)
    exact = hidden @ quantized[3].quantizer(net[3].weight).T + net[3].bias
    assert torch.allclose(quantized(x), exact, atol=1e-6)


def test_the_gradients_noise_is_new_in_each_pass_and_the_same_for_a_seed():
    def passes(seed):
        layer = QuantizedGradient(1, seed)
        x = torch.zeros(2, 50, requires_grad=True)
        loss = (layer(x) * torch.linspace(-1, 1, 50)).sum()
        return [torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(2)]

    first, second = passes(3)
    assert not torch.equal(first, second)
    assert torch.equal(first, passes(3)[0]) and not torch.equal(first, passes(4)[0])
    assert first.abs().unique().tolist() == [1.0]
    layer = QuantizedGradient(1).eval()
    x = torch.ones(1, 2, requires_grad=True)
    assert layer(x) is x


def test_activations_are_clipped_and_rounded():
    x = torch.tensor([-1.0, 0.2, 0.6, 3.0])
    assert QuantizedActivation(1)(x).tolist() == [0, 0, 1, 1]
    assert QuantizedActivation(32)(x).tolist() == pytest.approx([0, 0.2, 0.6, 1])


def test_a_network_of_few_bits_learns(tiny_data):
    pixels = tiny_data.train.images[0].numel()
    torch.manual_seed(0)
    net = dorefa_mlp(pixels, 16, weight=1, activation=2, gradient=6, seed=0)
    fit = fit_sgd(net, tiny_data, epochs=5, learning_rate=0.3)
    assert fit.trace.loss.iloc[-1] < fit.trace.loss.iloc[0]
    again = fit_sgd(net, tiny_data, epochs=5, learning_rate=0.3)
    assert fit.trace.loss.tolist() == again.trace.loss.tolist()
    assert len(fit.net[1].quantizer(fit.net[1].weight).unique()) == 2


@pytest.mark.parametrize("bits", [0, 9, 2.5, -1])
def test_bits_out_of_range_are_refused(bits):
    for make in (DoReFa, QuantizedActivation, QuantizedGradient):
        with pytest.raises(ValueError, match="bits must be"):
            make(bits)


def test_layers_of_zeros_and_bad_levels_are_refused_by_name():
    net = mlp(4, 2)
    nn.init.zeros_(net[3].weight)
    with pytest.raises(ValueError, match="3: all weights are zero"):
        with_levels(net, 3)
    with pytest.raises(ValueError, match=r"shape \(2, 3\) are all zero"):
        DoReFa(2)(torch.zeros(2, 3))
    for levels in (2, 1, 4):
        with pytest.raises(ValueError, match="odd number"):
            EqualSteps(levels, 0.1)
    with pytest.raises(ValueError, match="step must be"):
        EqualSteps(3, 0.0)
