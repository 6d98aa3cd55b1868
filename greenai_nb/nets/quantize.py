"""Few bits: quantizers of weights, activations and gradients, and layers that use them.

DoReFa's quantizers stand on the 2^k equal levels of [0, 1],

    q_k(r) = round((2^k - 1) r) / (2^k - 1) ,

and pass the gradient of r straight through the rounding:

    weights        2 q_k(tanh(w) / (2 max|tanh(w)|) + 1/2) - 1 ,    or mean|w| sign(w) for one bit
    activations    q_k(clip(a, 0, 1))
    gradients      2 m (q_k(g / (2 m) + 1/2 + u / (2^k - 1)) - 1/2) ,    m = max|g| ,

where the maximum of a gradient is that of its image, and u is uniform on [-1/2, 1/2]. This noise makes
the quantized gradient unbiased. Neither weights nor gradients have a level at zero.

Sung et al. round trained weights to M levels, an odd number, a multiple of one step apart,

    Q(w) = sign(w) step min(floor(|w| / step + 1/2), (M - 1) / 2) ,

with the step that minimises ||w - Q(w)||^2 in each layer, and train on from there.

Source: Zhou et al., *DoReFa-Net* (2016), equations 5 to 12; Sung, Shin and Hwang, *Resiliency of deep
neural networks under quantization* (2015), as implemented here.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.checks import positive, whole
from greenai_nb.nets.sign import plain_sign
from greenai_nb.nets.weights import copied

FLOAT_BITS = 32
SCAN = 200


class _StraightThrough(torch.autograd.Function):
    """Forward the rounded values; backward the gradient as it is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rounded: Tensor) -> Tensor:
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def round_to_bits(r: Float[Tensor, "*shape"], bits: int) -> Float[Tensor, "*shape"]:
    """Numbers of [0, 1] at the nearest of 2^bits equal levels, q_k of the module's docstring."""
    steps = 2**bits - 1
    return _StraightThrough.apply(r, torch.round(r * steps) / steps)


def quantize_gradient(
    gradient: Float[Tensor, "images *shape"], bits: int, noise: Float[Tensor, "images *shape"]
) -> Float[Tensor, "images *shape"]:
    """A gradient at 2^bits levels between minus and plus the largest of its image.

    ``noise`` is uniform on [-1/2, 1/2]; with it the expectation is the gradient itself, at both ends
    too. Zeros of gradient zero stay zero only where the whole image's gradient is.
    """
    steps = 2**bits - 1
    largest = gradient.abs().flatten(1).amax(1).view(-1, *[1] * (gradient.ndim - 1))
    shifted = gradient / (2 * largest).clamp(min=torch.finfo(gradient.dtype).tiny) + 0.5 + noise / steps
    return 2 * largest * (torch.round(shifted.clamp(0, 1) * steps) / steps - 0.5)


