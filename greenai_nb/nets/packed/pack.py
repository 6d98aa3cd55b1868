"""Turn a trained binary network into a ``PackedNet``, layer by layer.

Scale, batch norm and sign after a product of signs are folded into a threshold for each unit, and for
each of its places if the scale differs among them; so are batch norm and sign after a float layer. It is
found by evaluating those layers themselves, so that both signs of gamma, gamma zero, ties and every
rounding agree with the float network. A batch norm without a sign after it is folded into the scale. A
unit whose scale is negative becomes one of opposite weights and positive scale.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int32, Int64
from numpy import ndarray as Array
from torch import Tensor, nn

from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear, Sign
from greenai_nb.nets.kernels.product import pack_signs, pack_weights
from greenai_nb.nets.packed.levels import PackedLinear
from greenai_nb.nets.packed.net import (
    BinaryStage,
    FlattenSigns,
    FloatStage,
    FloatToSigns,
    OrPool,
    PackedNet,
    Stage,
    ToSigns,
)
from greenai_nb.nets.quantize import (
    FLOAT_BITS,
    QuantizedActivation,
    QuantizedGradient,
    QuantizedLinear,
)
from greenai_nb.nets.scaling import LearnedScale, MeanScale, NoScale, by_unit, scale
from greenai_nb.nets.sign import approx_sign, identity_sign, ste_sign
from greenai_nb.nets.weights import copied, fold_batch_norm, has_hooks

Norm = nn.BatchNorm1d | nn.BatchNorm2d
PLAIN = Norm | nn.Conv2d | nn.Linear | nn.ReLU | nn.MaxPool2d | nn.AvgPool2d | nn.Flatten
SIGNS = (ste_sign, approx_sign, identity_sign)
NETS = "a Sequential of Conv2d, Linear, BatchNorm, ReLU, MaxPool2d, AvgPool2d, Flatten, Sign, BinaryConv2d, BinaryLinear and the quantized layers"  # noqa: E501

Layers = list[tuple[str, Any]]
Floats = Callable[[Int64[Array, "units *places"]], Float32[Array, "units *places"]]


class PackingError(ValueError):
    """A layer that cannot be packed; the message names it and says what to do."""


class Scaled(nn.Module):
    """Multiply by factors of these shapes, one after another."""

    def __init__(self, shapes: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.shapes = shapes
        self.factors = nn.ParameterList(torch.empty(*shape) for shape in shapes)

    def forward(self, y: Tensor) -> Tensor:
        for factor in self.factors:
            y = y * factor
        return y


FLOAT_LAYERS = PLAIN | QuantizedActivation | Scaled


@torch.no_grad()
def pack(net: nn.Sequential, kernel: str | None = None) -> PackedNet:
    """The network on bits, for the fastest kernel of this processor unless one is named.

    Outputs equal those of ``net`` in evaluation mode up to the rounding of the last float layer; the
    integers inside are the same. Raises ``PackingError`` for a network in training mode and for a layer
    that it does not know, by name, and what ``copied`` raises for weights that it refuses.
    """
    if not isinstance(net, nn.Sequential):
        raise PackingError(f"pack takes {NETS}, got {type(net).__name__}")
    if net.training:
        raise PackingError("the network is in training mode: call net.eval() before pack")
    net = copied(net)
    if has_hooks(net):
        raise PackingError("a layer has hooks, which pack cannot convert: remove them before pack")
    layers, stages = _flat(net, ""), list[Stage]()
    while layers:
        stage, layers = _pack_first(layers, bool(stages) and _gives_signs(stages[-1]), kernel)
        stages += [stage] if stage else []
    parts = (getattr(stage, "layer", stage) for stage in stages)
    if not any(isinstance(part, BinaryStage | PackedLinear) for part in parts):
        raise PackingError("the network has no binary or quantized layer, so there is nothing to pack")
    return PackedNet(stages)


def _gives_signs(stage: Stage) -> bool:
    if isinstance(stage, BinaryStage):
        return stage.thresholds is not None
    return isinstance(stage, FloatToSigns) or not isinstance(stage, FloatStage)


def _pack_first(layers: Layers, signed: bool, kernel: str | None) -> tuple[Stage | None, Layers]:
    """The stage of the first layer, on signs or floats, and the layers that are left."""
    match layers:
        case [(name, BinaryConv2d() | BinaryLinear() as layer), *rest] if signed:
            return _binary_stage(name, layer, rest, kernel)
        case [(name, BinaryConv2d() | BinaryLinear() as layer), *_]:
            if not layer.input_quantizer:
                raise PackingError(f"{name}: its input is not signs, so put Sign() before it")
            _check_sign(name, layer.input_quantizer)
            return ToSigns(name), layers
        case [(name, Sign() as layer), *rest]:
            _check_sign(name, layer.estimator)
            return None if signed else ToSigns(name), rest
        case [(_, norm), (name, Sign() as layer), *rest] if isinstance(norm, Norm) and not signed:
            _check_sign(name, layer.estimator)
            thresholds, flips = float_thresholds_of(norm)
            return ToSigns(name, thresholds, pack_signs(flips)), rest
        case [(name, nn.Conv2d() as conv), (_, norm), (last, Sign() as layer), *rest] if (
            isinstance(norm, Norm) and not signed
        ):
            _check_sign(last, layer.estimator)
            thresholds, flips = float_thresholds_of(norm)
            return FloatToSigns(name, conv, thresholds, pack_signs(flips)), rest
        case [(name, nn.MaxPool2d() as layer), *rest] if signed:
            return OrPool(name, *_pool(name, layer)), rest
        case [(name, nn.Flatten()), (_, BinaryLinear()), *_] if signed:
            return FlattenSigns(name), layers[1:]
        case [(name, QuantizedLinear() as layer), *rest] if layer.quantizer.bits < FLOAT_BITS:
            return FloatStage(name, PackedLinear.of(layer)), rest
        case [(_, QuantizedGradient()), *rest]:
            return None, rest
        case [(name, layer), *rest] if isinstance(layer, FLOAT_LAYERS):
            return FloatStage(name, layer), rest
    name, layer = layers[0]
    raise PackingError(f"{name}: {type(layer).__name__} cannot be packed, pack takes {NETS}")


def _binary_stage(
    name: str, layer: BinaryConv2d | BinaryLinear, rest: Layers, kernel: str | None
) -> tuple[BinaryStage, Layers]:
    """The stage of a binary layer and of all up to a sign that follows, and the layers that are left."""
    _check_sign(name, layer.kernel_quantizer)
    positive, scaling = _without_negative_scales(name, layer)
    units, length = len(positive), positive[0].numel()
    bits = pack_signs(positive.movedim(1, -1).numpy()).reshape(units, -1)
    weights = pack_weights(bits, length, kernel)
    shape = _shape(name, layer, positive) if isinstance(layer, BinaryConv2d) else {}
    factor = scaling(by_unit(torch.ones(units), layer.weight))
    pools, after = _take_if(nn.MaxPool2d, rest)
    norms, after = _take_if(Norm, after)
    if after and isinstance(after[0][1], Sign):
        _check_sign(after[0][0], after[0][1].estimator)
        tail = nn.Sequential(scaling, *(norm for _, norm in norms))
        thresholds, flips = thresholds_of(tail, length, factor.shape)
        levels = np.moveaxis(thresholds, 0, -1)
        shape["thresholds"] = levels if factor.numel() > units else levels.ravel()
        shape["pool"] = _pool(*pools[0]) if pools else None
        return BinaryStage(name, weights, flips=pack_signs(flips), **shape), after[1:]
    if factor.numel() > units:
        return BinaryStage(name, weights, **shape), [(f"{name}.scaling", scaling), *rest]
    if pools and _is_plain(pools[0][1]):
        shape["pool"], rest = _pool(*pools[0]), rest[1:]
    if rest and isinstance(rest[0][1], Norm) and rest[0][1].affine:
        norm, rest = fold_batch_norm(rest[0][1]), rest[1:]
        factor, shape["shift"] = norm.weight * factor.flatten(), norm.bias.numpy()
    if scaling.shapes or "shift" in shape:
        shape["scale"] = factor.flatten().numpy()
    return BinaryStage(name, weights, **shape), rest


def thresholds_of(
    tail: nn.Module, length: int, shape: Sequence[int]
) -> tuple[Int32[Array, "units *places"], Bool[Array, " units"]]:
    """For each output of this shape the least integer at which the sign of ``tail`` turns.

    The sign of tail(y) is (y >= threshold) xor flip for every y in [-length, length], where a unit has
    one flip for all its places. A sign that never turns has a threshold at the end, or beyond it.
    """
    searched = (-length, length + 1)
    thresholds, flips = _turns(tail, lambda y: y.astype(np.float32), searched, shape)
    return thresholds.astype(np.int32), flips


def float_thresholds_of(norm: Norm) -> tuple[Float32[Array, " channels"], Bool[Array, " channels"]]:
    """For each channel the least float at which the sign of a batch norm turns, and the sign before.

    Where the sign never turns the threshold is infinite, or the least float.
    """
    infinite = int(np.float32(np.inf).view(np.int32))
    shape = (norm.num_features, *[1, 1] * isinstance(norm, nn.BatchNorm2d))
    turns, flips = _turns(norm, _float_of_rank, (1 - infinite, infinite), shape)
    return _float_of_rank(turns.ravel()), flips


def _turns(
    layers: nn.Module, floats: Floats, searched: tuple[int, int], shape: Sequence[int]
) -> tuple[Int64[Array, "units *places"], Bool[Array, " units"]]:
    """For each output the least number at which its sign differs from its unit's flip, or the end.

    The numbers are ``searched``, from the first up to the end, and the layers see them as ``floats``.
    Scale and batch norm round, but they are monotone: they keep the order of numbers, or reverse it
    where gamma is negative, which flips the unit. So a sign turns at most once; bisection finds where.
    """

    def outputs(numbers: Int64[Array, "units *places"]) -> Float32[Array, "units *places"]:
        y: Tensor = layers(torch.from_numpy(floats(numbers))[None])[0]
        return y.numpy()

    (first, end), units = searched, shape[0]
    lowest, highest = (outputs(np.full(shape, n)).reshape(units, -1) for n in (first, end - 1))
    flips = np.any(lowest >= 0, 1) & np.all(highest <= lowest, 1)
    before, after = np.full(shape, first - 1), np.full(shape, end)
    while (after - before > 1).any():
        middle = (before + after + 1) // 2
        turned = (outputs(middle) >= 0) != flips.reshape(units, *[1] * (len(shape) - 1))
        before, after = np.where(turned, before, middle), np.where(turned, middle, after)
    return after, flips


def _float_of_rank(ranks: Int64[Array, " channels"]) -> Float32[Array, " channels"]:
    """The floats with these ranks among all floats in order; zero has rank zero."""
    bits = np.abs(ranks).astype(np.int32).view(np.float32)
    return np.copysign(bits, ranks.astype(np.float32))


def _factors(name: str, layer: BinaryConv2d | BinaryLinear) -> list[Tensor]:
    """The factors of a layer's scale, each of which broadcasts over the output for an image."""
    match layer.scaling:
        case NoScale():
            return []
        case MeanScale():
            return [by_unit(scale(layer.weight), layer.weight)]
        case LearnedScale():
            return [each.reshape(each.shape[1 - layer.weight.ndim :]) for each in layer.scaling.factors]
    varies = f"{name}: {type(layer.scaling).__name__} varies with the input, and thresholds cannot"
    raise PackingError(f"{varies}. Train with MeanScale, NoScale or LearnedScale")


