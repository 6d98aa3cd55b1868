"""Counts against torch's own counter where it can see, and against formulas by hand elsewhere."""

import copy
import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize, prune
from torch.utils.flop_counter import FlopCounterMode

from greenai_nb.nets.architectures import (
    cnn,
    mlp,
    shallow_binary_cnn,
    vgg_small,
    xnor_cnn,
    xnor_vgg_small,
)
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear, Sign
from greenai_nb.nets.counts import count
from greenai_nb.nets.inception import inception_v3
from greenai_nb.nets.mobilenet import mobilenet_v2
from greenai_nb.nets.packed.pack import pack
from greenai_nb.nets.quantize import (
    DoReFa,
    EqualSteps,
    QuantizedActivation,
    QuantizedLinear,
    dorefa_mlp,
)
from greenai_nb.nets.scaling import LearnedScale, MeanScaleWithInputMap, NoScale
from greenai_nb.nets.sign import plain_sign, ste_sign

pytestmark = pytest.mark.usefixtures("one_thread")

CIFAR = (2, 3, 32, 32)


def by_torch(net: nn.Module, images: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(images)
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


def only(net: nn.Module, *shape: int, **more):
    """The one row of a single layer."""
    (row,) = count(net, torch.zeros(shape), **more).to_dict("records")
    return row


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (partial(mlp, 784, 30, bias=True), (5, 1, 28, 28)),
        (partial(cnn, 4), (3, 1, 28, 28)),
        (vgg_small, CIFAR),
        (mobilenet_v2, (1, 3, 224, 224)),
        (inception_v3, (1, 3, 299, 299)),
    ],
)
def test_dense_passes_agree_with_torch(build, shape):
    with torch.device("meta"):
        net, images = build(), torch.empty(shape)
    table = count(net, images)
    assert table["macs"].sum() == table["nonzero_macs"].sum() == by_torch(net, images)
    assert table["weights"].sum() == sum(weight.numel() for weight in net.parameters())
    assert table[["signed_additions", "bit_operations", "integer_operations"]].to_numpy().sum() == 0


def test_large_networks_count_what_the_papers_say():
    net = mobilenet_v2()
    assert count(net, torch.zeros(2, 3, 224, 224))["macs"].sum() == 2 * 300_774_272
    assert net.training


def test_vgg_small_counts_by_kind():
    table = count(xnor_vgg_small(), torch.zeros(1, 3, 32, 32))
    assert table["macs"].sum() == 3_538_944 + 81_920
    binary = table[table["kind"] == "BinaryConv2d"]
    assert binary["bit_operations"].sum() == 603_979_776
    assert binary["weight_bytes"].sum() == (4_574_592 - 3_456) // 8 + 4 * (128 + 256 + 256 + 512 + 512)


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 2),
    st.booleans(),
)
@settings(max_examples=40)
def test_convolutions_of_any_shape_agree_with_torch(groups, inner, outer, kernel, stride, padding, bias):
    conv = nn.Conv2d(groups * inner, groups * outer, kernel, stride, padding, groups=groups, bias=bias)
    x = torch.zeros(2, groups * inner, 7, 5)
    row = only(conv, *x.shape)
    y = conv(x)
    assert row["macs"] == by_torch(conv, x) == y.numel() * inner * kernel**2
    assert row["additions"] == bias * y.numel()
    assert (
        row["weight_bytes"] == 4 * row["weights"] == 4 * sum(part.numel() for part in conv.parameters())
    )
    assert (row["inputs"], row["outputs"]) == (x.numel(), y.numel())
    assert (row["input_bytes"], row["output_bytes"]) == (4 * x.numel(), 4 * y.numel())


def test_a_linear_layer_on_sequences():
    row = only(nn.Linear(6, 4), 2, 5, 6)
    assert (row["macs"], row["additions"]) == (2 * 5 * 24, 2 * 5 * 4)


