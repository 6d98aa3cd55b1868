"""What surrounds a product of signs in a convolution: windows of an image before, signs after.

An image is bytes of packed signs, channels innermost.
"""

from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from numba import njit, uint8
from numpy import ndarray as Array


@njit(cache=True, nogil=True)
def _signs_of(x: Any, out: Any) -> None:
    batch, channels, places = x.shape
    for n in range(batch):
        out[n] = 0
        for channel in range(channels):
            byte, bit = channel >> 3, uint8(channel & 7)
            for place in range(places):
                out[n, place, byte] |= uint8(x[n, channel, place] >= 0) << bit


def signs_of(
    x: Float32[Array, "batch channels places"],
) -> UInt8[Array, "batch places bytes"]:
    """Signs of floats as bits, channels innermost; zero counts as +1."""
    out = np.empty((x.shape[0], x.shape[2], -(-x.shape[1] // 8)), np.uint8)
    _signs_of(x, out)
    return out


@njit(cache=True, nogil=True)
def _windows(image: Any, kernel: int, stride: int, padding: int, out: Any) -> None:
    batch, height, width, count = image.shape
    rows, columns = out.shape[1], out.shape[2]
    for n in range(batch):
        for row in range(rows):
            for column in range(columns):
                for i in range(kernel):
                    y = row * stride + i - padding
                    for j in range(kernel):
                        x = column * stride + j - padding
                        at = (i * kernel + j) * count
                        if 0 <= y < height and 0 <= x < width:
                            for byte in range(count):
                                out[n, row, column, at + byte] = image[n, y, x, byte]
                        else:
                            for byte in range(count):
                                out[n, row, column, at + byte] = 0


def windows(
    image: UInt8[Array, "batch height width bytes"], kernel: int, stride: int, padding: int
) -> UInt8[Array, "batch rows columns kernel_bytes"]:
    """The signs under the filter at each place, in one row; zeros outside the image."""
    batch, height, width, count = image.shape
    rows, columns = ((n + 2 * padding - kernel) // stride + 1 for n in (height, width))
    out = np.empty((batch, rows, columns, kernel * kernel * count), np.uint8)
    _windows(image, kernel, stride, padding, out)
    return out


@njit(cache=True, nogil=True)
def _reached(y: Any, kinds: Any, thresholds: Any, out: Any) -> None:
    rows, count = out.shape
    places = kinds.shape[0]
    for row in range(rows):
        level = thresholds[kinds[row % places]]
        for byte in range(count):
            bits = uint8(0)
            for bit in range(8):
                at = byte * 8 + bit
                bits |= uint8(y[row, at] >= level[at]) << uint8(bit)
            out[row, byte] = bits


def levels_of(
    thresholds: Int32[Array, "kinds outputs"], length: int
) -> Int32[Array, "kinds padded_outputs"]:
    """Thresholds padded to whole bytes with ones that no product of ``length`` signs reaches."""
    outputs = thresholds.shape[1]
    levels = np.full((len(thresholds), -(-outputs // 8) * 8), length + 1, np.int32)
    levels[:, :outputs] = thresholds
    return levels


def reached(
    y: Int32[Array, "rows padded_outputs"],
    kinds: Int32[Array, " places"],
    thresholds: Int32[Array, "kinds padded_outputs"],
) -> UInt8[Array, "rows bytes"]:
    """Bits of y >= threshold, eight outputs a byte; the places of an image repeat along the rows.

    ``kinds`` says for each place which row of ``thresholds`` holds there: places at the border have
    their own. Outputs are padded to whole bytes.
    """
    out = np.empty((len(y), thresholds.shape[1] // 8), np.uint8)
    _reached(y, kinds, thresholds, out)
    return out


@njit(cache=True, nogil=True)
def _or_pool(image: Any, kernel: int, stride: int, out: Any) -> None:
    batch, rows, columns, count = out.shape
    for n in range(batch):
        for row in range(rows):
            for column in range(columns):
                for byte in range(count):
                    bits = uint8(0)
                    for i in range(kernel):
                        for j in range(kernel):
                            bits |= image[n, row * stride + i, column * stride + j, byte]
                    out[n, row, column, byte] = bits


def or_pool(
    image: UInt8[Array, "batch height width bytes"], kernel: int, stride: int
) -> UInt8[Array, "batch rows columns bytes"]:
    """The OR of the bits in each window: the largest of its signs."""
    batch, height, width, count = image.shape
    rows, columns = ((n - kernel) // stride + 1 for n in (height, width))
    out = np.empty((batch, rows, columns, count), np.uint8)
    _or_pool(image, kernel, stride, out)
    return out
