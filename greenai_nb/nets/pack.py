"""Turn a trained binary network into a ``PackedNet``, layer by layer.

Scale, batch norm and sign after a product of signs are folded into a threshold for each unit, and so are
batch norm and sign after a float layer. It is found by asking those layers themselves: so both signs of
gamma, gamma zero, ties and every rounding come out as in the float network.
"""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32, Int64
from numpy import ndarray as Array
from torch import Tensor, nn

from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear, Sign
from greenai_nb.nets.kernels.product import pack_signs, pack_weights
from greenai_nb.nets.packed import (
    BinaryStage,
    FlattenSigns,
    FloatStage,
    OrPool,
    PackedNet,
    Stage,
    ToSigns,
)
from greenai_nb.nets.scaling import LearnedScale, MeanScale, NoScale, scale
from greenai_nb.nets.sign import approx_sign, identity_sign, ste_sign

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
FLOAT_LAYERS = (nn.Conv2d, nn.Linear, *NORMS, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.Flatten)
SIGNS = (ste_sign, approx_sign, identity_sign)
NETS = "a Sequential of Conv2d, Linear, BatchNorm, ReLU, MaxPool2d, AvgPool2d, Flatten, Sign, BinaryConv2d, BinaryLinear"  # noqa: E501

Named = tuple[str, nn.Module]


class PackingError(ValueError):
    """A layer that cannot be packed; the message names it and says what to do."""


class ScaleUnits(nn.Module):
    """Multiply the product of each unit by its scale."""

    def __init__(self, factor: Float[Tensor, " units"]) -> None:
        super().__init__()
        self.factor = nn.Parameter(factor.clone(), requires_grad=False)

    def forward(self, y: Tensor) -> Tensor:
        return y * self.factor.view(-1, *[1] * (y.ndim - 2))


@torch.no_grad()
def pack(net: nn.Sequential, kernel: str | None = None) -> PackedNet:
    """The network on bits, for the fastest kernel of this processor unless one is named.

    Outputs equal those of ``net`` in evaluation mode up to the rounding of the last float layer; the
    integers inside are the same. Raises ``PackingError`` for a network in training mode and for a layer
    that it does not know, by name.
    """
    if not isinstance(net, nn.Sequential):
        raise PackingError(f"pack takes {NETS}, got {type(net).__name__}")
    if net.training:
        raise PackingError("the network is in training mode: call net.eval() before pack")
    layers, stages, binary, signed = _flat(net, ""), list[Stage](), False, False
    while layers:
        name, layer = layers.pop(0)
        if isinstance(layer, BinaryConv2d | BinaryLinear):
            if layer.input_quantizer and not signed:
                _check_sign(name, layer.input_quantizer)
                stages.append(ToSigns(name))
                signed = True
            if not signed:
                raise PackingError(f"{name}: its input is not signs, put Sign() before it")
            stage = _binary_stage(name, layer, layers, kernel)
            stages.append(stage)
            signed, binary = stage.thresholds is not None, True
        elif isinstance(layer, Sign):
            _check_sign(name, layer.estimator)
            if not signed:
                stages.append(ToSigns(name))
            signed = True
        elif isinstance(layer, NORMS) and not signed and _next_is(layers, Sign):
            _check_sign(layers[0][0], layers[0][1].estimator)
            name, _ = layers.pop(0)
            thresholds, flips = float_thresholds_of(layer)
            stages.append(ToSigns(name, thresholds, pack_signs(flips)))
            signed = True
        elif signed and isinstance(layer, nn.MaxPool2d):
            stages.append(OrPool(name, *_pool(name, layer)))
        elif signed and isinstance(layer, nn.Flatten) and _next_is(layers, BinaryLinear):
            stages.append(FlattenSigns(name))
        elif isinstance(layer, FLOAT_LAYERS):
            stages.append(FloatStage(name, copy.deepcopy(layer)))
            signed = False
        else:
            raise PackingError(f"{name}: {type(layer).__name__} cannot be packed, pack takes {NETS}")
    if not binary:
        raise PackingError("the network has no binary layer, there is nothing to pack")
    return PackedNet(stages)


def _binary_stage(
    name: str, layer: BinaryConv2d | BinaryLinear, rest: list[Named], kernel: str | None
) -> BinaryStage:
    """The stage of a binary layer, with what follows it up to a sign, taken from ``rest``."""
    _check_sign(name, layer.kernel_quantizer)
    positive = layer.weight >= 0
    bits = pack_signs(positive.movedim(1, -1).numpy()).reshape(len(positive), -1)
    weights = pack_weights(bits, positive[0].numel(), kernel)
    sums, stride, padding = None, 1, 0
    if isinstance(layer, BinaryConv2d):
        sums = (2.0 * positive - 1).sum(1, keepdim=True)
        stride, padding = _places(name, layer)
    pooled = None
    if rest and isinstance(rest[0][1], nn.MaxPool2d):
        pooled = _pool(rest[0][0], rest[0][1])
    after = rest[1:] if pooled else rest
    norms = 1 if after and isinstance(after[0][1], NORMS) else 0
    tail = nn.Sequential(*_scaling(name, layer), *(norm for _, norm in after[:norms]))
    if _next_is(after[norms:], Sign):
        _check_sign(after[norms][0], after[norms][1].estimator)
        del rest[: len(rest) - len(after) + norms + 1]
        thresholds, flips = thresholds_of(tail, weights.length, weights.outputs, sums is not None)
        return BinaryStage(
            name, weights, sums, stride, padding, pooled, thresholds, pack_signs(flips), nn.Sequential()
        )
    tail = nn.Sequential(*_scaling(name, layer))
    return BinaryStage(name, weights, sums, stride, padding, None, None, None, tail)


