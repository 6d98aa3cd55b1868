import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from greenai_nb.nets import sign
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear, Sign
from greenai_nb.nets.scaling import LearnedScale, MeanScale, MeanScaleWithInputMap, NoScale, scale
from greenai_nb.nets.weights import weights_by_kind

PLAIN = (sign.ste_sign, sign.approx_sign, sign.identity_sign)
POINTS = [-2.0, -1.0, -0.5, -0.0, 0.0, 0.25, 1.0, 1.5]


def gradient(estimator):
    x = torch.tensor(POINTS, requires_grad=True)
    estimator(x).sum().backward()
    return x.grad.tolist()


@pytest.mark.parametrize("estimator", PLAIN)
def test_signs_are_exactly_plus_or_minus_one(estimator):
    x = torch.cat([torch.tensor(POINTS), torch.randn(1000)])
    assert torch.equal(estimator(x), torch.where(x >= 0, 1.0, -1.0))
    assert estimator(x.double()).dtype == torch.float64


def test_gradients_are_those_of_the_table():
    assert gradient(sign.ste_sign) == [0, 1, 1, 1, 1, 1, 1, 0]
    assert gradient(sign.approx_sign) == [0, 0, 1, 2, 2, 1.5, 0, 0]
    assert gradient(sign.identity_sign) == [1] * 8
    assert gradient(sign.stochastic_sign) == [1] * 8
    assert gradient(sign.dorefa_sign) == [1] * 8


def test_the_parabola_has_the_gradient_that_approx_sign_uses():
    """Bi-Real's approximation: 2x + x^2 below zero and 2x - x^2 above, clipped to [-1, 1]."""
    x = torch.linspace(-1.4, 1.4, 57, dtype=torch.double, requires_grad=True)
    parabola = torch.where(x < 0, 2 * x + x**2, 2 * x - x**2)
    clipped = torch.where(x.abs() > 1, x.detach().sign(), parabola)
    (known,) = torch.autograd.grad(clipped.sum(), x)
    (ours,) = torch.autograd.grad(sign.approx_sign(x).sum(), x)
    assert torch.allclose(ours, known)


@given(st.floats(-2, 2))
def test_a_random_sign_has_the_mean_of_its_weight(weight):
    draws = sign.stochastic_sign(torch.full((4000,), weight), torch.Generator().manual_seed(0))
    assert set(draws.tolist()) <= {-1.0, 1.0}
    assert draws.mean().item() == pytest.approx(max(-1, min(1, weight)), abs=0.07)


def test_dorefa_has_one_scale_for_the_tensor():
    x = torch.randn(4, 5)
    assert torch.allclose(sign.dorefa_sign(x), x.sign() * x.abs().mean())
    assert sign.dorefa_sign(torch.zeros(2)).tolist() == [0.0, 0.0]


def test_an_input_quantizer_is_a_sign_before_the_layer():
    torch.manual_seed(0)
    x = torch.randn(3, 2, 6, 6)
    with_it = BinaryConv2d(2, 4, 3, input_quantizer=sign.approx_sign)
    without = BinaryConv2d(2, 4, 3)
    without.weight = with_it.weight
    assert torch.equal(with_it(x), without(Sign(sign.approx_sign)(x)))


def test_the_scalings_are_their_formulas():
    torch.manual_seed(1)
    x, weight = torch.randn(2, 3, 7, 7), torch.randn(5, 3, 3, 3)
    y = functional.conv2d(x.sign(), weight.sign(), None, 2, 1)
    alpha = weight.abs().mean((1, 2, 3))[:, None, None]
    assert torch.equal(NoScale()(y, weight, x), y)
    assert torch.allclose(MeanScale()(y, weight, x), y * alpha)
    k = torch.zeros(2, 4, 4)
    padded = functional.pad(x.abs().mean(1), [1] * 4)
    for n, i, j in itertools.product(range(2), range(4), range(4)):
        k[n, i, j] = padded[n, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].sum() / 9
    mapped = MeanScaleWithInputMap(3, stride=2, padding=1)(y, weight, x)
    assert torch.allclose(mapped, y * alpha * k[:, None], atol=1e-6)


SHAPES = [
    [(5, 1, 1)],
    [(5, 4, 4)],
    [(5, 1, 1), (1, 4, 4)],
    [(5, 1, 1), (1, 4, 1), (1, 1, 4)],
]


@pytest.mark.parametrize("shapes", SHAPES)
def test_learned_scales_have_the_shapes_of_the_paper(shapes):
    scaling = LearnedScale(*shapes)
    y = torch.randn(2, 5, 4, 4)
    assert torch.equal(scaling(y, y, y), y)
    for factor in scaling.factors:
        torch.nn.init.normal_(factor)
    product = torch.ones(5, 4, 4)
    for factor in scaling.factors:
        product = product * factor
    assert torch.allclose(scaling(y, y, y), y * product)
    scaling(y, y, y).sum().backward()
    assert all(factor.grad is not None for factor in scaling.factors)


def test_learned_scales_count_as_scales():
    layer = BinaryLinear(6, 4, scaling=LearnedScale((4,)))
    kinds = weights_by_kind(layer)
    assert kinds.real == [] and [part.shape for part in kinds.scale] == [(4,)]
    assert weights_by_kind(BinaryLinear(6, 4, scaling=NoScale())).scale == []
    mean = BinaryLinear(6, 4)
    assert torch.equal(weights_by_kind(mean).scale[0], mean.weight.abs().mean(1))
    with pytest.raises(ValueError, match="a shape for each factor"):
        LearnedScale()
    assert scale(torch.ones(2, 3)).tolist() == [1, 1]
