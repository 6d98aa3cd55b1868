"""What a forward pass takes, layer by layer, in operations and bytes: counted, not measured.

A product of a weight and an activation is, by the kind of both,

    float x float     a multiply-accumulate           ``macs``, ``nonzero_macs``
    sign  x float     an addition or a subtraction    ``signed_additions``
    sign  x sign      an XNOR and its popcount        ``bit_operations``
    k bits x l bits   k l products of bits            ``bit_operations``
    float x spike     an addition, where one arrives  ``synaptic_operations``

and each number of the output takes one per weight behind it, products with padding included. A float
layer multiplies signs like other numbers. Comparisons are ``additions``, since they subtract; ORs and
flips of bits are bit operations; ``integer_operations`` have 32 bits. Binary layers and signs are
counted as they are deployed, one bit each, though torch computes them as floats; so are quantized
layers, but floats times weights of two bits or more take a multiply-accumulate.

Source: Rastegari et al., *XNOR-Net* (2016), section 3.2; Zhou et al., *DoReFa-Net* (2016), equation 3;
the layers' own definitions.
"""

import math
import warnings
from functools import partial
from typing import Any, NamedTuple, cast

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from greenai_nb.nets import scaling, spiking, weights
from greenai_nb.nets.architectures import Addition
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear, Sign
from greenai_nb.nets.packed import net as packed
from greenai_nb.nets.packed.levels import PackedLinear
from greenai_nb.nets.quantize import (
    FLOAT_BITS,
    QuantizedActivation,
    QuantizedGradient,
    QuantizedLinear,
)

Net = nn.Module | packed.PackedNet
FLOAT_BYTES = 4
WHOLE = (nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d, QuantizedGradient)
KEEPS_BITS = (nn.MaxPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Dropout, nn.Identity, spiking.Silence)


class Cost(NamedTuple):
    """Operations of one use of a layer, its learned weights, and the bytes of all that it stores."""

    macs: int = 0
    nonzero_macs: int = 0
    signed_additions: int = 0
    bit_operations: int = 0
    additions: int = 0
    multiplications: int = 0
    integer_operations: int = 0
    synaptic_operations: int = 0
    neuron_updates: int = 0
    weights: int = 0
    weight_bytes: int = 0
    state_bytes: int = 0


class Numbers(NamedTuple):
    """What passes between layers: its shape, batch and channels first, and how it is stored."""

    shape: tuple[int, ...]
    bytes: int
    bits: int