@given(st.integers(1, 40), st.integers(1, 20), st.integers(1, 3))
@settings(max_examples=20)
def test_a_binary_linear_layer_by_what_goes_in(inputs, units, batch):
    products = batch * inputs * units
    plain = only(BinaryLinear(inputs, units), batch, inputs)
    assert (plain["signed_additions"], plain["bit_operations"], plain["macs"]) == (products, 0, 0)
    assert plain["multiplications"] == batch * units
    assert plain["weight_bytes"] == math.ceil(inputs * units / 8) + 4 * units
    own = only(BinaryLinear(inputs, units, input_quantizer=ste_sign), batch, inputs)
    assert (own["signed_additions"], own["bit_operations"]) == (0, products)
    assert own["additions"] == batch * inputs
    assert own["input_bytes"] == 4 * batch * inputs
    table = count(nn.Sequential(Sign(), BinaryLinear(inputs, units)), torch.zeros(batch, inputs))
    assert table["bit_operations"].tolist() == [0, products]
    assert table["additions"].tolist() == [batch * inputs, 0]
    bits = math.ceil(batch * inputs / 8)
    assert (table["output_bytes"][0], table["input_bytes"][1]) == (bits, bits)


PLACES, OUT = 2 * 36, 2 * 36 * 4


@pytest.mark.parametrize(
    ("scaling", "additions", "multiplications", "stored", "learned"),
    [
        (NoScale(), 0, 0, 0, 0),
        (None, 0, OUT, 4, 0),
        (MeanScaleWithInputMap(3, 1, 1), PLACES * 3 + PLACES * 9, PLACES + 2 * OUT, 4, 0),
        (LearnedScale((4, 1, 1)), 0, OUT, 4, 4),
        (LearnedScale((4, 1, 1), (1, 6, 1), (1, 1, 6)), 0, 3 * OUT, 16, 16),
    ],
)
def test_scalings_of_a_binary_convolution(scaling, additions, multiplications, stored, learned):
    row = only(BinaryConv2d(3, 4, 3, 1, 1, scaling=scaling), 2, 3, 6, 6)
    assert row["signed_additions"] == OUT * 27
    assert (row["additions"], row["multiplications"]) == (additions, multiplications)
    assert row["weight_bytes"] == math.ceil(108 / 8) + 4 * stored
    assert row["weights"] == 108 + learned


@pytest.mark.parametrize(
    ("layer", "additions", "multiplications"),
    [
        (nn.ReLU(), 96, 0),
        (nn.ReLU6(), 2 * 96, 0),
        (Sign(), 96, 0),
        (nn.BatchNorm2d(3), 96, 96),
        (nn.MaxPool2d(2), 24 * 3, 0),
        (nn.MaxPool2d((1, 2)), 48, 0),
        (nn.AvgPool2d(2), 24 * 3, 24),
        (nn.AdaptiveAvgPool2d(1), 96 - 6, 6),
        (nn.AdaptiveAvgPool2d((3, 2)), 6 * (6 * 4 - 6), 6 * 6),  # windows of 2 overlap on 4 places for 3
        (nn.AdaptiveMaxPool2d(2), 96 - 24, 0),
        (nn.Flatten(), 0, 0),
        (nn.Dropout(), 0, 0),
        (nn.Identity(), 0, 0),
        (nn.Softplus(), 0, 0),
    ],
)
def test_layers_without_products(layer, additions, multiplications):
    row = only(layer, 2, 3, 4, 4)
    assert (row["additions"], row["multiplications"]) == (additions, multiplications)
    assert row["macs"] == row["bit_operations"] == row["signed_additions"] == 0
    assert row["input_bytes"] == 4 * 96
    assert row["weight_bytes"] == (4 * 4 * 3 if isinstance(layer, nn.BatchNorm2d) else 0)


def test_signs_stay_signs_until_a_layer_makes_numbers_of_them():
    layers = Sign(), nn.MaxPool2d(2), nn.Dropout(), nn.Flatten(), BinaryLinear(12, 5), BinaryLinear(5, 4)
    table = count(nn.Sequential(*layers), torch.zeros(2, 3, 4, 4))
    assert table["output_bytes"].tolist() == [12, 3, 3, 3, 40, 32]
    assert table["bit_operations"].tolist() == [0, 24 * 3, 0, 0, 120, 0]
    assert table["signed_additions"].tolist() == [0, 0, 0, 0, 0, 40]
    assert (
        count(nn.Sequential(Sign(), nn.ReLU(), BinaryLinear(4, 2)), torch.zeros(1, 4))["bit_operations"]
        .eq(0)
        .all()
    )


