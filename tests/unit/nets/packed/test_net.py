"""Packed networks against their float simulation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packable import KERNELS, settled, vgg_like
from torch import nn

from greenai_nb.nets.architectures import xnor_cnn
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear, Sign
from greenai_nb.nets.packed.file import load, save
from greenai_nb.nets.packed.net import BinaryStage
from greenai_nb.nets.packed.pack import pack
from greenai_nb.nets.scaling import MeanScale, NoScale
from greenai_nb.nets.sign import approx_sign


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("seed", range(3))
def test_a_packed_network_answers_like_its_simulation(kernel, seed):
    torch.manual_seed(seed)
    net = settled(vgg_like(), 2, 8, 8)
    x = torch.randn(7, 2, 8, 8)
    assert torch.allclose(pack(net, kernel)(x), net(x), atol=1e-5)


@pytest.mark.parametrize("numbers", [1, 128, 1000, 10**6])
def test_threads_and_pieces_share_a_batch_and_change_nothing(monkeypatch, numbers):
    torch.manual_seed(3)
    packed = pack(settled(vgg_like(), 2, 8, 8))
    x = torch.randn(50, 2, 8, 8)
    whole = packed(x)
    monkeypatch.setattr("greenai_nb.nets.packed.net.NUMBERS_AT_ONCE", numbers)
    for threads in (1, 3):
        assert torch.allclose(replace(packed, threads=threads)(x), whole, atol=1e-6)
    with pytest.raises(ValueError, match="threads"):
        replace(packed, threads=0)


def test_no_images_have_no_answers():
    net = settled(vgg_like(), 2, 8, 8)
    assert torch.equal(pack(net)(torch.empty(0, 2, 8, 8)), net(torch.empty(0, 2, 8, 8)))


@torch.inference_mode()
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("scaling", [NoScale(), MeanScale()])
def test_a_batch_norm_without_a_sign_is_folded_into_the_product(scaling, affine, tmp_path):
    torch.manual_seed(3)
    layers = Sign(), BinaryConv2d(3, 6, 3, padding=1, scaling=scaling), nn.BatchNorm2d(6, affine=affine)
    net = nn.Sequential(*layers)
    for _ in range(3):
        net(torch.randn(30, 3, 8, 8))
    if affine:
        nn.init.normal_(net[2].weight)
        nn.init.normal_(net[2].bias)
    x, packed = torch.randn(5, 3, 8, 8), pack(net.eval())
    assert len(packed.stages) == 3 - affine
    assert torch.allclose(packed(x), net(x), atol=1e-5)
    if affine:
        save(packed, tmp_path / "net.npz")
        assert torch.equal(load(tmp_path / "net.npz")(x), packed(x))


@torch.inference_mode()
def test_integers_inside_are_the_same():
    torch.manual_seed(5)
    net = settled(xnor_cnn(8), 1, 28, 28)
    x = torch.randn(4, 1, 28, 28)
    stages = pack(net).stages
    binary = next(n for n, stage in enumerate(stages) if isinstance(stage, BinaryStage))
    state = x
    for stage in stages[:binary]:
        state = stage(state)
    layer = net[3]
    known = nn.functional.conv2d(net[:3](x), torch.where(layer.weight >= 0, 1.0, -1.0), None, 2, 1)
    assert np.array_equal(stages[binary].integers(state), known.permute(0, 2, 3, 1).numpy())
    assert torch.allclose(pack(net)(x), net(x), atol=1e-5)


@settings(max_examples=30)
@given(
    st.integers(1, 20), st.integers(1, 40), st.sampled_from([1, 2, 3]), st.integers(1, 3),
    st.integers(0, 2), st.integers(0, 10_000), st.sampled_from(KERNELS),
)  # fmt: skip
def test_any_shape_of_convolution(channels, filters, kernel, stride, padding, seed, name):
    torch.manual_seed(seed)
    conv = BinaryConv2d(
        channels, filters, kernel, stride, padding, scaling=NoScale(), input_quantizer=approx_sign
    )
    net = nn.Sequential(conv).eval()
    x = torch.randn(2, channels, 6, 5)
    assert torch.equal(pack(net, name)(x), net(x))


def test_sizes_are_reported_by_layer_and_weights_are_32_times_smaller():
    net = nn.Sequential(
        Sign(), BinaryConv2d(64, 64, 3, scaling=NoScale()), nn.BatchNorm2d(64), Sign()
    ).eval()
    for kernel in KERNELS:
        stage = pack(net, kernel).stages[1]
        assert 32 * stage.weights.panels.nbytes == 4 * net[1].weight.numel()
        assert stage.size_bytes == stage.weights.panels.nbytes + 64 * 4 + 64 // 8 + 64 * 9 * 4


def test_bad_inputs_are_refused():
    packed = pack(nn.Sequential(Sign(), BinaryLinear(3, 3)).eval())
    with pytest.raises(TypeError, match=r"torch\.int64"):
        packed(torch.ones(1, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="NaN"):
        packed(torch.tensor([[1.0, float("nan"), 0.0]]))
    with pytest.raises(ValueError, match=r"1: .* 3 .* 5"):
        packed(torch.ones(1, 5))


@torch.no_grad()
def test_a_packed_network_does_not_change_with_the_one_it_came_from():
    torch.manual_seed(8)
    net = settled(xnor_cnn(4), 1, 28, 28)
    x = torch.randn(3, 1, 28, 28)
    packed = pack(net)
    before = packed(x)
    net.train()
    net(torch.randn(20, 1, 28, 28) + 3)
    for weight in net.parameters():
        weight.zero_()
    assert torch.equal(packed(x), before)
