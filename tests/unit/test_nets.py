import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from greenai_nb.nets.architectures import cnn, mlp, xnor_cnn
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear, clip_latent_weights
from greenai_nb.nets.scaling import scale
from greenai_nb.nets.sign import ste_sign
from greenai_nb.nets.weights import fold_batch_norm, prunable_weights, weights_by_kind


def test_sign_is_plus_one_at_zero_and_passes_the_gradient_inside():
    x = torch.tensor([-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 1.1], requires_grad=True)
    y = ste_sign(x)
    (y * torch.arange(7.0)).sum().backward()
    assert y.tolist() == [-1, -1, 1, 1, 1, 1, 1]
    assert x.grad.tolist() == [0, 1, 2, 3, 4, 5, 0]


@given(st.integers(0, 1000), st.integers(1, 5), st.integers(1, 30))
def test_the_scale_is_the_least_squares_solution(seed, units, inputs):
    weight = torch.randn(units, inputs, generator=torch.Generator().manual_seed(seed))
    for row, alpha in zip(weight, scale(weight), strict=True):
        solution = torch.linalg.lstsq(row.sign()[:, None], row[:, None]).solution
        assert alpha == pytest.approx(solution.item(), abs=1e-5)
        residual = row.square().sum() - row.abs().sum() ** 2 / inputs
        assert (row - alpha * row.sign()).square().sum() == pytest.approx(residual.item(), abs=1e-4)


def test_a_binary_linear_layer_counts_agreements():
    torch.manual_seed(0)
    layer, x = BinaryLinear(9, 4), torch.randn(5, 9).sign()
    agree = (x[:, None] == layer.weight.sign()).sum(2)
    assert torch.allclose(layer(x), (2 * agree - 9) * layer.weight.abs().mean(1), atol=1e-6)


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1)])
def test_a_binary_convolution_is_the_linear_layer_on_patches(stride, padding):
    torch.manual_seed(1)
    conv, x = BinaryConv2d(3, 4, 3, stride, padding), torch.randn(2, 3, 7, 7).sign()
    linear = BinaryLinear(27, 4)
    linear.weight.data = conv.weight.data.flatten(1)
    patches = functional.unfold(x, 3, padding=padding, stride=stride)
    known = linear(patches.transpose(1, 2).reshape(-1, 27)).reshape(2, -1, 4).transpose(1, 2)
    assert torch.allclose(conv(x).flatten(2), known, atol=1e-5)


def test_clipping_touches_latent_weights_only():
    net = xnor_cnn(2)
    for parameter in net.parameters():
        parameter.data.fill_(3.0)
    clip_latent_weights(net)
    values = {
        type(layer).__name__: layer.weight.unique().tolist() for layer in net if hasattr(layer, "weight")
    }
    assert values["BinaryConv2d"] == [1.0]
    assert values["Conv2d"] == values["Linear"] == [3.0]


@pytest.mark.parametrize("net", [mlp(784, 5), cnn(3), xnor_cnn(3)])
def test_architectures_answer_with_a_logit_a_class(net):
    assert net(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_the_twins_have_the_same_weights_to_learn():
    def count(net):
        return sum(parameter.numel() for parameter in net.parameters())

    assert count(cnn(4)) == count(xnor_cnn(4))


def test_every_parameter_has_a_kind():
    torch.manual_seed(3)
    net = xnor_cnn(4)
    kinds = weights_by_kind(net)
    latent = net[3].weight
    assert [part.shape for part in kinds.binary] == [latent.shape]
    assert torch.equal(torch.where(kinds.binary[0], 1.0, -1.0), ste_sign(latent))
    assert torch.equal(kinds.scale[0], scale(latent))
    real = sum(part.numel() for part in kinds.real)
    assert real + latent.numel() == sum(weight.numel() for weight in net.parameters())
    assert [part.shape for part in prunable_weights(net)] == [net[0].weight.shape, net[7].weight.shape]
    assert weights_by_kind(mlp(5, 3)).binary == []
    kinds.real[0].zero_()
    assert not net[0].weight.any()


@pytest.mark.parametrize("build", [cnn, xnor_cnn])
def test_a_folded_network_computes_the_same_without_statistics(build):
    torch.manual_seed(4)
    net, x = build(4), torch.randn(40, 1, 28, 28)
    for _ in range(3):
        net(x)
    for norm in (net[1], net[4]):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    folded = fold_batch_norm(net)
    assert torch.allclose(folded(x), net.eval()(x), atol=1e-4)
    assert all(
        norm.running_mean.eq(0).all() and norm.running_var.eq(1).all() for norm in (folded[1], folded[4])
    )
    assert not net[1].running_mean.eq(0).all()