def test_float_weights_multiply_signs_too():
    table = count(xnor_cnn(4), torch.zeros(3, 1, 28, 28))
    assert table["macs"].tolist()[-1] == 3 * 10 * 8 * 49
    net, images = xnor_cnn(4), torch.zeros(3, 1, 28, 28)
    assert table[["macs", "signed_additions", "bit_operations"]].to_numpy().sum() == by_torch(
        net, images
    )
    table = count(shallow_binary_cnn(4), images)
    assert table["signed_additions"].sum() == 3 * 4 * 36 * 64 and table["bit_operations"].sum() == 0


def test_zeros_are_seen_where_they_save_products():
    net, images = cnn(4), torch.zeros(2, 1, 28, 28)
    with torch.no_grad():
        net[3].weight.view(-1)[:100] = 0
    table = count(net, images)
    saved = table["macs"] - table["nonzero_macs"]
    assert saved.tolist() == [0, 0, 0, 2 * 49 * 100, 0, 0, 0, 0]
    assert table["weight_bytes"][3] == 4 * net[3].weight.numel()


class Half(nn.Module):
    def forward(self, weight):
        return weight * (torch.arange(weight.numel()).view_as(weight) % 2)


@pytest.mark.parametrize("after_a_pass", [False, True])
def test_masks_of_torch_are_seen_and_left_alone(after_a_pass):
    masked, parametrized = mlp(16, 6, 4), mlp(16, 6, 4)
    prune.random_unstructured(masked[1], "weight", 0.25)
    parametrize.register_parametrization(parametrized[1], "weight", Half())
    images = torch.rand(3, 16)
    for net, kept in ((masked, 72), (parametrized, 48)):
        if after_a_pass:
            net(images)
        table = count(net, images)
        assert table["nonzero_macs"].tolist() == [0, 3 * kept, 0, 3 * 24]
        assert table["macs"].tolist() == [0, 3 * 96, 0, 3 * 24]
        assert net[1].weight.count_nonzero() == kept and not net[1].weight.is_meta


def random_sign(x, generator=None):
    return plain_sign((x + 1) / 2 - torch.rand(x.shape, generator=generator))


def test_counting_leaves_the_network_and_torchs_randomness_as_they_were():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.BatchNorm1d(6),
        Sign(random_sign),
        BinaryLinear(
            6, 3, kernel_quantizer=partial(random_sign, generator=torch.Generator().manual_seed(1))
        ),
        BinaryLinear(3, 2, kernel_quantizer=random_sign, input_quantizer=random_sign),
    )
    drawn, before = net[2].kernel_quantizer.keywords["generator"], copy.deepcopy(net.state_dict())
    images = torch.rand(4, 6)
    states = torch.get_rng_state(), drawn.get_state()
    assert count(net, images)["bit_operations"].sum() == 4 * (18 + 6)
    assert torch.equal(torch.get_rng_state(), states[0]) and torch.equal(drawn.get_state(), states[1])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training and not any(module._forward_hooks for module in net.modules())
    assert net[2].kernel_quantizer.keywords["generator"] is drawn


@pytest.mark.parametrize("build", [xnor_cnn, shallow_binary_cnn])
def test_a_large_batch_costs_in_proportion_and_weights_once(build):
    one, many = (count(build(4), torch.zeros(batch, 1, 28, 28)) for batch in (8, 800))
    fixed = ["layer", "kind", "weights", "weight_bytes"]
    assert one[fixed].equals(many[fixed])
    assert (100 * one.drop(columns=fixed)).equals(many.drop(columns=fixed))


def test_a_layer_used_twice_works_twice_and_is_stored_once():
    shared = nn.Linear(5, 5)
    table = count(nn.Sequential(shared, nn.ReLU(), shared), torch.zeros(2, 5))
    assert table["layer"].tolist() == ["0", "1"]
    assert table["macs"].tolist() == [100, 0]
    assert (table["weights"][0], table["weight_bytes"][0], table["inputs"][0]) == (30, 120, 20)