def _without_negative_scales(
    name: str, layer: BinaryConv2d | BinaryLinear
) -> tuple[Bool[Tensor, "units *fan_in"], Scaled]:
    """Signs of the weights, turned in units whose scale is negative, and the scale without its sign."""
    factors, positive = _factors(name, layer), layer.weight >= 0
    ones = by_unit(torch.ones(len(positive)), positive)
    signs = math.prod((factor.sign() for factor in factors), start=ones).reshape(len(positive), -1)
    negative = (signs < 0).any(1)
    if (negative & (signs > 0).any(1)).any():
        raise PackingError(
            f"{name}: a unit's learned scale is positive at some places and negative at others, but "
            "pack has one sign for a unit. Keep the factors of rows and columns positive in training"
        )
    scaling = Scaled([factor.shape for factor in factors])
    scaling.load_state_dict({f"factors.{n}": factor.abs() for n, factor in enumerate(factors)})
    return positive ^ negative.view(-1, *[1] * (positive.ndim - 1)), scaling


def _check_sign(name: str, estimator: object) -> None:
    if estimator not in SIGNS:
        known = ", ".join(sign.__name__ for sign in SIGNS)
        raise PackingError(f"{name}: the estimator must be one of {known}, got {estimator}")


def _shape(name: str, layer: BinaryConv2d, positive: Bool[Tensor, "units *fan_in"]) -> dict[str, Any]:
    square = all(len({*sides}) == 1 for sides in (layer.kernel_size, layer.stride, layer.padding))
    if not square or layer.dilation != (1, 1) or layer.groups != 1 or layer.padding_mode != "zeros":
        raise PackingError(f"{name}: pack needs square kernels, zero padding, no dilation and one group")
    sums = (2 * positive.int() - 1).sum(1, keepdim=True, dtype=torch.int32).numpy()
    return {"sums": sums, "stride": layer.stride[0], "padding": int(layer.padding[0])}


def _is_plain(layer: Any) -> bool:
    square = isinstance(layer.kernel_size, int) and isinstance(layer.stride, int)
    return square and layer.padding == 0 and layer.dilation == 1 and not layer.ceil_mode


def _pool(name: str, layer: Any) -> tuple[int, int]:
    if not _is_plain(layer):
        raise PackingError(f"{name}: pack needs square pooling without padding, dilation or ceil_mode")
    return layer.kernel_size, layer.stride


def _flat(net: nn.Sequential, prefix: str) -> Layers:
    """All layers in order with their names, nested Sequentials flattened."""
    layers = list[tuple[str, Any]]()
    for key, layer in net.named_children():
        name = f"{prefix}{key}"
        layers += _flat(layer, f"{name}.") if isinstance(layer, nn.Sequential) else [(name, layer)]
    return layers


def _take_if(kinds: Any, layers: Layers) -> tuple[Layers, Layers]:
    """The first layer alone if it is of these kinds, else nothing; and the layers after it."""
    count = int(bool(layers) and isinstance(layers[0][1], kinds))
    return layers[:count], layers[count:]
