"""What surrounds a product of signs in a convolution: windows of an image before, signs after.

An image is stored as bytes of packed signs, channels innermost.
"""

from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from numba import uint8, uint64
from numpy import ndarray as Array

from greenai_nb.compiled import njit

UNITS = [np.dtype(f"u{size}") for size in (8, 4, 2, 1)]


@njit(nogil=True)
def _reached(x: Any, thresholds: Any, out: Any) -> None:
    batch, channels, positions = x.shape
    whole = channels // 8
    line = np.empty(positions, np.uint8)
    for n in range(batch):
        for byte in range(whole):
            first = 8 * byte
            rows, least = x[n, first : first + 8], thresholds[first : first + 8]
            for position in range(positions):
                bits = uint8(0)
                for bit in range(8):
                    bits |= uint8(rows[bit, position] >= least[bit]) << uint8(bit)
                line[position] = bits
            for position in range(positions):
                out[n, position, byte] = line[position]
        for position in range(positions if channels % 8 else 0):
            bits = uint8(0)
            for channel in range(8 * whole, channels):
                bits |= uint8(x[n, channel, position] >= thresholds[channel]) << uint8(channel & 7)
            out[n, position, whole] = bits


def reached(
    x: Float32[Array, "batch channels positions"], thresholds: Float32[Array, " channels"]
) -> UInt8[Array, "batch positions bytes"]:
    """Bits of x >= threshold, channels innermost."""
    out = np.empty((x.shape[0], x.shape[2], -(-x.shape[1] // 8)), np.uint8)
    _reached(x, thresholds, out)
    return out


@njit(nogil=True)
def _windows(padded: Any, kernel: int, stride: int, count: int, out: Any) -> None:
    """Copy line by line; indices are unsigned, since numba checks whether signed ones are negative."""
    batch, rows, columns, _ = out.shape
    height, width = padded.shape[1], uint64(padded.shape[2])
    pixels, windows = padded.ravel(), out.ravel()
    line, put = uint64(kernel * count), uint64(0)
    for n in range(batch):
        for row in range(rows):
            for column in range(columns):
                start = (n * height + row * stride) * padded.shape[2] + column * stride * count
                get = uint64(start)
                for _ in range(kernel):
                    for at in range(line):
                        windows[put + at] = pixels[get + at]
                    put += line
                    get += width


def windows(
    image: UInt8[Array, "batch height width bytes"], kernel: int, stride: int, padding: int
) -> UInt8[Array, "batch rows columns kernel_bytes"]:
    """The signs under the filter at each position, in one row; zeros outside the image."""
    batch, height, width, count = image.shape
    high, wide = height + 2 * padding, width + 2 * padding
    padded = np.zeros((batch, high, wide, count), np.uint8)
    padded[:, padding : padding + height, padding : padding + width] = image
    rows, columns = (high - kernel) // stride + 1, (wide - kernel) // stride + 1
    out = np.empty((batch, rows, columns, kernel * kernel * count), np.uint8)
    unit = _widest(count)
    lines = padded.reshape(batch, high, -1).view(unit)
    _windows(lines, kernel, stride, count // unit.itemsize, out.view(unit))
    return out


def _widest(count: int) -> np.dtype[Any]:
    """The largest unsigned integer type whose size divides a number of bytes."""
    return next(unit for unit in UNITS if count % unit.itemsize == 0)


@njit(nogil=True)
def _or_pool(image: Any, kernel: int, stride: int, out: Any) -> None:
    batch, rows, columns, count = out.shape
    for n in range(batch):
        for row in range(rows):
            for column in range(columns):
                for at in range(count):
                    bits = image[n, row * stride, column * stride, at]
                    for i in range(kernel):
                        for j in range(kernel):
                            bits |= image[n, row * stride + i, column * stride + j, at]
                    out[n, row, column, at] = bits


def or_pool(
    image: UInt8[Array, "batch height width bytes"], kernel: int, stride: int
) -> UInt8[Array, "batch rows columns bytes"]:
    """The OR of the bits in each window: the largest of its signs."""
    batch, height, width, count = image.shape
    rows, columns = ((n - kernel) // stride + 1 for n in (height, width))
    out = np.empty((batch, rows, columns, count), np.uint8)
    unit = _widest(count)
    _or_pool(image.view(unit), kernel, stride, out.view(unit))
    return out