def test_the_width_of_a_number_is_the_callers():
    whole, small = (
        only(nn.Conv2d(3, 4, 3), 1, 3, 6, 6),
        only(nn.Conv2d(3, 4, 3), 1, 3, 6, 6, number_bytes=1),
    )
    for column in ("weight_bytes", "input_bytes", "output_bytes"):
        assert whole[column] == 4 * small[column]
    row = only(BinaryLinear(16, 4), 1, 16, number_bytes=2)
    assert row["weight_bytes"] == 8 + 2 * 4


def test_a_packed_network_counts_its_bits():
    torch.manual_seed(0)
    net, images = xnor_cnn(5).eval(), torch.zeros(30, 1, 28, 28)
    net[5] = Sign()
    packed = pack(net)
    table = count(packed, images)
    assert table["kind"].tolist() == ["FloatToSigns", "BinaryStage", "FloatStage", "FloatStage"]
    sums = 30 * 10 * 49
    stage = table.iloc[1]
    assert stage["bit_operations"] == sums * 45 + sums  # products, and a flip for each output
    assert stage["integer_operations"] == sums
    assert table["macs"].tolist() == count(net, images)["macs"].iloc[[0, 3, 6, 7]].tolist()
    assert table["weight_bytes"].tolist() == [stage.size_bytes for stage in packed.stages]
    assert stage["input_bytes"] == 30 * 14 * 14 and stage["output_bytes"] == 30 * 7 * 7 * 2
    assert table["weights"].sum() == 0


def test_a_folded_batch_norm_is_a_product_and_a_sum_for_each_output():
    net = nn.Sequential(Sign(), BinaryConv2d(3, 6, 3), nn.BatchNorm2d(6)).eval()
    stage = count(pack(net), torch.zeros(2, 3, 8, 8)).iloc[-1]
    assert stage[["multiplications", "additions"]].tolist() == [2 * 6 * 36] * 2