def thresholds_of(
    tail: nn.Module, length: int, units: int, image: bool
) -> tuple[Int32[Array, " units"], Bool[Array, " units"]]:
    """For each unit the least integer at which the sign of ``tail`` turns, and the sign before it.

    The sign of tail(y) is (y >= threshold) xor flip for every y in [-length, length]. A unit whose sign
    never turns has a threshold that y never reaches.
    """

    def positive(y: Int64[Array, " units"]) -> Bool[Array, " units"]:
        return _positive(tail, y.astype(np.float32), image)

    thresholds, flips = _turns(positive, -length, length + 1, units)
    return thresholds.astype(np.int32), flips


def float_thresholds_of(
    norm: nn.BatchNorm1d | nn.BatchNorm2d,
) -> tuple[Float32[Array, " channels"], Bool[Array, " channels"]]:
    """For each channel the least float at which the sign of a batch norm turns, and the sign before.

    Where the sign never turns the threshold is infinite.
    """

    def positive(places: Int64[Array, " channels"]) -> Bool[Array, " channels"]:
        return _positive(norm, _float_at(places), isinstance(norm, nn.BatchNorm2d))

    infinite = int(np.float32(np.inf).view(np.int32))
    turns, flips = _turns(positive, 1 - infinite, infinite, norm.num_features)
    return _float_at(turns), flips


def _turns(
    positive: Callable[[Int64[Array, " units"]], Bool[Array, " units"]], first: int, end: int, units: int
) -> tuple[Int64[Array, " units"], Bool[Array, " units"]]:
    """For each unit the least number in [first, end) whose sign is not that of ``first``, or ``end``.

    Scale and batch norm round, but they keep the order of numbers, or turn it all round where gamma is
    below zero. So a sign turns once, and halving the range finds where.
    """
    before, after = np.full(units, first), np.full(units, end)
    flips = positive(before)
    while (after - before > 1).any():
        middle = (before + after) // 2
        turned = positive(middle) != flips
        before, after = np.where(turned, before, middle), np.where(turned, middle, after)
    return after, flips


def _positive(layers: nn.Module, x: Float32[Array, " units"], image: bool) -> Bool[Array, " units"]:
    """The sign of one number for each unit after some layers, as the network would have it."""
    batch = torch.from_numpy(x)[None]
    found: Array = (layers(batch[..., None, None] if image else batch).flatten() >= 0).numpy()
    return found


def _float_at(places: Int64[Array, " channels"]) -> Float32[Array, " channels"]:
    """The floats with these places in the order of all floats; zero has place zero."""
    bits = np.abs(places).astype(np.int32).view(np.float32)
    return np.copysign(bits, places.astype(np.float32))


def _scaling(name: str, layer: BinaryConv2d | BinaryLinear) -> list[nn.Module]:
    scaling, units = layer.scaling, len(layer.weight)
    if isinstance(scaling, NoScale):
        return []
    if isinstance(scaling, MeanScale):
        return [ScaleUnits(scale(layer.weight))]
    if isinstance(scaling, LearnedScale) and len(scaling.factors) == 1:
        (factor,) = scaling.factors
        if factor.numel() == units:
            return [ScaleUnits(factor.flatten())]
    raise PackingError(
        f"{name}: {type(scaling).__name__} differs from place to place or with the input, and no "
        "integer threshold can hold that. Train with MeanScale, NoScale or one learned scale a channel"
    )


def _check_sign(name: str, estimator: object) -> None:
    if estimator not in SIGNS:
        known = ", ".join(each.__name__ for each in SIGNS)
        raise PackingError(
            f"{name}: the estimator must give plain signs, one of {known}, got {estimator}"
        )


def _places(name: str, layer: nn.Conv2d) -> tuple[int, int]:
    square = all(
        isinstance(pair, tuple) and pair[0] == pair[1]
        for pair in (layer.kernel_size, layer.stride, layer.padding)
    )
    if not square or layer.dilation != (1, 1) or layer.groups != 1 or layer.padding_mode != "zeros":
        raise PackingError(f"{name}: pack needs square kernels, zero padding, no dilation and one group")
    assert isinstance(layer.padding, tuple)
    return layer.stride[0], layer.padding[0]


def _pool(name: str, layer: nn.MaxPool2d) -> tuple[int, int]:
    plain = layer.padding == 0 and layer.dilation == 1 and not layer.ceil_mode
    if not (plain and isinstance(layer.kernel_size, int) and isinstance(layer.stride, int)):
        raise PackingError(f"{name}: pack needs square pooling without padding, dilation or ceil_mode")
    return layer.kernel_size, layer.stride


def _flat(net: nn.Sequential, prefix: str) -> list[Named]:
    """All layers in order with their names, nested Sequentials opened."""
    found: list[Named] = []
    for key, layer in net.named_children():
        name = f"{prefix}{key}"
        found += _flat(layer, f"{name}.") if isinstance(layer, nn.Sequential) else [(name, layer)]
    return found


def _next_is(layers: Sequence[Named], kind: type[nn.Module]) -> bool:
    return bool(layers) and isinstance(layers[0][1], kind)
