"""A convolution of floats whose outputs become signs at once, so that none of them is written.

A sum of floats depends on their order, and so does a sign near its threshold. Here the products of an
output are added one by one, each with a single rounding, in the order of ``taps``; a float library that
does the same gives the same bits. Lanes are neighbouring outputs; a tile is 4 positions x 2 registers.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32
from llvmlite import ir
from numba.extending import intrinsic
from numpy import ndarray as Array
from torch import nn

from greenai_nb.compiled import njit
from greenai_nb.nets.kernels import registers
from greenai_nb.nets.kernels.carry_save_instructions import (
    LANES,
    Words,
    broadcast,
    load_words,
    no_words,
)
from greenai_nb.nets.kernels.panels import in_panels

PANEL, POSITIONS = 2 * LANES, 4
FLOATS = ir.VectorType(ir.FloatType(), LANES)
store_reached = registers.store_reached(Words)


@intrinsic
def multiply_add(typing: Any, total: Any, x: Any, y: Any) -> Any:
    """``total`` + x y for floats, with one rounding."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total, x, y = (builder.bitcast(arg, FLOATS) for arg in args)
        found = registers.call(builder, f"llvm.fma.v{LANES}f32", FLOATS, x, y, total)
        return builder.bitcast(found, Words.vector)

    return Words(Words, Words, Words), code


@njit(nogil=True)
def _tile(x: Any, at: int, positions: Any, first: int, taps: Any, weights: Any, panel: int) -> Any:
    y00 = y01 = y10 = y11 = y20 = y21 = y30 = y31 = no_words()
    a, b = at + positions[first], at + positions[first + 1]
    c, d = at + positions[first + 2], at + positions[first + 3]
    for tap in range(len(taps)):
        w, get = (panel * len(taps) + tap) * PANEL, taps[tap]
        w0, w1 = load_words(weights, w), load_words(weights, w + LANES)
        x0, x1 = broadcast(x, a + get), broadcast(x, b + get)
        x2, x3 = broadcast(x, c + get), broadcast(x, d + get)
        y00, y01 = multiply_add(y00, x0, w0), multiply_add(y01, x0, w1)
        y10, y11 = multiply_add(y10, x1, w0), multiply_add(y11, x1, w1)
        y20, y21 = multiply_add(y20, x2, w0), multiply_add(y21, x2, w1)
        y30, y31 = multiply_add(y30, x3, w0), multiply_add(y31, x3, w1)
    return (y00, y01), (y10, y11), (y20, y21), (y30, y31)


@njit(nogil=True)
def signs(x: Any, taps: Any, positions: Any, weights: Any, levels: Any) -> Any:
    """Bits of y >= level (batch, positions, bytes), for padded images and what ``prepared`` gave."""
    width = len(levels) // 8
    out = np.empty((len(x), len(positions), width), np.uint8)
    for n in range(len(x)):
        for panel in range(len(weights)):
            lane = panel * PANEL
            put = n * len(positions) * width + lane // 8
            for first in range(0, len(positions), POSITIONS):
                for y0, y1 in _tile(x, n * x[0].size, positions, first, taps, weights, panel):
                    store_reached(out, put, y0, levels, lane)
                    store_reached(out, put + LANES // 8, y1, levels, lane + LANES)
                    put += width
    return out


def prepared(
    layer: nn.Conv2d,
    sides: tuple[int, int],
    order: tuple[int, ...],
    levels: Float32[Array, " outputs"],
    flips: Bool[Array, " outputs"] | bool = False,
) -> tuple[Array, Array, Array, Array]:
    """Offsets of taps and positions, weights and levels in panels, for padded images of these sides.

    An output that is flipped is y < level, which is -y >= the next float after -level.
    """
    turned = np.broadcast_to(flips, levels.shape)
    levels = np.where(turned, np.nextafter(-levels, np.float32(np.inf)), levels)
    weight, strides = layer.weight.detach().numpy(), layer.stride
    weight = np.where(turned[:, None, None, None], -weight, weight)
    (outputs, inputs, *kernel), (high, wide) = weight.shape, sides
    places = np.arange(inputs * high * wide).reshape(inputs, high, wide)
    taps = places[:, : kernel[0], : kernel[1]].transpose(order).ravel()
    ends = high - kernel[0] + 1, wide - kernel[1] + 1
    positions = places[0, : ends[0] : strides[0], : ends[1] : strides[1]].ravel()
    in_order = weight.transpose(0, *(1 + axis for axis in order)).reshape(outputs, -1)
    padded = np.full(-(-outputs // PANEL) * PANEL, np.inf, np.float32)
    padded[:outputs] = levels
    return taps, np.pad(positions, (0, -len(positions) % POSITIONS)), in_panels(in_order, PANEL), padded
