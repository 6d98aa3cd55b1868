"""What surrounds a product of signs in a convolution: windows of an image before, signs after.

An image is stored as bytes of packed signs, channels innermost.
"""

from typing import Any

import numba
import numpy as np
from numba import uint8, uint64

from greenai_nb.compiled import njit
from greenai_nb.nets.kernels import registers

# Windows that a kernel holds at once, a multiple of the 3 or 4 rows of a tile, and bytes copied at once.
BLOCK = 48
COPIED = 32
WORD, HIGH = uint64(8), uint64(0xFFFFFFFF << 32)
copy = registers.copy(registers.Register(64, COPIED // 8))
LANES = 16
Ints = registers.Register(32, LANES)
load_ints, store_reached = registers.load(Ints), registers.store_reached(Ints)


@numba.njit(nogil=True)
def blocks(image: Any, window: Any, positions: int, size: int, paired: bool) -> Any:
    """Windows of ``size`` bytes as rows, block by block; yields image, first, last and rows.

    A window is the bytes under the filter, zeros outside the image and at its end. ``paired`` ones are
    words as from ``pair``, called once for an image: the parity inside a window is that of the image xor
    that at a line's start. A register may write beyond its line, and the next line overwrites that.
    """
    kernel, stride, padding, columns = window
    batch, height, width, count = image.shape
    wide, line, each = uint64((width + 2 * padding) * count), uint64(kernel * count), uint64(size)
    padded = np.zeros(8 + (height + 2 * padding) * wide + COPIED, np.uint8)
    words, rows = (
        padded[: len(padded) // 8 * 8].view(np.uint64),
        np.empty(BLOCK * size + COPIED, np.uint8),
    )
    pixels, get, given = image.ravel(), uint64(0), uint64(width * count)
    whole = given // uint64(COPIED) * uint64(COPIED)
    for n in range(batch):
        if paired:
            words[:] = 0
        for y in range(height):
            put = WORD + (y + padding) * wide + uint64(padding * count)
            for at in range(uint64(0), whole, uint64(COPIED)):
                copy(padded, put + at, pixels, get + at, uint64(0))
            for at in range(whole, given):
                padded[put + at] = pixels[get + at]
            get += given
        if paired:
            pair(words, len(words))
        for first in range(0, positions, BLOCK):
            last, end = min(first + BLOCK, positions), uint64(0)
            for position in range(first, last):
                start = uint64(position // columns * stride) * wide
                source = start + uint64(8 + position % columns * stride * count)
                put, end, turned = end, end + each, uint64(0)
                for _ in range(kernel):
                    if paired:
                        turned ^= words[source // WORD - uint64(1)] & HIGH
                    for at in range(uint64(0), line, uint64(COPIED)):
                        copy(rows, put + at, padded, source + at, turned)
                    if paired:
                        turned ^= words[(source + line) // WORD - uint64(1)] & HIGH
                    put, source = put + line, source + wide
                for at in range(put, end):
                    rows[at] = 0
            yield n, first, last, rows[:end].reshape((last - first, size))


@njit(nogil=True)
def pair(words: Any, width: int) -> None:
    """Replace each word (w0, w1) of rows by w0 and the parity of all halves so far, w1 included."""
    for row in range(0, len(words), width):
        before = uint64(0)
        for at in range(uint64(row), uint64(row + width)):
            halves = words[at] ^ (words[at] << uint64(32))
            words[at] = halves ^ before
            before ^= halves & HIGH


@numba.njit(nogil=True)
def _pool_signs(kept: Any, columns: int, pool: Any, flips: Any, out: Any) -> None:
    """The OR of the bits in each window of an image, which is the largest of its signs, then flips."""
    kernel, stride = pool
    bits, turned = kept.view(out.dtype), flips.view(out.dtype)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            for at in range(out.shape[2]):
                found = bits[row * stride * columns + column * stride, at]
                for i in range(kernel):
                    for j in range(kernel):
                        found |= bits[(row * stride + i) * columns + column * stride + j, at]
                out[row, column, at] = found ^ turned[at]


@numba.njit(nogil=True)
def _pool_numbers(kept: Any, columns: int, pool: Any, scales: Any, out: Any) -> None:
    """The largest number in each window of an image, then scale and shift."""
    (kernel, stride), (outputs, rows, pooled_columns) = pool, out.shape
    best, flat = np.empty(outputs, np.int32), kept.ravel()
    for row in range(rows):
        for column in range(pooled_columns):
            best[:] = np.iinfo(np.int32).min
            for i in range(kernel):
                for j in range(kernel):
                    at = uint64(((row * stride + i) * columns + column * stride + j) * kept.shape[1])
                    for output in range(uint64(outputs)):
                        best[output] = max(best[output], flat[at + output])
            for output in range(outputs):
                level = np.float32(best[output])
                out[output, row, column] = level * scales[0, output] + scales[1, output]


@numba.njit(nogil=True)
def _keep_signs(y: Any, border: Any, first: int, last: int, kept: Any) -> None:
    (kinds, levels), width = border, y.shape[1]
    for position in range(first, last):
        at, level = (position - first) * width, kinds[position] * width
        for output in range(0, width, LANES):
            put = (position * width + output) // 8
            store_reached(kept, put, load_ints(y, at + output), levels, level + output)


@numba.njit(nogil=True)
def _keep_numbers(y: Any, border: Any, first: int, last: int, kept: Any) -> None:
    (kinds, added), width, given, flat = border, uint64(y.shape[1]), y.ravel(), kept.ravel()
    terms = added.ravel()
    for position in range(first, last):
        put, term = uint64(position) * width, uint64(kinds[position]) * width
        for at in range(width):
            flat[put + at] = given[uint64(position - first) * width + at] + terms[term + at]


@njit(nogil=True)
def reached(x: Any, levels: Any, out: Any) -> None:
    """Bits of x >= level for floats (batch, channels, positions), channels innermost."""
    batch, channels, positions = x.shape
    line = np.empty(positions, np.uint8)
    for n in range(batch):
        for byte in range(out.shape[2]):
            line[:] = 0
            for channel in range(8 * byte, min(8 * byte + 8, channels)):
                row, level, bit = x[n, channel], levels[channel], uint8(channel & 7)
                for position in range(positions):
                    line[position] |= uint8(row[position] >= level) << bit
            out[n, :, byte] = line


def convolutions(module: str, prepared: Any, products: Any, pairs: bool) -> tuple[Any, Any]:
    """Two compiled functions of a kernel: a convolution's signs, and its numbers.

    ``module`` is the kernel's. ``prepared`` turns rows of packed signs, as from ``pair`` with ``pairs``,
    into activations; ``products`` multiplies these with the weights ``b``. ``window`` is kernel, stride,
    padding and columns, ``pool`` kernel and stride. ``border`` is the kind of each position, and for a
    kind the levels that products must reach, or what is added; ``after``: flips, or scales and shifts.
    """

    def compiled(keep: Any, pool_kept: Any, kept_type: Any, in_one: int) -> Any:
        @njit(module, nogil=True)
        def convolution(
            window: Any, b: Any, length: int, border: Any, pool: Any, after: Any, image: Any, out: Any
        ) -> None:
            end, width, size = len(border[0]), len(b) * b.shape[2], b.shape[1] * b.itemsize
            y, kept = np.empty((BLOCK, width), np.int32), np.empty((end, width // in_one), kept_type)
            paired = pairs and image.shape[3] % 8 == 0
            for n, first, last, rows in blocks(image, window, end, size, paired):
                products(prepared(rows, paired), b, y, length)
                keep(y, border, first, last, kept)
                if last == end:
                    pool_kept(kept, window[3], pool, after, out[n])

        return convolution

    return (
        compiled(_keep_signs, _pool_signs, np.uint8, 8),
        compiled(_keep_numbers, _pool_numbers, np.int32, 1),
    )
