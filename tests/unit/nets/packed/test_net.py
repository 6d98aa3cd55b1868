"""Packed networks against their float simulation."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packable import KERNELS, settled, vgg_like, vgg_small_like
from torch import nn

from greenai_nb.nets.architectures import xnor_cnn
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear, Sign
from greenai_nb.nets.kernels import processor
from greenai_nb.nets.packed.file import load, save
from greenai_nb.nets.packed.net import BinaryStage, FloatToSigns, ToSigns
from greenai_nb.nets.packed.pack import pack
from greenai_nb.nets.scaling import LearnedScale, MeanScale, NoScale
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
    integers = replace(stages[binary], thresholds=None, scale=None, shift=None)
    assert torch.equal(integers(state), known)
    assert torch.allclose(pack(net)(x), net(x), atol=1e-5)


CHANNELS = st.integers(1, 20) | st.sampled_from([64, 72, 128, 320])


@settings(max_examples=40)
@given(
    CHANNELS, st.integers(1, 70), st.sampled_from([1, 2, 3]), st.integers(1, 3), st.integers(0, 2),
    st.sampled_from([(6, 5), (11, 9)]), st.integers(0, 10_000), st.sampled_from(KERNELS),
)  # fmt: skip
def test_any_shape_of_convolution(channels, filters, kernel, stride, padding, sides, seed, name):
    torch.manual_seed(seed)
    conv = BinaryConv2d(
        channels, filters, kernel, stride, padding, scaling=NoScale(), input_quantizer=approx_sign
    )
    net = nn.Sequential(conv).eval()
    x = torch.randn(2, channels, *sides)
    assert torch.equal(pack(net, name)(x), net(x))


@torch.inference_mode()
@settings(max_examples=40)
@given(
    st.integers(1, 3), st.sampled_from([1, 5, 32, 70]), st.sampled_from([1, 3, (2, 3), 5]),
    st.integers(1, 3), st.integers(0, 2), st.sampled_from([1, 2, 7]), st.integers(0, 10_000),
)  # fmt: skip
def test_a_float_convolution_has_the_signs_that_torch_gives(
    channels, filters, kernel, stride, padding, batch, seed
):
    torch.manual_seed(seed)
    conv = nn.Conv2d(channels, filters, kernel, stride, padding, bias=False)
    middle = Sign(), BinaryConv2d(filters, 3, 1, scaling=NoScale())
    net = settled(nn.Sequential(conv, nn.BatchNorm2d(filters), *middle), channels, 11, 9)
    x = torch.randn(batch, channels, 11, 9)
    packed = pack(net)
    assert [type(stage) for stage in packed.stages] == [FloatToSigns, BinaryStage]
    assert torch.equal(packed.stages[0](x).unpacked(), net[:3](x))
    assert torch.equal(packed(x), net(x))


@torch.inference_mode()
def test_torch_computes_the_floats_where_no_order_is_its_own(monkeypatch):
    torch.manual_seed(4)
    net, x = settled(vgg_small_like(), 3, 12, 12), torch.randn(5, 3, 12, 12)
    known = pack(net)(x)
    monkeypatch.setattr("greenai_nb.nets.packed.net.ORDERS", ((2, 1, 0),))
    packed = pack(net)
    assert torch.equal(packed(x), known)
    assert list(packed.stages[0].found.values()) == [None]


@torch.inference_mode()
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sign", [1, -1])
def test_pooling_and_norm_without_a_sign_are_folded_for_scales_of_both_signs(kernel, sign):
    torch.manual_seed(6)
    net = settled(vgg_small_like(), 3, 12, 12)
    net[7].scaling = LearnedScale((70, 1, 1))
    nn.init.constant_(net[7].scaling.factors[0], sign / 50)
    packed, x = pack(net, kernel), torch.randn(5, 3, 12, 12)
    assert len(packed.stages) == 5
    assert torch.allclose(packed(x), net(x), atol=1e-5)


SCALES = (
    [(9, 1, 1)],
    [(9, 6, 4)],
    [(9, 1, 1), (1, 6, 4)],
    [(9, 1, 1), (1, 6, 1), (1, 1, 4)],
    [(6, 1)],
)


@torch.inference_mode()
@settings(max_examples=60)
@given(
    st.sampled_from(SCALES), st.sampled_from(["pool, norm", "norm", "pool", "no sign"]),
    st.sampled_from(KERNELS), st.integers(0, 10_000),
)  # fmt: skip
def test_scales_of_rows_columns_and_entries_have_thresholds_of_their_own(shapes, after, name, seed):
    torch.manual_seed(seed)
    scaling = LearnedScale(*shapes)
    for number, factor in enumerate(scaling.factors):
        factor.data = torch.rand(factor.shape).round(decimals=1)  # a tenth or so are zero
        if number == 0 and factor.numel() == 9:
            factor.mul_(torch.randn(9, 1, 1).sign())
    layers = {"pool": nn.MaxPool2d(2, 1), "norm": nn.BatchNorm2d(9), "no sign": nn.MaxPool2d(2)}
    tail = [layers[each] for each in after.split(", ")] + [Sign()] * (after != "no sign")
    conv = BinaryConv2d(7, 9, 3, padding=1, scaling=scaling)
    net = settled(nn.Sequential(Sign(), conv, *tail), 7, 6, 4)
    x = torch.randn(3, 7, 6, 4)
    packed = pack(net, name)
    assert torch.equal(packed(x), net(x))
    assert after == "no sign" or [type(stage) for stage in packed.stages] == [ToSigns, BinaryStage]


@torch.inference_mode()
def test_a_scale_of_places_fits_images_of_one_size_only():
    net = nn.Sequential(Sign(), BinaryConv2d(3, 4, 1, scaling=LearnedScale((4, 6, 5))), Sign()).eval()
    with pytest.raises(ValueError, match=r"1: .* 6 x 5 .* 6 x 4"):
        pack(net)(torch.randn(2, 3, 6, 4))


LESSER = """
import torch
from packable import KERNELS, settled, vgg_like, vgg_small_like
from greenai_nb.nets.packed.pack import pack
for build, channels, side in ((vgg_like, 2, 8), (vgg_small_like, 3, 12)):
    torch.manual_seed(2)
    net, x = settled(build(), channels, side, side), torch.randn(3, channels, side, side)
    for name in NAMES:
        assert torch.allclose(pack(net, name)(x), net(x), atol=1e-5), (build, name)
"""


@pytest.mark.parametrize(
    ("cpu", "features", "names"),
    [
        ("nehalem", "+sse4.2,+popcnt", ["words", "carry_save"]),
        ("haswell", "+avx,+avx2,+fma,+popcnt", [*KERNELS]),
        ("skylake-avx512", "+avx,+avx2,+fma,+avx512f,+avx512bw,+avx512vl,+popcnt", [*KERNELS]),
    ],
)
def test_lesser_processors_give_the_same_answers(cpu, features, names, tmp_path):
    if not {name[1:] for name in features.split(",")} <= processor.features():
        pytest.skip(f"this processor is no {cpu}")
    settings = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", LESSER.replace("NAMES", repr(names))],
        env=os.environ | settings | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


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
