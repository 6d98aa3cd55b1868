"""Codes of a few bits: what is packed comes back, bit by bit, and takes the bytes that it should."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from greenai_nb.nets.architectures import mlp
from greenai_nb.nets.packed import file as packed_file
from greenai_nb.nets.packed.levels import PackedLinear, pack_codes, unpack_codes
from greenai_nb.nets.packed.pack import pack
from greenai_nb.nets.quantize import DoReFa, QuantizedLinear, dorefa_mlp, with_levels


@given(st.data(), st.integers(1, 8))
def test_codes_come_back_and_leave_no_gaps(data, bits):
    codes = data.draw(arrays(np.uint8, st.integers(0, 40), elements=st.integers(0, 2**bits - 1)))
    packed = pack_codes(codes, bits)
    text = "".join(f"{code:0{bits}b}"[::-1] for code in codes.tolist())
    assert packed.tolist() == [int(text[i : i + 8][::-1], 2) for i in range(0, len(text), 8)]
    assert np.array_equal(unpack_codes(packed, bits, len(codes)), codes)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_a_packed_layer_has_the_weights_of_the_quantizer_and_few_bytes(bits):
    layer = QuantizedLinear(65, 7, DoReFa(bits), bias=True)
    packed = PackedLinear.of(layer)
    assert torch.equal(packed.weight(), layer.quantizer(layer.weight))
    x = torch.randn(3, 65)
    assert torch.equal(packed(x), layer(x))
    assert packed.codes.nbytes == -(-65 * 7 * bits // 8) and packed.table.nbytes <= 4 * 2**bits


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantized_network_is_packed_stored_and_loaded(bits, tmp_path):
    torch.manual_seed(1)
    net = dorefa_mlp(784, 20, weight=bits, activation=2, gradient=6, seed=0).eval()
    x = torch.rand(4, 1, 28, 28)
    packed = pack(net)
    assert torch.equal(packed(x), net(x).detach())
    packed_file.save(packed, tmp_path / "net.npz")
    again = packed_file.load(tmp_path / "net.npz")
    assert torch.equal(again(x), packed(x))
    table = 4 * 2**bits
    assert packed_file.sizes(again)["1"] == 784 * 20 * bits // 8 + table


def test_levels_of_a_trained_network_are_packed_with_its_biases(tmp_path):
    net = with_levels(mlp(30, 8, bias=True), 7).eval()
    x = torch.rand(2, 30)
    packed_file.save(pack(net), tmp_path / "net.npz")
    assert torch.equal(packed_file.load(tmp_path / "net.npz")(x), net(x).detach())
    assert isinstance(net[1], nn.Linear)