def count(net: Net, images: Tensor, number_bytes: int = FLOAT_BYTES) -> pd.DataFrame:
    """Operations and bytes of a forward pass over some images in evaluation mode, one row per layer.

    Nothing is computed: the shapes come from an empty batch, or from torch's meta device where
    ``images`` are there: ``torch.empty(1, 3, 299, 299, device="meta")``. Columns: ``layer``, ``kind``,
    those of ``Cost``, ``inputs``, ``outputs``, ``input_bytes``, ``output_bytes``. A number takes
    ``number_bytes``, a quantized one its bits, a packed layer what it stores; weights count once, zeros
    included. A layer multiplies spikes, until ``spiking.by_events`` corrects it. One without a rule or
    weights counts zero, and functions inside a forward are not seen: use ``Addition`` for a residual.
    A layer with weights that is never called gets a row without operations and a warning: functions may
    use them. ``TypeError`` for images that are no tensor, and for a layer with weights but no rule.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor of (batch, *shape), got {type(images).__name__}")
    if isinstance(net, packed.PackedNet):
        return pd.DataFrame(_stages(net, images, number_bytes))
    uses = pd.DataFrame(_layers(net, images, number_bytes))
    rules = {column: "first" if "weight" in column else "sum" for column in uses.columns[2:]}
    return uses.groupby(["layer", "kind"], sort=False, as_index=False).agg(rules)


def leaves(net: nn.Module) -> dict[str, nn.Module]:
    """The layers that are counted, by name. Raises ``TypeError`` for one with weights but no rule."""
    counted, inside = dict[str, nn.Module](), set[int]()
    for name, layer in net.named_modules():
        if isinstance(layer, WHOLE):
            inside.update(id(part) for part in layer.modules() if part is not layer)
        elif id(layer) not in inside:
            _refuse_weights(name or "network", layer)
        if id(layer) not in inside and (isinstance(layer, WHOLE) or not [*layer.children()]):
            counted[name or type(layer).__name__] = layer
    return counted


def _refuse_weights(name: str, layer: nn.Module) -> None:
    if [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]:
        raise TypeError(f"{name}: {type(layer).__name__} holds weights but no rule counts them")


def cost(layer: nn.Module, x: Numbers, y: Numbers, size: int) -> Cost:
    """What one use of a layer costs, from ``x`` to ``y``, with ``size`` bytes a number."""
    out = math.prod(y.shape)
    match layer:
        case BinaryLinear() | BinaryConv2d():
            weights, signed = layer.weight.numel(), x.bits == 1 or bool(layer.input_quantizer)
            kind = "bit_operations" if signed else "signed_additions"
            comparisons = math.prod(x.shape) if signed and x.bits != 1 else 0
            products = Cost(weights=weights, weight_bytes=-(-weights // 8), additions=comparisons)
            products = products._replace(**{kind: out // len(layer.weight) * weights})
            return Cost(*map(sum, zip(products, cost(layer.scaling, x, y, size), strict=True)))
        case nn.Linear() | nn.Conv2d():
            return _linear_cost(layer, x, out, size)
        case nn.BatchNorm1d() | nn.BatchNorm2d():  # x -> g x + c; its statistics are stored, not learned
            learned = sum(weight.numel() for weight in layer.parameters())
            stored = learned + sum(buffer.numel() for buffer in layer.buffers() if buffer.ndim)
            return Cost(additions=out, multiplications=out, weights=learned, weight_bytes=stored * size)
        case scaling.MeanScale():
            return Cost(multiplications=out, weight_bytes=y.shape[1] * size)
        case scaling.MeanScaleWithInputMap():  # sums of |x| over channels and windows; mean, alpha and K
            windows, alphas = out // y.shape[1], y.shape[1]
            sums = math.prod(x.shape) + windows * layer.kernel**2
            return Cost(additions=sums, multiplications=windows + 2 * out, weight_bytes=alphas * size)
        case scaling.LearnedScale():
            numbers, times = sum(factor.numel() for factor in layer.factors), len(layer.factors)
            return Cost(multiplications=times * out, weights=numbers, weight_bytes=numbers * size)
        case nn.ReLU() | Sign() | Addition():
            return Cost(additions=out)
        case nn.ReLU6():
            return Cost(additions=2 * out)
        case QuantizedActivation():  # two comparisons, and a number of levels to round to
            return Cost(additions=2 * out, multiplications=out if layer.bits < FLOAT_BITS else 0)
        case PackedLinear():
            macs, stored = out * layer.in_features, sum(buffer.nbytes for buffer in layer.buffers())
            numbers = layer.in_features * layer.out_features
            return Cost(macs, macs, weights=numbers, weight_bytes=stored)
        case QuantizedGradient():
            return Cost()
        case spiking.LeakyUnits():  # reads and writes a membrane
            return Cost(neuron_updates=out, state_bytes=2 * out * size)
        case nn.MaxPool2d() | nn.AdaptiveMaxPool2d():
            return Cost(**{"bit_operations" if x.bits == 1 else "additions": _seen(layer, x, y) - out})
        case nn.AvgPool2d() | nn.AdaptiveAvgPool2d():
            return Cost(additions=_seen(layer, x, y) - out, multiplications=out)
    _refuse_weights("scaling", layer)
    return Cost()


def _linear_cost(layer: nn.Linear | nn.Conv2d, x: Numbers, out: int, size: int) -> Cost:
    """A linear map or a convolution; weights of few bits act on numbers of few bits or on floats."""
    weight, quantizer = layer.weight, getattr(layer, "quantizer", None)
    bits = quantizer.bits if quantizer else FLOAT_BITS
    biases = 0 if layer.bias is None else len(layer.bias)
    weights, times = weight.numel(), out // len(weight)
    products = times * weights
    stored = (weights * size if bits == FLOAT_BITS else -(-weights * bits // 8)) + biases * size
    taken = Cost(additions=times * biases, weights=weights + biases, weight_bytes=stored)
    if bits < FLOAT_BITS and x.bits < FLOAT_BITS:
        return taken._replace(bit_operations=products * bits * x.bits)
    if bits == 1:
        return taken._replace(signed_additions=products)
    if quantizer and not weight.is_meta:
        weight = quantizer(weight)
    nonzero = weights if weight.is_meta else int(weight.count_nonzero())
    return taken._replace(macs=products, nonzero_macs=times * nonzero)


def _stage_cost(stage: packed.Stage, x: Numbers, y: Numbers, size: int) -> Cost:
    """What one use of a packed network's stage costs, without the bytes that it stores."""
    out = math.prod(y.shape)
    match stage:
        case packed.FloatToSigns():  # products, a comparison and a flip
            floats = cost(stage.layer, x, y, size)
            return floats._replace(additions=floats.additions + out, bit_operations=out)
        case packed.FloatStage():
            return cost(stage.layer, x._replace(bits=FLOAT_BITS), y, size)
        case packed.ToSigns():
            return Cost(additions=out, bit_operations=0 if stage.flips is None else out)
        case packed.OrPool():
            return Cost(bit_operations=(stage.kernel**2 - 1) * out)
        case packed.BinaryStage():
            span = 2 * stage.padding - (1 if stage.sums is None else stage.sums.shape[-1])
            sides = [(side + span) // stage.stride + 1 for side in x.shape[2:]]
            products = math.prod((x.shape[0], *sides)) * stage.weights.outputs
            # Each product is compared with a threshold, or takes the border's term; then OR and flip.
            seen = out * (stage.pool[0] ** 2 if stage.pool else 1)
            bits, numbers = (0, seen - out) if stage.thresholds is None else (seen, 0)
            bits += products * stage.weights.length
            scaled, shifted = (0 if each is None else out for each in (stage.scale, stage.shift))
            found = Cost(bit_operations=bits, integer_operations=products + numbers)
            return found._replace(multiplications=scaled, additions=shifted)
    return Cost()


def _seen(layer: Any, x: Numbers, y: Numbers) -> int:
    """Numbers that the windows of a pooling layer see, positions in the padding included."""
    if hasattr(layer, "kernel_size"):
        kernel = layer.kernel_size
        return math.prod(y.shape) * (kernel**2 if isinstance(kernel, int) else math.prod(kernel))
    # Adaptive: window i of o over n positions goes from floor(i n / o) to ceil((i + 1) n / o).
    sides = zip(x.shape[-2:], y.shape[-2:], strict=True)
    spans = (sum(-(-(i + 1) * n // o) - i * n // o for i in range(o)) for n, o in sides)
    return math.prod((*y.shape[:-2], *spans))


def _layers(net: nn.Module, images: Tensor, size: int) -> list[dict[str, Any]]:
    """Rows from a run of the network's copy, with shared weights, on an empty batch."""
    weights.check_shapes(net)
    twins, calls = dict[int, Any](), list[tuple[str, Numbers, Numbers]]()
    for module in net.modules():
        values = (*module._parameters.values(), *module._buffers.values(), *vars(module).values())
        twins |= {id(x): x.detach().to(images.device) for x in values if isinstance(x, Tensor)}
    twin, layers = weights.twin(net, twins).eval(), leaves(net)
    bits = WeakTensorKeyDictionary()

    def record(name: str, layer: nn.Module, args: Any, y: Any) -> None:
        read = torch.cat(args, 1) if isinstance(layer, Addition) else args[0]
        x = _numbers(read, size, len(images), bits.get(args[0], FLOAT_BITS))
        bits[y] = x.bits if isinstance(layer, KEEPS_BITS) else FLOAT_BITS
        if isinstance(layer, (Sign, QuantizedActivation, *spiking.SENDERS)):
            bits[y] = getattr(layer, "bits", 1)
        calls.append((name, x, _numbers(y, size, len(images), bits[y])))

    for name, layer in layers.items():
        twins[id(layer)].register_forward_hook(partial(record, name))
    for module in twin.modules():
        if isinstance(module, BinaryLinear | BinaryConv2d):
            module.kernel_quantizer, module.input_quantizer = torch.positive, None
        if isinstance(module, QuantizedLinear):
            module.quantizer = cast(Any, torch.positive)
    try:
        with torch.no_grad():
            twin(images if images.is_meta else images[:0])
    except RuntimeError as error:
        error.add_note("this was an empty batch; try images.to('meta'), which is not emptied")
        raise
    called = {name for name, *_ in calls}
    if unseen := [name for name in layers if name not in called and [*layers[name].parameters()]]:
        what = "never called as layers: if functions use their weights, those operations are not counted"
        warnings.warn(f"{', '.join(unseen)}: {what}", stacklevel=3)
        for name in unseen:
            nothing = Numbers((0, len(layers[name].get_parameter("weight"))), 0, FLOAT_BITS)
            calls.append((name, nothing, nothing))
    return [_row(name, layers[name], x, y, cost(layers[name], x, y, size)) for name, x, y in calls]


@torch.inference_mode()
def _stages(net: packed.PackedNet, images: Tensor, size: int) -> list[dict[str, Any]]:
    """Rows of a packed network, which has no weights to train, from one image of zeros."""
    rows = list[dict[str, Any]]()
    after: Any = torch.zeros(1, *images.shape[1:])
    for stage in net.stages:
        before, after = after, stage(after)
        x, y = (_numbers(value, size, len(images)) for value in (before, after))
        taken = _stage_cost(stage, x, y, size)._replace(weights=0, weight_bytes=stage.size_bytes)
        rows.append(_row(stage.name, stage, x, y, taken))
    return rows


def _numbers(tensor: Any, size: int, batch: int, bits: int = FLOAT_BITS) -> Numbers:
    if isinstance(tensor, packed.Signs):
        shape = (batch, tensor.channels, *tensor.bits.shape[1:-1])
        return Numbers(shape, batch * tensor.bits.nbytes, 1)
    shape = (batch, *tensor.shape[1:])
    stored = math.prod(shape) * size if bits == FLOAT_BITS else -(-math.prod(shape) * bits // 8)
    return Numbers(shape, stored, bits)


def _row(name: str, layer: Any, x: Numbers, y: Numbers, taken: Cost) -> dict[str, Any]:
    passed = {"inputs": math.prod(x.shape), "outputs": math.prod(y.shape)}
    passed |= {"input_bytes": x.bytes, "output_bytes": y.bytes}
    return {"layer": name, "kind": type(layer).__name__} | taken._asdict() | passed