def test_packed_pools_tails_and_linear_stages():
    net = nn.Sequential(
        Sign(),
        BinaryConv2d(3, 6, 3, 2, 1),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(6),
        Sign(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        BinaryLinear(24, 7),
    ).eval()
    table = count(pack(net), torch.zeros(1, 3, 16, 16))
    kinds = ["ToSigns", "BinaryStage", "OrPool", "FlattenSigns", "BinaryStage"]
    assert table["kind"].tolist() == kinds
    places, pooled = 6 * 64, 6 * 16
    conv = places * 27 + 3 * pooled + pooled  # products, ORs of four, flips
    assert table["bit_operations"].tolist() == [0, conv, 3 * 24, 0, 7 * 24]
    assert table["integer_operations"].tolist() == [0, places, 0, 0, 7]
    assert table["additions"].tolist() == [3 * 256, 0, 0, 0, 0]
    assert table["multiplications"].tolist() == [0, 0, 0, 0, 7]


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
        self.inner = nn.Linear(3, 3)

    def forward(self, x):
        return self.inner(x) * self.gain


class OddScale(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, y, weight, x):
        return y * self.gain


def test_layers_with_weights_and_no_rule_are_named():
    for net, name in (
        (nn.Sequential(nn.Flatten(), nn.PReLU()), "1: PReLU"),
        (nn.Sequential(Odd()), "0: Odd"),
        (nn.Sequential(nn.Flatten(), BinaryLinear(3, 3, scaling=OddScale())), "scaling: OddScale"),
        (nn.LayerNorm(3), "network: LayerNorm"),
    ):
        with pytest.raises(TypeError, match=f"{name} holds weights"):
            count(net, torch.zeros(2, 3))


class Uncalled(nn.Module):
    """A network whose first layer is used by a function, or not at all."""

    def __init__(self, layer, functional):
        super().__init__()
        self.layer, self.functional, self.head = layer, functional, nn.Linear(8, 4)

    def forward(self, x):
        return self.head(nn.functional.linear(x, self.layer.weight) if self.functional else x)


@pytest.mark.parametrize("layer", [nn.Linear(8, 8), BinaryLinear(8, 8), nn.BatchNorm1d(8)])
@pytest.mark.parametrize("functional", [True, False])
def test_a_layer_that_is_never_called_has_its_weights_and_a_warning(layer, functional):
    functional = functional and layer.weight.ndim == 2
    with pytest.warns(UserWarning, match="^layer: never called as layers"):
        table = count(Uncalled(layer, functional), torch.zeros(3, 8)).set_index("layer")
    assert table.weights["layer"] == sum(weight.numel() for weight in layer.parameters())
    assert table.weight_bytes["layer"] > 0
    others = ["macs", "bit_operations", "additions", "multiplications", "inputs", "output_bytes"]
    assert not table.loc["layer", others].any() and table.macs["head"] == 3 * 8 * 4


def test_images_must_be_a_tensor():
    with pytest.raises(TypeError, match=r"images .* got list"):
        count(mlp(3, 2), [[1.0, 2.0, 3.0]])


class Reshaping(nn.Module):
    def forward(self, x):
        return x.view(len(x), -1)


def test_a_network_that_cannot_take_an_empty_batch_is_counted_on_the_meta_device():
    net = nn.Sequential(Reshaping(), nn.Linear(12, 3))
    with pytest.raises(RuntimeError) as caught:
        count(net, torch.zeros(2, 3, 4))
    assert "meta" in caught.value.__notes__[0]
    assert count(net, torch.zeros(2, 3, 4, device="meta"))["macs"].sum() == 2 * 36


def test_a_tensor_that_a_layer_writes_over_holds_no_signs():
    net = nn.Sequential(Sign(), nn.ReLU(inplace=True), BinaryLinear(4, 2))
    table = count(net, torch.zeros(1, 4))
    assert table["signed_additions"].tolist() == [0, 0, 8] and table["input_bytes"][2] == 16


def test_products_of_few_bits_take_as_many_bit_operations_as_dorefa_counts():
    net = nn.Sequential(QuantizedActivation(2), nn.Flatten(), QuantizedLinear(12, 5, DoReFa(3)))
    activation, _, layer = count(net, torch.zeros(4, 3, 4)).to_dict("records")
    assert activation["output_bytes"] == 4 * 12 * 2 // 8
    assert layer["bit_operations"] == 4 * 5 * 12 * 3 * 2 and layer["macs"] == 0
    assert layer["weight_bytes"] == -(-5 * 12 * 3 // 8) and layer["input_bytes"] == 4 * 12 * 2 // 8


def test_few_bits_of_weights_alone_save_bytes_and_one_bit_the_products():
    one = only(QuantizedLinear(12, 5, DoReFa(1)), 4, 12)
    assert one["signed_additions"] == 4 * 5 * 12 and one["macs"] == 0 and one["weight_bytes"] == 8
    layer = QuantizedLinear(12, 5, EqualSteps(3, 1.0), bias=True)
    with torch.no_grad():
        layer.weight.zero_()[0, 0] = 1
    ternary = only(layer, 4, 12)
    assert (ternary["macs"], ternary["nonzero_macs"]) == (4 * 5 * 12, 4)
    assert (ternary["weight_bytes"], ternary["additions"]) == (5 * 12 * 2 // 8 + 5 * 4, 4 * 5)
    real = only(QuantizedLinear(12, 5, DoReFa(32)), 4, 12)
    assert real["macs"] == 4 * 5 * 12 and real["weight_bytes"] == 4 * 5 * 12


def test_a_network_of_few_bits_is_counted_whole_on_any_device_and_packed():
    net = dorefa_mlp(784, 20, weight=4, activation=2, gradient=6, seed=0).eval()
    real = count(net, torch.zeros(2, 1, 28, 28))
    assert real.equals(count(net, torch.empty(2, 1, 28, 28, device="meta")))
    packed = count(pack(net), torch.zeros(2, 1, 28, 28))
    assert packed["macs"].sum() == 2 * (784 * 20 + 20 * 10)
    assert packed["weight_bytes"].max() == 784 * 20 // 2 + 4 * 16
