"""A binary network on bits: the same answers as its float simulation, from XOR and counting.

The stages of a ``PackedNet`` pass on floats or ``Signs``. Between two signs there are only integers:
the product of signs y, and then scale, batch norm and sign, which together compare y with a threshold.
Zero padding adds zeros, which are not signs; a term for each position of the border corrects for that.
Max-pooling of signs is their OR. ``greenai_nb.nets.packed.pack`` builds the stages.

Source: Rastegari et al., *XNOR-Net* (2016); Umuroglu et al., *FINN* (2017), section 4.2.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, UInt8
from numpy import ndarray as Array
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.checks import whole
from greenai_nb.nets.kernels import product, sign_of_float
from greenai_nb.nets.kernels.images import reached
from greenai_nb.nets.kernels.processor import features
from greenai_nb.nets.kernels.product import PackedWeights, pack_signs

# Input numbers, of 8 colour images of 32 x 32, that go through the stages together and stay in a cache.
NUMBERS_AT_ONCE = 3 * 2**13
# Orders in which torch's convolutions add up the axes (input, row, column) of a filter.
ORDERS = (0, 1, 2), (1, 2, 0)
TRIED = 16


@dataclass(frozen=True)
class Signs:
    """Signs as bits: channels in the last axis, eight per byte, after the positions of an image."""

    bits: UInt8[Array, "batch *positions bytes"]
    channels: int

    def unpacked(self) -> Float[Tensor, "batch channels *positions"]:
        """The signs as floats of -1 and +1, channels first as torch has them."""
        positive = np.unpackbits(self.bits, axis=-1, count=self.channels, bitorder="little")
        return torch.from_numpy(np.moveaxis(positive, -1, 1).astype(np.float32) * 2 - 1)


@dataclass(frozen=True)
class Stage:
    """A step of a packed network, with the name of the layer that it came from."""

    name: str

    def __call__(self, x: Any) -> Tensor | Signs:
        raise NotImplementedError

    @property
    def size_bytes(self) -> int:
        """Bytes of the numbers that it computes with."""
        stored = [array for array in vars(self).values() if isinstance(array, Array | PackedWeights)]
        learned = self.layer.state_dict().values() if isinstance(self, FloatStage) else ()
        return sum(array.nbytes for array in (*stored, *learned))


@dataclass(frozen=True)
class FloatStage(Stage):
    """A layer that stays in float."""

    layer: nn.Module

    def __call__(self, x: Tensor | Signs) -> Tensor:
        y: Tensor = self.layer(x.unpacked() if isinstance(x, Signs) else x)
        return y


@dataclass(frozen=True)
class ToSigns(Stage):
    """The sign of a float input as bits: (x >= threshold) xor flip, channel by channel.

    Without thresholds, as for a network's input, they are taken as zero.
    """

    thresholds: Float32[Array, " channels"] | None = None
    flips: UInt8[Array, " bytes"] | None = None

    def __call__(self, x: Tensor) -> Signs:
        flat = x.reshape(*x.shape[:2], math.prod(x.shape[2:])).numpy()
        bits = np.empty((len(x), flat.shape[2], -(-x.shape[1] // 8)), np.uint8)
        levels = np.zeros(x.shape[1], np.float32) if self.flips is None else self.thresholds
        reached(flat, levels, bits)
        bits = bits if self.flips is None else bits ^ self.flips
        return Signs(bits.reshape(len(x), *x.shape[2:], bits.shape[2]), x.shape[1])


@dataclass(frozen=True)
class FloatToSigns(FloatStage):
    """A float convolution, and the signs of its outputs: (y >= threshold) xor flip.

    The order in which torch adds up an output depends on the shape of its input. If it is one of
    ``ORDERS`` and a trial gives the same floats, our own kernel takes over, else torch computes it.
    """

    layer: nn.Conv2d
    thresholds: Float32[Array, " channels"]
    flips: UInt8[Array, " bytes"]
    found: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, x: Any) -> Any:
        key = x.shape, torch.get_num_threads()
        if key not in self.found:
            self.found[key] = self._find(x)
        if self.found[key] is None:
            return ToSigns(self.name, self.thresholds, self.flips)(self.layer(x))
        convolution, positions = self.found[key]
        bits = sign_of_float.signs(self._padded(x), *convolution)
        bits = bits[:, : math.prod(positions), : len(self.flips)]
        return Signs(bits.reshape(len(x), *positions, -1), len(self.thresholds))

    def _padded(self, x: Tensor) -> Float32[Array, "batch inputs rows columns"]:
        (*images, rows, columns), (high, wide) = x.shape, cast(tuple[int, int], self.layer.padding)
        padded = np.zeros((*images, rows + 2 * high, columns + 2 * wide), np.float32)
        padded[..., high : high + rows, wide : wide + columns] = x.detach().numpy()
        return padded

    def _find(self, x: Tensor) -> Any:
        """The convolution whose floats reach torch's in a trial; a wrong order misses a third."""
        layer, plain = self.layer, x.dtype == torch.float32 and self.layer.padding_mode == "zeros"
        simple = layer.bias is None and layer.groups == 1 and layer.dilation == (1, 1)
        if not (plain and simple and "fma" in features() and not isinstance(layer.padding, str)):
            return None
        y = layer(trial := torch.randn(x.shape, generator=torch.Generator().manual_seed(0)))[0]
        image, floats = self._padded(trial[:1]), y.flatten(1).numpy()
        tried = np.linspace(0, floats.shape[1] - 1, TRIED + TRIED**2 // len(y)).astype(int)
        flips = np.unpackbits(self.flips, count=len(y), bitorder="little").astype(bool)
        for order in ORDERS:
            prepared = partial(sign_of_float.prepared, layer, image.shape[2:], order)
            bits = [sign_of_float.signs(image, *prepared(floats[:, at]))[0, at] for at in tried]
            if np.unpackbits(bits, 1, len(y), "little").all():
                return prepared(self.thresholds, flips), y.shape[1:]
        return None


@dataclass(frozen=True)
class OrPool(Stage):
    """Max-pooling of signs: +1 where any of them is."""

    kernel: int
    stride: int

    def __call__(self, x: Signs) -> Signs:
        seen = sliding_window_view(x.bits, (self.kernel, self.kernel), (1, 2))
        found = np.bitwise_or.reduce(seen[:, :: self.stride, :: self.stride], (-2, -1))
        return Signs(found, x.channels)


@dataclass(frozen=True)
class FlattenSigns(Stage):
    """All signs of an image in one row, in torch's order: channel by channel."""

    def __call__(self, x: Signs) -> Signs:
        row = x.unpacked().flatten(1)
        return Signs(pack_signs(row.numpy() >= 0), row.shape[1])


class Plan(NamedTuple):
    """How a stage runs over images of one size: ``run`` fills an output of ``shape`` for each.

    ``window`` is kernel, stride, padding and columns of the products. Padding adds zeros, but bits take
    them for -1; the sum of the weights outside corrects for it. Which those are is a position's kind;
    where thresholds differ from place to place, each position is a kind of its own.
    ``border`` has the kinds, and for each what is added, or thresholds with it already subtracted.
    """

    run: Callable[[Array, Array], None]
    shape: tuple[int, ...]
    dtype: Any
    window: tuple[int, ...]
    border: tuple[Int32[Array, " positions"], Int32[Array, "kinds outputs"]]


@dataclass(frozen=True)
class BinaryStage(Stage):
    """A product of signs, and what is computed from its integers.

    With ``thresholds`` the output is signs, (y >= threshold) xor flip; a pool takes the OR before the
    flip. Thresholds may differ from row to row and column to column of the products. Without, the output
    is scale y + shift in float, each where given, and a pool takes the largest y. ``sums`` are sums of a
    convolution's weights over the channels.
    """

    weights: PackedWeights
    sums: Int32[Array, "outputs 1 kernel kernel"] | None = None
    stride: int = 1
    padding: int = 0
    pool: tuple[int, int] | None = None
    thresholds: Int32[Array, "*places outputs"] | None = None
    flips: UInt8[Array, " bytes"] | None = None
    scale: Float32[Array, " outputs"] | None = None
    shift: Float32[Array, " outputs"] | None = None
    plans: dict[tuple[int, ...], Plan] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, x: Signs) -> Tensor | Signs:
        # A linear map is a convolution of a column, with a pixel for each row.
        image = x.bits if self.sums is not None else x.bits[None, :, None]
        key = x.channels, *image.shape[1:3]
        plan = self.plans.get(key) or self.plans.setdefault(key, self._plan(*key))
        out = np.empty((len(image), *plan.shape), plan.dtype)
        plan.run(np.ascontiguousarray(image), out)
        if self.flips is None:
            return torch.from_numpy(out if self.sums is not None else out[0, :, :, 0].T)
        bits = out.view(np.uint8)
        return Signs(bits if self.sums is not None else bits[0, :, 0], self.weights.outputs)

    def _plan(self, channels: int, *sides: int) -> Plan:
        """What is computed once for each size of image."""
        kernel = 1 if self.sums is None else self.sums.shape[-1]
        if channels * kernel**2 != self.weights.length:
            expected = self.weights.length // kernel**2
            raise ValueError(f"{self.name}: expects {expected} channels, got {channels}")
        places = tuple((n + 2 * self.padding - kernel) // self.stride + 1 for n in sides)
        outside = functional.pad(torch.zeros(1, 1, *sides), [self.padding] * 4, value=1.0)
        patches = functional.unfold(outside, kernel, stride=self.stride)[0].T
        window, border = (kernel, self.stride, self.padding, places[1]), self._border(patches, places)
        pool, outputs = self.pool or (1, 1), self.weights.outputs
        shape = tuple((n - pool[0]) // pool[1] + 1 for n in places)
        given = window, self.weights.panels, self.weights.length, border, pool
        module, dtype = product.kernel(self.weights.kernel), np.dtype(np.float32)
        if self.flips is None:
            scales = np.empty((2, outputs), np.float32)
            scales[0] = 1 if self.scale is None else self.scale
            scales[1] = 0 if self.shift is None else self.shift
            run, shape = partial(module.numbers, *given, scales), (outputs, *shape)
        else:
            dtype = np.dtype(f"u{math.gcd(len(self.flips), 8)}")
            run = partial(module.signs, *given, self.flips)
            shape = *shape, len(self.flips) // dtype.itemsize
        return Plan(run, shape, dtype, window, border)

    def _border(self, outside: Tensor, places: tuple[int, ...]) -> tuple[Array, Array]:
        """The kind of each position, by what of its window is outside, and the numbers of each kind."""
        patterns, which = torch.unique(outside, dim=0, return_inverse=True)
        kinds, outputs, panels = which.int().numpy(), self.weights.outputs, self.weights.panels
        terms = np.zeros((len(patterns), len(panels) * panels.shape[-1]), np.int32)
        if self.sums is not None:
            terms[:, :outputs] = patterns.int().numpy() @ self.sums.reshape(outputs, -1).T
        if self.thresholds is None:
            return kinds, terms
        levels = self.thresholds
        if levels.ndim > 1:
            if any(n not in (1, size) for n, size in zip(levels.shape, places, strict=False)):
                known, needed = (" x ".join(map(str, each)) for each in (levels.shape[:2], places))
                raise ValueError(f"{self.name}: its scale has {known} places, the products {needed}")
            levels = np.broadcast_to(levels, (*places, outputs)).reshape(-1, outputs)
            terms, kinds = terms[kinds], np.arange(len(kinds), dtype=np.int32)
        terms[:, :outputs] = levels - terms[:, :outputs]
        terms[:, outputs:] = np.iinfo(np.int32).max
        return kinds, terms


STAGES: tuple[type[Stage], ...] = (FloatStage, ToSigns, FloatToSigns, OrPool, FlattenSigns, BinaryStage)


@dataclass(frozen=True)
class PackedNet:
    """A binary network as stages on bits; call it like the network that it came from.

    With ``threads`` above one, as in ``dataclasses.replace(net, threads=2)``, the images of a batch are
    divided among threads, each of which also uses torch's own threads for the float layers.
    """

    stages: Sequence[Stage]
    threads: int = 1

    def __post_init__(self) -> None:
        whole(threads=self.threads)

    def __call__(self, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *outputs"]:
        if not (isinstance(x, Tensor) and x.is_floating_point()):
            raise TypeError(f"the input must be a tensor of floats, got {getattr(x, 'dtype', type(x))}")
        if not np.isfinite(x.detach().numpy()).all():
            raise ValueError("the input holds NaN or infinite numbers: clean it before the network")
        if not len(x):
            return self(x.new_zeros(1, *x.shape[1:]))[:0]
        # Torch may add up a single image in another order than a batch, so no part is a single image.
        fit = NUMBERS_AT_ONCE // max(1, math.prod(x.shape[1:]))
        fit = max(2, min(fit, -(-len(x) // self.threads)))
        if len(x) < 2 * fit:
            return self._answer(x)
        parts = x.tensor_split(len(x) // fit)
        if self.threads == 1:
            return torch.cat([self._answer(images) for images in parts])
        with ThreadPoolExecutor(self.threads) as pool:
            return torch.cat([*pool.map(self._answer, parts)])

    @torch.inference_mode()
    def _answer(self, x: Tensor) -> Tensor:
        state: Tensor | Signs = x
        for stage in self.stages:
            state = stage(state)
        return state.unpacked() if isinstance(state, Signs) else state
