"""The product of signs by table look-up, for processors with AVX2 and no population count on vectors.

Four signs of an activation select one of sixteen rows of a table, and the row says, for each of the
sixteen patterns of four weight signs, how many of the four differ. One shuffle looks this number up for
32 outputs at once: 128 multiply-accumulates by two instructions, a shuffle and an add.

Each of 32 lanes is one output and holds its differences in a byte. A byte is full after 31 pairs of
look-ups (62 x 4 < 256) and is then added to 16 bits. A tile of 3 rows x 64 outputs keeps its sums in
registers.

Layouts: an activation row is a list of table offsets, one byte for four signs (pattern times 16). The
weights are panels of 64 outputs, a byte for eight signs of each, in the order in which a register
splits into even and odd bytes.

Source: counting bits by ``pshufb`` is an idea of Mula, Kurz and Lemire, *Faster population counts using
AVX2 instructions* (2018).
"""

from typing import Any

import numba
import numpy as np
from jaxtyping import UInt8
from numba import uint8
from numpy import ndarray as Array

from greenai_nb.compiled import njit
from greenai_nb.nets.kernels.images import convolutions
from greenai_nb.nets.kernels.lookup_instructions import (
    LANES,
    PATTERNS,
    add_even,
    add_looked_up,
    add_odd,
    high_half,
    load_bytes,
    low_half,
    no_bytes,
    no_shorts,
    store_products,
    table_row,
)
from greenai_nb.nets.kernels.panels import in_panels, products_by

ROWS, PANEL, GROUP = 3, 64, 16
FULL = 31
LONGEST = np.iinfo(np.int16).max
DIFFERENCES = np.array([(a ^ b).bit_count() for a in range(PATTERNS) for b in range(PATTERNS)], np.uint8)


@njit(nogil=True)
def _offsets(rows: Any, out: Any) -> None:
    for row in range(rows.shape[0]):
        for byte in range(rows.shape[1]):
            signs = rows[row, byte]
            out[row, 2 * byte] = signs << uint8(4)
            out[row, 2 * byte + 1] = signs & uint8(0xF0)


def pack_activations(rows: UInt8[Array, "rows bytes"]) -> UInt8[Array, "padded_rows halves"]:
    """Table offsets from packed signs; rows are padded to a multiple of three."""
    out = np.empty((-(-len(rows) // ROWS) * ROWS, 2 * rows.shape[1]), np.uint8)
    out[len(rows) :] = 0
    _offsets(rows, out)
    return out


def pack_weights(rows: UInt8[Array, "outputs bytes"]) -> UInt8[Array, "panels bytes panel"]:
    """Panels of 64 outputs from packed signs, padded with zeros."""
    half = np.arange(LANES // 2)
    together = np.stack([half, half + LANES // 2], axis=1).ravel()
    return in_panels(rows, PANEL).take(np.concatenate([together, together + LANES]), axis=-1)


@njit(nogil=True)
def _differences(a: Any, row: int, stride: int, b: Any, panel: int, pairs: int) -> Any:
    """Three rows of activations against 64 outputs: for each row four registers of 16 differences.

    Names end in row and half of the panel.
    """
    even00 = even01 = even10 = even11 = even20 = even21 = no_shorts()
    odd00 = odd01 = odd10 = odd11 = odd20 = odd21 = no_shorts()
    for first in range(0, pairs, FULL):
        sum00 = sum01 = sum10 = sum11 = sum20 = sum21 = no_bytes()
        for pair in range(first, min(first + FULL, pairs)):
            left = load_bytes(b, panel + pair * PANEL)
            right = load_bytes(b, panel + pair * PANEL + LANES)
            at_row = row + 2 * pair
            w0, w1 = low_half(left), low_half(right)
            x = table_row(DIFFERENCES, a, at_row)
            sum00, sum01 = add_looked_up(sum00, x, w0), add_looked_up(sum01, x, w1)
            x = table_row(DIFFERENCES, a, at_row + stride)
            sum10, sum11 = add_looked_up(sum10, x, w0), add_looked_up(sum11, x, w1)
            x = table_row(DIFFERENCES, a, at_row + 2 * stride)
            sum20, sum21 = add_looked_up(sum20, x, w0), add_looked_up(sum21, x, w1)
            w0, w1 = high_half(left), high_half(right)
            x = table_row(DIFFERENCES, a, at_row + 1)
            sum00, sum01 = add_looked_up(sum00, x, w0), add_looked_up(sum01, x, w1)
            x = table_row(DIFFERENCES, a, at_row + stride + 1)
            sum10, sum11 = add_looked_up(sum10, x, w0), add_looked_up(sum11, x, w1)
            x = table_row(DIFFERENCES, a, at_row + 2 * stride + 1)
            sum20, sum21 = add_looked_up(sum20, x, w0), add_looked_up(sum21, x, w1)
        even00, odd00 = add_even(even00, sum00), add_odd(odd00, sum00)
        even01, odd01 = add_even(even01, sum01), add_odd(odd01, sum01)
        even10, odd10 = add_even(even10, sum10), add_odd(odd10, sum10)
        even11, odd11 = add_even(even11, sum11), add_odd(odd11, sum11)
        even20, odd20 = add_even(even20, sum20), add_odd(odd20, sum20)
        even21, odd21 = add_even(even21, sum21), add_odd(odd21, sum21)
    return (
        (even00, odd00, even01, odd01),
        (even10, odd10, even11, odd11),
        (even20, odd20, even21, odd21),
    )


@njit(nogil=True)
def _products(a: Any, b: Any, out: Any, length: int) -> None:
    rows, stride = a.shape
    panels, pairs, _ = b.shape
    width = out.shape[1]
    for panel in range(panels):
        for row in range(0, rows, ROWS):
            at = row * width + panel * PANEL
            for counts in _differences(a, row * stride, stride, b, panel * pairs * PANEL, pairs):
                for group, count in enumerate(counts):
                    store_products(out, at + group * GROUP, count, length)
                at += width


@numba.njit(nogil=True)
def _prepared(rows: Any, paired: bool) -> Any:
    out = np.empty((-(-len(rows) // ROWS) * ROWS, 2 * rows.shape[1]), np.uint8)
    _offsets(rows, out)
    return out


products, (signs, numbers) = products_by(_products), convolutions(__name__, _prepared, _products, False)
