"""What all kernels share: weights in panels, and calls to their compiled products.

A panel holds as many outputs as a kernel works on at once, side by side; zeros pad the last one.
Activations and weights are packed by the kernel's own ``pack_activations`` and ``pack_weights``.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int32, Integer, UInt8, UInt64
from numpy import ndarray as Array

WORD_BYTES, LINE = 8, 64


def whole_words(rows: UInt8[Array, "rows bytes"]) -> UInt64[Array, "rows words"]:
    """Packed signs as 64-bit words, the last word of a row padded with zeros."""
    width = rows.shape[1]
    if width % WORD_BYTES == 0:
        return np.ascontiguousarray(rows).view(np.uint64)
    words = np.zeros((len(rows), width // WORD_BYTES + 1), np.uint64)
    words.view(np.uint8)[:, :width] = rows
    return words


def in_panels(rows: Integer[Array, "outputs words"], panel: int) -> Integer[Array, "panels words panel"]:
    """Panels from a row of numbers for each output, padded with zeros."""
    padded = np.zeros((-(-len(rows) // panel) * panel, rows.shape[1]), rows.dtype)
    padded[: len(rows)] = rows
    panels = padded.reshape(-1, panel, rows.shape[1]).transpose(0, 2, 1)
    out = aligned(panels.shape, panels.dtype)
    out[:] = panels
    return out


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array that begins with a cache line, so that no register is read from or written to two."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(size + LINE, np.uint8)
    return room[(start := -room.ctypes.data % LINE) : start + size].view(dtype).reshape(shape)


def products_by(compiled: Callable[..., None]) -> Callable[..., Int32[Array, "rows padded_outputs"]]:
    """A function of (activations, weights, length, out) that gives inner products of signs.

    They are length - 2 (number of positions in which the signs differ). The result goes to
    ``out`` where that is given.
    """

    def products(activations: Array, weights: Array, length: int, out: Array | None = None) -> Any:
        if out is None:
            out = aligned((len(activations), len(weights) * weights.shape[-1]), np.int32)
        compiled(activations, weights, out, length)
        return out

    return products
