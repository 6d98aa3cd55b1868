import numpy as np
import pytest
import torch
from scipy.linalg import hadamard as scipys

from greenai_nb.nets.fastfood import FastfoodLinear, hadamard


@pytest.mark.parametrize("n", [1, 2, 8, 64])
def test_hadamard_matrices_are_scipys_and_orthogonal(n):
    got = hadamard(n).numpy()
    assert np.allclose(got * np.sqrt(n), scipys(n))
    assert np.allclose(got @ got.T, np.eye(n), atol=1e-6)


@pytest.mark.parametrize(("inputs", "units"), [(8, 8), (5, 20), (16, 3), (784, 100)])
def test_a_deep_fried_layer_is_its_product_of_matrices(inputs, units):
    torch.manual_seed(0)
    layer = FastfoodLinear(inputs, units)
    with torch.no_grad():
        layer.S.uniform_(0.5, 2)
        layer.bias.normal_()
    n, blocks = layer.size, []
    h = torch.from_numpy(scipys(n) / np.sqrt(n)).float()
    for b, g, s, order in zip(layer.B, layer.G, layer.S, layer.permutation, strict=True):
        blocks.append(torch.diag(s) @ h @ torch.diag(g) @ torch.eye(n)[order] @ h @ torch.diag(b))
    dense = torch.cat(blocks)[:units, :inputs]
    x = torch.randn(4, inputs)
    assert torch.allclose(layer(x), x @ dense.T + layer.bias, atol=1e-4)


def test_it_has_three_numbers_for_each_unit_of_its_blocks():
    layer = FastfoodLinear(784, 1500)
    assert sum(weight.numel() for weight in layer.parameters()) == 3 * 2 * 1024 + 1500


@pytest.mark.parametrize("n", [0, 3, 12])
def test_other_sizes_are_refused(n):
    with pytest.raises(ValueError, match="power of two"):
        hadamard(n)