class Quantizer(Protocol):
    """Maps the weights of a layer to few levels, and says how many bits tell them apart."""

    @property
    def bits(self) -> int: ...
    def __call__(self, weight: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class DoReFa:
    """DoReFa's quantizer of a layer's weights, to 2^bits levels in [-1, 1]; 32 bits leave them alone."""

    bits: int

    def __post_init__(self) -> None:
        _check(self.bits)

    def __call__(self, weight: Tensor) -> Tensor:
        if self.bits == FLOAT_BITS:
            return weight
        if self.bits == 1:
            return _StraightThrough.apply(weight, weight.detach().abs().mean() * plain_sign(weight))
        bent = torch.tanh(weight)
        largest = bent.flatten()[bent.detach().abs().argmax()].abs()  # faster backward than a maximum
        if not largest:
            shape = tuple(weight.shape)
            raise ValueError(
                f"the weights of a layer of shape {shape} are all zero: none sets their scale"
            )
        unit = bent / largest
        return _StraightThrough.apply(unit, 2 * round_to_bits(unit.detach() / 2 + 0.5, self.bits) - 1)


@dataclass(frozen=True)
class EqualSteps:
    """Sung's quantizer: an odd number of levels around zero, ``step`` apart."""

    levels: int
    step: float

    def __post_init__(self) -> None:
        if self.levels < 3 or self.levels % 2 == 0:
            raise ValueError(f"levels must be an odd number of 3 or more, got {self.levels!r}")
        positive(step=self.step)

    @property
    def bits(self) -> int:
        return math.ceil(math.log2(self.levels))

    def __call__(self, weight: Tensor) -> Tensor:
        given = weight.detach()
        steps = (given.abs() / self.step + 0.5).floor().clamp(max=(self.levels - 1) / 2)
        return _StraightThrough.apply(weight, given.sign() * self.step * steps)


def ternary_step(weight: Float[Tensor, "*shape"]) -> float:
    """The best step for three levels, in closed form: the mean of the j largest weights in size.

    With the j largest at plus or minus ``step`` the squared error is ||w||^2 - (their sum)^2 / j, and
    ``step`` is their mean; j is that of the least error.
    """
    sums = weight.detach().abs().flatten().double().sort(descending=True).values.cumsum(0)
    counts = torch.arange(1, len(sums) + 1, device=sums.device)
    best = int((sums**2 / counts).argmax())
    return float(sums[best] / counts[best])


def least_squares_step(weight: Float[Tensor, "*shape"], levels: int) -> float:
    """The step of ``EqualSteps`` that minimises ||w - Q(w)||^2, closely.

    The error has many local minima in the step, so a grid of ``SCAN`` steps is tried, and a finer one
    around the best. From there on, the step that fits the weights' levels, <w, z> / <z, z>, and their
    levels z are found in turn.
    """
    if levels == 3:
        return ternary_step(weight)
    weight = weight.detach().double()
    largest = 2 * float(weight.abs().max()) / (levels - 1)

    def error(step: float) -> float:
        return float((weight - EqualSteps(levels, step)(weight)).square().sum())

    grid = torch.linspace(0, largest, SCAN + 1)[1:].tolist()
    best = min(grid, key=error)
    finer = torch.linspace(best - largest / SCAN, best + largest / SCAN, SCAN + 1)[1:].tolist()
    best = min(finer, key=error)
    while True:
        units = EqualSteps(levels, best)(weight) / best
        step = float((weight * units).sum() / units.square().sum())
        if error(step) >= error(best):
            return best
        best = step


class QuantizedLinear(nn.Linear):
    """A linear map whose weights pass through a quantizer; the float weights behind them are trained."""

    def __init__(self, inputs: int, units: int, quantizer: Quantizer, bias: bool = False) -> None:
        super().__init__(inputs, units, bias)
        self.quantizer = quantizer

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch units"]:
        return functional.linear(x, self.quantizer(self.weight), self.bias)


class QuantizedActivation(nn.Module):
    """Clip to [0, 1], and round to 2^bits levels; 32 bits only clip."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        _check(bits)
        self.bits = bits

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        clipped = x.clamp(0, 1)
        return clipped if self.bits == FLOAT_BITS else round_to_bits(clipped, self.bits)


class _QuantizeGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: "QuantizedGradient") -> Tensor:
        ctx.layer = layer
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        noise = ctx.layer.noise(gradients[0])
        return quantize_gradient(gradients[0], ctx.layer.bits, noise), None


class QuantizedGradient(nn.Module):
    """The identity, whose backward pass quantizes the gradient, with noise of the given seed.

    In evaluation mode, and with 32 bits, it does nothing. ``draws`` counts the backward passes, each of
    which has its own noise.
    """

    draws: Tensor

    def __init__(self, bits: int, seed: int = 0) -> None:
        super().__init__()
        _check(bits)
        self.bits, self.seed = bits, seed
        self.register_buffer("draws", torch.zeros((), dtype=torch.long))

    def forward(self, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
        if not self.training or self.bits == FLOAT_BITS:
            return x
        return _QuantizeGradient.apply(x, self)

    def noise(self, like: Tensor) -> Tensor:
        """Fresh numbers, uniform on [-1/2, 1/2], in the shape of a tensor."""
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + int(self.draws))
        self.draws += 1
        return torch.rand(like.shape, generator=generator).to(like) - 0.5


def dorefa_mlp(
    inputs: int,
    hidden: int,
    classes: int = 10,
    *,
    weight: int,
    activation: int,
    gradient: int,
    seed: int,
) -> nn.Sequential:
    """One hidden layer with this many bits for weights, activations and gradients, 32 for float.

    Both layers are quantized, each before a batch norm, which gives DoReFa's clip and the logits their
    scale. ``seed`` is that of the gradients' noise.
    """
    return nn.Sequential(
        *(nn.Flatten(), QuantizedLinear(inputs, hidden, DoReFa(weight))),
        *(
            QuantizedGradient(gradient, 2 * seed),
            nn.BatchNorm1d(hidden),
            QuantizedActivation(activation),
        ),
        QuantizedLinear(hidden, classes, DoReFa(weight)),
        *(QuantizedGradient(gradient, 2 * seed + 1), nn.BatchNorm1d(classes)),
    )


def with_levels(net: nn.Module, levels: int) -> nn.Module:
    """A copy whose linear layers round their weights to some levels, at the best step of each.

    The float weights stay behind them, so that training can go on. Raises ``ValueError`` for a layer
    whose weights are all zero, and what ``copied`` raises.
    """
    quantized = copied(net)
    for name, layer in [*quantized.named_modules()]:
        if type(layer) is nn.Linear:
            if not layer.weight.any():
                raise ValueError(f"{name}: all weights are zero, so no step fits them; leave it out")
            step = least_squares_step(layer.weight, levels)
            outputs, inputs = layer.weight.shape
            rounded = QuantizedLinear(inputs, outputs, EqualSteps(levels, step), layer.bias is not None)
            rounded.load_state_dict(layer.state_dict())
            quantized.set_submodule(name, rounded.to(layer.weight.device))
    return quantized


def _check(bits: int) -> None:
    whole(bits=bits)
    if not 1 <= bits <= 8 and bits != FLOAT_BITS:
        raise ValueError(f"bits must be 1 to 8, or {FLOAT_BITS} for float, got {bits!r}")
