"""Packed networks against their float simulation, and thresholds against rational arithmetic."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from greenai_nb.nets import packed_file
from greenai_nb.nets.architectures import xnor_cnn
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear, Sign
from greenai_nb.nets.pack import PackingError, ScaleUnits, float_thresholds_of, pack, thresholds_of
from greenai_nb.nets.packed import BinaryStage
from greenai_nb.nets.packed_file import PackedFileError
from greenai_nb.nets.scaling import LearnedScale, MeanScaleWithInputMap, NoScale
from greenai_nb.nets.sign import approx_sign, stochastic_sign

KERNELS = ("words", "lookup", "carry_save")


def settled(net, *shape):
    """A network whose batch norms have seen data, with gammas of both signs and one that is zero."""
    for _ in range(3):
        net(torch.randn(30, *shape))
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias, std=0.2)
            layer.weight.data[0] = 0
    return net.eval()


def vgg_like():
    """Every order of pooling, norm and sign that pack knows."""
    return nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1),
        nn.BatchNorm2d(5),
        Sign(),
        BinaryConv2d(5, 9, 3, padding=1),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(9),
        Sign(),
        nn.Sequential(
            BinaryConv2d(9, 70, 3, stride=2, padding=1, scaling=NoScale()), nn.BatchNorm2d(70)
        ),
        Sign(),
        nn.MaxPool2d(2, 1),
        nn.Flatten(),
        BinaryLinear(70, 6, scaling=LearnedScale((6,))),
        nn.BatchNorm1d(6),
        Sign(),
        nn.Linear(6, 3),
    )


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
    monkeypatch.setattr("greenai_nb.nets.packed.NUMBERS_AT_ONCE", numbers)
    for threads in (1, 3):
        assert torch.allclose(replace(packed, threads=threads)(x), whole, atol=1e-6)
    with pytest.raises(ValueError, match="threads must be"):
        replace(packed, threads=0)


def test_no_images_have_no_answers():
    net = settled(vgg_like(), 2, 8, 8)
    assert torch.equal(pack(net)(torch.empty(0, 2, 8, 8)), net(torch.empty(0, 2, 8, 8)))


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
    tail = nn.Sequential(ScaleUnits(torch.tensor(alpha)), norm)
    thresholds, flips = thresholds_of(tail, length, units, image=False)
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


def test_sizes_are_reported_by_layer_and_weights_are_32_times_smaller():
    net = nn.Sequential(
        Sign(), BinaryConv2d(64, 64, 3, scaling=NoScale()), nn.BatchNorm2d(64), Sign()
    ).eval()
    for kernel in KERNELS:
        stage = pack(net, kernel).stages[1]
        assert 32 * stage.weights.panels.nbytes == 4 * net[1].weight.numel()
        assert stage.size_bytes == stage.weights.panels.nbytes + 64 * 4 + 64 // 8 + 64 * 9 * 4


def test_what_cannot_be_packed_is_named():
    net = xnor_cnn(4)
    with pytest.raises(PackingError, match=r"training mode: call net.eval\(\)"):
        pack(net)
    with pytest.raises(PackingError, match=r"pack takes a Sequential of .* got Linear"):
        pack(nn.Linear(3, 3))
    with pytest.raises(PackingError, match="1: Dropout cannot be packed"):
        pack(nn.Sequential(Sign(), nn.Dropout(), BinaryLinear(3, 3)).eval())
    with pytest.raises(PackingError, match="0: its input is not signs"):
        pack(nn.Sequential(BinaryLinear(3, 3)).eval())
    with pytest.raises(PackingError, match="no binary layer"):
        pack(nn.Sequential(nn.Linear(3, 3)).eval())
    mapped = BinaryConv2d(3, 3, 3, input_quantizer=approx_sign, scaling=MeanScaleWithInputMap(3))
    with pytest.raises(PackingError, match="0: MeanScaleWithInputMap differs from place to place"):
        pack(nn.Sequential(mapped).eval())
    with pytest.raises(PackingError, match="0: the estimator must give plain signs"):
        pack(nn.Sequential(Sign(stochastic_sign), BinaryLinear(3, 3)).eval())
    grouped = nn.Sequential(Sign(), nn.MaxPool2d(2, padding=1), BinaryConv2d(3, 3, 3)).eval()
    with pytest.raises(PackingError, match="1: pack needs square pooling"):
        pack(grouped)


def test_bad_inputs_are_refused():
    packed = pack(nn.Sequential(Sign(), BinaryLinear(3, 3)).eval())
    with pytest.raises(TypeError, match=r"tensor of floats, got torch\.int64"):
        packed(torch.ones(1, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="NaN or infinite"):
        packed(torch.tensor([[1.0, float("nan"), 0.0]]))
    with pytest.raises(ValueError, match="1: expects 3 channels, got 5"):
        packed(torch.ones(1, 5))


@pytest.mark.parametrize("build", [vgg_like, lambda: nn.Sequential(Sign(), BinaryLinear(9, 4))])
def test_a_saved_network_comes_back_on_any_kernel(build, tmp_path):
    torch.manual_seed(7)
    net = build().eval()
    x = torch.randn(3, 2, 8, 8) if len(net) > 2 else torch.randn(3, 9)
    packed_file.save(pack(net), tmp_path / "net.npz")
    for kernel in KERNELS:
        again = packed_file.load(tmp_path / "net.npz", kernel)
        assert torch.equal(again(x), pack(net, kernel)(x))
        assert packed_file.sizes(again) == packed_file.sizes(pack(net, kernel))
    assert [path.name for path in tmp_path.iterdir()] == ["net.npz"]


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "net.npz"
    packed_file.save(pack(settled(vgg_like(), 2, 8, 8)), path)
    whole = path.read_bytes()
    for damaged in (whole[:-200], whole[: len(whole) // 2], b"", b"PK nothing", whole[200:]):
        path.write_bytes(damaged)
        with pytest.raises(PackedFileError, match=r"net\.npz: this is no packed network"):
            packed_file.load(path)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    path.write_bytes(flipped)
    with pytest.raises(PackedFileError):
        packed_file.load(path)
    np.savez(path, network=np.array('{"format": 99, "stages": []}'))
    with pytest.raises(PackedFileError, match="has format 99, this version reads 1"):
        packed_file.load(path)
    with pytest.raises(FileNotFoundError):
        packed_file.load(tmp_path / "none.npz")


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
