import pytest
import torch
from torch.nn import functional

from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear, Sign
from greenai_nb.nets.sign import approx_sign


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


def test_an_input_quantizer_is_a_sign_before_the_layer():
    torch.manual_seed(0)
    x = torch.randn(3, 2, 6, 6)
    with_it = BinaryConv2d(2, 4, 3, input_quantizer=approx_sign)
    without = BinaryConv2d(2, 4, 3)
    without.weight = with_it.weight
    assert torch.equal(with_it(x), without(Sign(approx_sign)(x)))
