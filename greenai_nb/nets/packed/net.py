"""A binary network on bits: the same answers as its float simulation, from XOR and counting.

The stages of a ``PackedNet`` pass on floats or ``Signs``. Between two signs there are only integers:
the product of signs y, and then scale, batch norm and sign, which together compare y with a threshold.
Zero padding adds zeros, which are not signs; a term for each position of the border corrects for that.
Max-pooling of signs is their OR. ``greenai_nb.nets.packed.pack`` builds the stages.

Source: Rastegari et al., *XNOR-Net* (2016); Umuroglu et al., *FINN* (2017), section 4.2.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, UInt8
from numpy import ndarray as Array
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.checks import whole
from greenai_nb.nets.kernels.images import or_pool, reached, windows
from greenai_nb.nets.kernels.product import PackedWeights, pack_signs

# Input numbers that go through the stages together: a small batch stays in the processor's cache from
# stage to stage, a large one takes fewer calls. This is 32 colour images of 32 x 32.
NUMBERS_AT_ONCE = 3 * 2**15


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
        stored = (array for array in vars(self).values() if isinstance(array, Array | PackedWeights))
        return sum(array.nbytes for array in stored)


@dataclass(frozen=True)
class FloatStage(Stage):
    """A layer that stays in float."""

    layer: nn.Module

    def __call__(self, x: Tensor | Signs) -> Tensor:
        y: Tensor = self.layer(x.unpacked() if isinstance(x, Signs) else x)
        return y

    @property
    def size_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.layer.state_dict().values())


@dataclass(frozen=True)
class ToSigns(Stage):
    """The sign of a float input as bits: (x >= threshold) xor flip, channel by channel.

    Without thresholds, as for a network's input, they are taken as zero.
    """

    thresholds: Float32[Array, " channels"] | None = None
    flips: UInt8[Array, " bytes"] | None = None

    def __call__(self, x: Tensor) -> Signs:
        flat = x.reshape(*x.shape[:2], -1).numpy()
        if self.thresholds is None:
            bits = reached(flat, np.zeros(x.shape[1], np.float32))
        else:
            bits = reached(flat, self.thresholds) ^ self.flips
        return Signs(bits.reshape(len(x), *x.shape[2:], -1), x.shape[1])


@dataclass(frozen=True)
class OrPool(Stage):
    """Max-pooling of signs: +1 where any of them is."""

    kernel: int
    stride: int

    def __call__(self, x: Signs) -> Signs:
        return Signs(or_pool(x.bits, self.kernel, self.stride), x.channels)


@dataclass(frozen=True)
class FlattenSigns(Stage):
    """All signs of an image in one row, in torch's order: channel by channel."""

    def __call__(self, x: Signs) -> Signs:
        row = x.unpacked().flatten(1)
        return Signs(pack_signs(row.numpy() >= 0), row.shape[1])


class Borders(NamedTuple):
    """The kind of each position of an image, by which filter taps lie outside it; numbers for each kind.

    Padding adds zeros, but the product of bits takes them for -1: ``added``, the sum of the weights
    outside, corrects for that; ``levels`` are the kernel's thresholds, with it already subtracted.
    """

    kinds: Int32[Array, " positions"]
    added: Int32[Array, "kinds outputs"]
    levels: Array


@dataclass(frozen=True)
class BinaryStage(Stage):
    """A product of signs, and what is computed from its integers.

    With ``thresholds`` the output is signs, (y >= threshold) xor flip; a pool before the batch norm
    takes the OR before the flip. Without, it is scale y + shift in float, each where given. ``sums`` are
    sums of a convolution's weights over the channels.
    """

    weights: PackedWeights
    sums: Int32[Array, "outputs 1 kernel kernel"] | None = None
    stride: int = 1
    padding: int = 0
    pool: tuple[int, int] | None = None
    thresholds: Int32[Array, " outputs"] | None = None
    flips: UInt8[Array, " bytes"] | None = None
    scale: Float32[Array, " outputs"] | None = None
    shift: Float32[Array, " outputs"] | None = None
    borders: dict[tuple[int, ...], Borders] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, x: Signs) -> Tensor | Signs:
        if self.thresholds is None:
            y = self.integers(x).astype(np.float32)
            y = y if self.scale is None else y * self.scale
            y = y if self.shift is None else y + self.shift
            return torch.from_numpy(np.moveaxis(y, -1, 1))
        rows, positions = self._rows(x)
        kinds, _, levels = self._borders(x.bits.shape[1:-1])
        bits = self.weights.reached(rows, kinds, levels).reshape(*positions, -1)
        if self.pool:
            bits = or_pool(bits, *self.pool)
        return Signs(bits ^ self.flips, self.weights.outputs)

    def integers(self, x: Signs) -> Int32[Array, "batch *positions outputs"]:
        """The product of signs before scale, batch norm and sign, exactly as in float."""
        rows, positions = self._rows(x)
        kinds, added, _ = self._borders(x.bits.shape[1:-1])
        y = self.weights.products(rows)[:, : self.weights.outputs].reshape(*positions, -1)
        return y + added[kinds].reshape(*positions[1:], -1)

    def _rows(self, x: Signs) -> tuple[UInt8[Array, "rows bytes"], tuple[int, ...]]:
        """The signs that meet the weights, one row per position, and the shape of the rows."""
        kernel = 1 if self.sums is None else self.sums.shape[-1]
        channels = self.weights.length // kernel**2
        if x.channels != channels:
            raise ValueError(f"{self.name}: expects {channels} channels, got {x.channels}")
        if self.sums is None:
            return x.bits, x.bits.shape[:1]
        rows = windows(x.bits, kernel, self.stride, self.padding)
        return rows.reshape(-1, rows.shape[-1]), rows.shape[:3]

    def _borders(self, positions: tuple[int, ...]) -> Borders:
        """The border terms of an image of this size, computed once per size."""
        if positions in self.borders:
            return self.borders[positions]
        if self.sums is None:
            kinds, added = np.zeros(1, np.int32), np.zeros((1, self.weights.outputs), np.int32)
        else:
            outside = functional.pad(torch.zeros(1, 1, *positions), [self.padding] * 4, value=1.0)
            patches = functional.unfold(outside, self.sums.shape[-1], stride=self.stride)[0].T
            patterns, which = torch.unique(patches, dim=0, return_inverse=True)
            kinds = which.numpy().astype(np.int32)
            added = patterns.numpy().astype(np.int32) @ self.sums.reshape(len(self.sums), -1).T
        levels = added if self.thresholds is None else self.weights.levels(self.thresholds - added)
        return self.borders.setdefault(positions, Borders(kinds, added, levels))


STAGES: tuple[type[Stage], ...] = (FloatStage, ToSigns, OrPool, FlattenSigns, BinaryStage)


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
        fit = NUMBERS_AT_ONCE // max(1, x[:1].numel())
        parts = x.split(max(1, min(fit, -(-len(x) // self.threads))))
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
