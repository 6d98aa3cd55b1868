"""Signs of a float convolution against sums that are rounded after each product."""

import numpy as np
import pytest
import torch
from torch import nn

from greenai_nb.nets.kernels import processor, sign_of_float

pytestmark = pytest.mark.skipif("fma" not in processor.features(), reason="no fused products here")


def one_by_one(x, weight, stride, order):
    """Outputs with one rounding for each product, taken in the order of a filter's axes."""
    taps = [
        (c, i, j)
        for c in range(x.shape[0])
        for i in range(weight.shape[2])
        for j in range(weight.shape[3])
    ]
    taps.sort(key=lambda tap: [tap[axis] for axis in order])
    rows, columns = (
        (side - span) // stride + 1 for side, span in zip(x.shape[1:], weight.shape[2:], strict=True)
    )
    y = np.zeros((len(weight), rows, columns), np.float32)
    for c, i, j in taps:
        seen = x[c, i : i + stride * rows : stride, j : j + stride * columns : stride][:rows, :columns]
        # The product of two floats is exact in double precision.
        y = (weight[:, c, i, j, None, None].astype(float) * seen + y).astype(np.float32)
    return y.reshape(len(weight), -1)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize(
    ("outputs", "kernel", "stride"), [(1, 3, 1), (40, (2, 3), 2), (130, 1, 1), (64, 5, 3)]
)
def test_signs_are_those_of_sums_in_order(order, outputs, kernel, stride):
    torch.manual_seed(1)
    layer = nn.Conv2d(3, outputs, kernel, stride, bias=False)
    x, flips = torch.randn(2, 3, 9, 8).numpy(), torch.rand(outputs).numpy() < 0.5
    known = [one_by_one(image, layer.weight.detach().numpy(), stride, order) for image in x]
    for position in range(known[0].shape[1]):
        level = known[0][:, position]
        for levels in (level, np.nextafter(level, np.float32(np.inf))):
            prepared = sign_of_float.prepared(layer, x.shape[2:], order, levels, flips)
            bits = sign_of_float.signs(x, *prepared)
            positive = np.unpackbits(bits, axis=-1, bitorder="little")
            for image, y in zip(positive, known, strict=True):
                assert np.array_equal(image[: y.shape[1], :outputs], (levels <= y.T) ^ flips)
                assert not image[:, outputs:].any()
