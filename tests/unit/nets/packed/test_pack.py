"""Thresholds against rational arithmetic, and networks that cannot be packed."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from greenai_nb.nets.architectures import xnor_cnn
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear, Sign
from greenai_nb.nets.packed.pack import (
    PackingError,
    Scaled,
    float_thresholds_of,
    pack,
    thresholds_of,
)
from greenai_nb.nets.scaling import LearnedScale, MeanScaleWithInputMap
from greenai_nb.nets.sign import approx_sign


@given(st.integers(1, 40), st.data())
def test_thresholds_at_exact_ties(length, data):
    """Batch norms whose numbers are powers of two: float arithmetic is exact, so ties are ties."""
    units = 4
    eighths = st.integers(-16, 16).map(lambda n: n / 8)
    gamma, beta, mean, alpha = (
        data.draw(st.lists(eighths, min_size=units, max_size=units)) for _ in range(4)
    )
    norm = nn.BatchNorm1d(units, eps=0.0).eval()
    norm.weight.data, norm.bias.data = torch.tensor(gamma), torch.tensor(beta)
    norm.running_mean = torch.tensor(mean)
    norm.running_var = torch.full((units,), 0.25)
    scaling = Scaled([(units,)])
    scaling.factors[0].data = torch.tensor(alpha)
    with torch.no_grad():
        thresholds, flips = thresholds_of(nn.Sequential(scaling, norm), length, (units,))
    for unit in range(units):
        g, b, m, a = (Fraction(numbers[unit]) for numbers in (gamma, beta, mean, alpha))
        for y in range(-length, length + 1):
            exact = g * (a * y - m) * 2 + b >= 0
            assert ((y >= thresholds[unit]) ^ flips[unit]) == exact


@torch.no_grad()
@pytest.mark.parametrize(("kind", "shape"), [(nn.BatchNorm1d, ()), (nn.BatchNorm2d, (7, 5))])
def test_a_batch_norm_turns_its_sign_between_two_neighbouring_floats(kind, shape):
    torch.manual_seed(9)
    norm = kind(60).eval()
    for numbers in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(numbers)
    norm.weight[:2], norm.bias[0] = 0, -1
    nn.init.uniform_(norm.running_var, 0.1, 3)
    thresholds, flips = float_thresholds_of(norm)
    below = np.nextafter(thresholds, np.float32(-np.inf))
    for x, turned in ((thresholds, np.isfinite(thresholds)), (below, np.zeros(60, bool))):
        shown = torch.from_numpy(x).clamp(-1e38, 1e38).view(1, 60, *[1] * len(shape))
        positive = (norm(shown.expand(3, 60, *shape).contiguous()) >= 0).view(3, 60, -1)
        assert (positive == torch.from_numpy(turned ^ flips)[:, None]).all()
    assert np.isinf(thresholds[:2]).all() and np.isfinite(thresholds[2:]).all()


def test_what_cannot_be_packed_is_named():
    net = xnor_cnn(4)
    with pytest.raises(PackingError, match=r"net.eval\(\)"):
        pack(net)
    with pytest.raises(PackingError, match="got Linear"):
        pack(nn.Linear(3, 3))
    with pytest.raises(PackingError, match="1: Dropout"):
        pack(nn.Sequential(Sign(), nn.Dropout(), BinaryLinear(3, 3)).eval())
    with pytest.raises(PackingError, match="0: its input"):
        pack(nn.Sequential(BinaryLinear(3, 3)).eval())
    with pytest.raises(PackingError, match="no binary or quantized layer"):
        pack(nn.Sequential(nn.Linear(3, 3)).eval())
    mapped = BinaryConv2d(3, 3, 3, input_quantizer=approx_sign, scaling=MeanScaleWithInputMap(3))
    with pytest.raises(PackingError, match="0: MeanScaleWithInputMap"):
        pack(nn.Sequential(mapped).eval())
    turning = LearnedScale((3, 1, 1), (1, 2, 1))
    turning.factors[1].data[0, 0] = -1
    with pytest.raises(PackingError, match="positive at some places"):
        pack(nn.Sequential(Sign(), BinaryConv2d(3, 3, 1, scaling=turning)).eval())
    with pytest.raises(PackingError, match="0: the estimator"):
        pack(nn.Sequential(Sign(torch.sign), BinaryLinear(3, 3)).eval())
    grouped = nn.Sequential(Sign(), nn.MaxPool2d(2, padding=1), BinaryConv2d(3, 3, 3)).eval()
    with pytest.raises(PackingError, match="1: pack"):
        pack(grouped)
