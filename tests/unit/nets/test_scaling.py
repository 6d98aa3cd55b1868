import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from greenai_nb.nets.scaling import LearnedScale, MeanScale, MeanScaleWithInputMap, NoScale, scale


@given(st.integers(0, 1000), st.integers(1, 5), st.integers(1, 30))
def test_the_scale_is_the_least_squares_solution(seed, units, inputs):
    weight = torch.randn(units, inputs, generator=torch.Generator().manual_seed(seed))
    for row, alpha in zip(weight, scale(weight), strict=True):
        solution = torch.linalg.lstsq(row.sign()[:, None], row[:, None]).solution
        assert alpha == pytest.approx(solution.item(), abs=1e-5)
        residual = row.square().sum() - row.abs().sum() ** 2 / inputs
        assert (row - alpha * row.sign()).square().sum() == pytest.approx(residual.item(), abs=1e-4)


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


def test_a_learned_scale_without_shapes_is_refused():
    with pytest.raises(ValueError, match="shape"):
        LearnedScale()
