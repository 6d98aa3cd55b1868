"""Turn a trained binary network into a ``PackedNet``, layer by layer.

Scale, batch norm and sign after a product of signs are folded into a threshold for each unit, and so are
batch norm and sign after a float layer. It is found by evaluating those layers themselves, so that both
signs of gamma, gamma zero, ties and every rounding agree with the float network. A batch norm without a
sign after it is folded into the scale.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32, Int64
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
FLOAT_LAYERS = PLAIN | QuantizedActivation
SIGNS = (ste_sign, approx_sign, identity_sign)
NETS = "a Sequential of Conv2d, Linear, BatchNorm, ReLU, MaxPool2d, AvgPool2d, Flatten, Sign, BinaryConv2d, BinaryLinear and the quantized layers"  # noqa: E501

Layers = list[tuple[str, Any]]
Floats = Callable[[Int64[Array, " units"]], Float32[Array, " units"]]


class PackingError(ValueError):
    """A layer that cannot be packed; the message names it and says what to do."""


class ScaleUnits(nn.Module):
    """Multiply the product of each unit by its scale."""

    def __init__(self, factor: Float[Tensor, " units"]) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, y: Tensor) -> Tensor:
        return y * by_unit(self.factor, y)


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
    if not any(map(_is_packed, stages)):
        raise PackingError("the network has no binary or quantized layer, so there is nothing to pack")
    return PackedNet(stages)


def _is_packed(stage: Stage) -> bool:
    if isinstance(stage, FloatStage):
        return isinstance(stage.layer, PackedLinear)
    return isinstance(stage, BinaryStage)


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
    positive, factor = layer.weight >= 0, _factor(name, layer)
    bits = pack_signs(positive.movedim(1, -1).numpy()).reshape(len(positive), -1)
    weights = pack_weights(bits, positive[0].numel(), kernel)
    shape = _shape(name, layer) if isinstance(layer, BinaryConv2d) else {}
    pools, after = _take_if(nn.MaxPool2d, rest)
    norms, after = _take_if(Norm, after)
    if not (after and isinstance(after[0][1], Sign)):
        if pools and _is_plain(pools[0][1]) and (factor is None or bool((factor >= 0).all())):
            shape["pool"], rest = _pool(*pools[0]), rest[1:]
        if rest and isinstance(rest[0][1], Norm) and rest[0][1].affine:
            norm, rest = fold_batch_norm(rest[0][1]), rest[1:]
            factor = norm.weight if factor is None else norm.weight * factor
            shape["shift"] = norm.bias.numpy()
        scale = None if factor is None else factor.numpy()
        return BinaryStage(name, weights, scale=scale, **shape), rest
    _check_sign(after[0][0], after[0][1].estimator)
    scaling = [] if factor is None else [ScaleUnits(factor)]
    tail = nn.Sequential(*scaling, *(norm for _, norm in norms))
    thresholds, flips = thresholds_of(tail, weights.length, weights.outputs, bool(shape))
    shape["pool"] = _pool(*pools[0]) if pools else None
    return BinaryStage(name, weights, thresholds=thresholds, flips=pack_signs(flips), **shape), after[1:]


def thresholds_of(
    tail: nn.Module, length: int, units: int, image: bool
) -> tuple[Int32[Array, " units"], Bool[Array, " units"]]:
    """For each unit the least integer at which the sign of ``tail`` turns, and the sign before it.

    The sign of tail(y) is (y >= threshold) xor flip for every y in [-length, length]. A unit whose sign
    never turns has a threshold that y never reaches.
    """
    searched = (-length, length + 1)
    thresholds, flips = _turns(tail, image, lambda y: y.astype(np.float32), searched, units)
    return thresholds.astype(np.int32), flips


def float_thresholds_of(norm: Norm) -> tuple[Float32[Array, " channels"], Bool[Array, " channels"]]:
    """For each channel the least float at which the sign of a batch norm turns, and the sign before.

    Where the sign never turns the threshold is infinite.
    """
    infinite, image = int(np.float32(np.inf).view(np.int32)), isinstance(norm, nn.BatchNorm2d)
    turns, flips = _turns(norm, image, _float_of_rank, (1 - infinite, infinite), norm.num_features)
    return _float_of_rank(turns), flips


def _turns(
    layers: nn.Module, image: bool, floats: Floats, searched: tuple[int, int], units: int
) -> tuple[Int64[Array, " units"], Bool[Array, " units"]]:
    """For each unit the least number whose sign after the layers is not that of the first, or the end.

    The numbers are ``searched``, from the first up to the end, and the layers see them as ``floats``.
    Scale and batch norm round, but they are monotone: they keep the order of numbers, or reverse it
    where gamma is negative. So a sign turns at most once, and bisection finds where.
    """

    def positive(numbers: Int64[Array, " units"]) -> Bool[Array, " units"]:
        batch = torch.from_numpy(floats(numbers))[None]
        y: Tensor = layers(batch[..., None, None] if image else batch)
        return (y.flatten() >= 0).numpy()

    before, after = np.full(units, searched[0]), np.full(units, searched[1])
    flips = positive(before)
    while (after - before > 1).any():
        middle = (before + after) // 2
        turned = positive(middle) != flips
        before, after = np.where(turned, before, middle), np.where(turned, middle, after)
    return after, flips


def _float_of_rank(ranks: Int64[Array, " channels"]) -> Float32[Array, " channels"]:
    """The floats with these ranks among all floats in order; zero has rank zero."""
    bits = np.abs(ranks).astype(np.int32).view(np.float32)
    return np.copysign(bits, ranks.astype(np.float32))


def _factor(name: str, layer: BinaryConv2d | BinaryLinear) -> Float[Tensor, " units"] | None:
    """The scale of each unit; ``None`` stands for no scale."""
    scaling, units = layer.scaling, len(layer.weight)
    if isinstance(scaling, NoScale):
        return None
    if isinstance(scaling, MeanScale):
        return scale(layer.weight)
    if isinstance(scaling, LearnedScale) and [factor.numel() for factor in scaling.factors] == [units]:
        return scaling.factors[0].detach().flatten().clone()
    raise PackingError(
        f"{name}: {type(scaling).__name__} varies with the position or the input, but pack has one "
        "threshold per unit. Train with MeanScale, NoScale or one learned scale per channel"
    )


def _check_sign(name: str, estimator: object) -> None:
    if estimator not in SIGNS:
        known = ", ".join(sign.__name__ for sign in SIGNS)
        raise PackingError(f"{name}: the estimator must be one of {known}, got {estimator}")


def _shape(name: str, layer: BinaryConv2d) -> dict[str, Any]:
    square = all(len({*sides}) == 1 for sides in (layer.kernel_size, layer.stride, layer.padding))
    if not square or layer.dilation != (1, 1) or layer.groups != 1 or layer.padding_mode != "zeros":
        raise PackingError(f"{name}: pack needs square kernels, zero padding, no dilation and one group")
    sums = (2 * (layer.weight >= 0).int() - 1).sum(1, keepdim=True, dtype=torch.int32).numpy()
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
