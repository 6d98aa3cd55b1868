"""The product of signs in plain loops over 64-bit words: XOR, count the ones, subtract.

With n signs, of which d differ, the inner product is n - 2 d. The compiler optimizes the loops as best
it can on any processor; this is the kernel to read first.

Layouts: rows of 64-bit words for the activations; for the weights, words of 64 neighbouring outputs lie
side by side, so that the compiler can count for several outputs at once. Four activation words meet them
before a count is written back.
"""

from typing import Any

import numba
import numpy as np
from jaxtyping import Int32, UInt8, UInt64
from numba import types, uint64
from numba.extending import intrinsic
from numpy import ndarray as Array

from greenai_nb.compiled import njit
from greenai_nb.nets.kernels.images import convolutions
from greenai_nb.nets.kernels.panels import in_panels, products_by, whole_words
from greenai_nb.nets.kernels.registers import call

PANEL, FUSED = 64, 4


@intrinsic
def count_ones(typing: Any, word: Any) -> Any:
    """Number of ones in a 64-bit word, one instruction where the processor has it."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return call(builder, "llvm.ctpop.i64", args[0].type, args[0])

    return types.uint64(types.uint64), code


pack_activations = whole_words


def pack_weights(rows: UInt8[Array, "outputs bytes"]) -> UInt64[Array, "panels words panel"]:
    """Panels of 64 outputs from packed signs, padded with zeros."""
    return in_panels(pack_activations(rows), PANEL)


@njit(nogil=True)
def _naive(a: Any, b: Any, out: Any, length: int) -> None:
    for row in range(a.shape[0]):
        for output in range(b.shape[0]):
            differ = uint64(0)
            for word in range(a.shape[1]):
                differ += count_ones(a[row, word] ^ b[output, word])
            out[row, output] = length - 2 * differ


def naive_products(
    activations: UInt64[Array, "rows words"], weights: UInt64[Array, "outputs words"], length: int
) -> Int32[Array, "rows outputs"]:
    """Inner products of signs, one after another, both sides as rows of words."""
    out = np.empty((len(activations), len(weights)), np.int32)
    _naive(activations, weights, out, length)
    return out


@njit(nogil=True)
def _differences(row: Any, panel: Any, differ: Any) -> None:
    """In how many positions a row of activations differs from each output of a panel."""
    words = len(row)
    whole = words // FUSED * FUSED
    differ[:] = 0
    for word in range(0, whole, FUSED):
        x0, x1, x2, x3 = row[word], row[word + 1], row[word + 2], row[word + 3]
        for output in range(PANEL):
            differ[output] += (
                count_ones(x0 ^ panel[word, output])
                + count_ones(x1 ^ panel[word + 1, output])
                + count_ones(x2 ^ panel[word + 2, output])
                + count_ones(x3 ^ panel[word + 3, output])
            )
    for word in range(whole, words):
        for output in range(PANEL):
            differ[output] += count_ones(row[word] ^ panel[word, output])


@njit(nogil=True)
def _products(a: Any, b: Any, out: Any, length: int) -> None:
    differ = np.empty(PANEL, np.uint64)
    for panel in range(b.shape[0]):
        for row in range(a.shape[0]):
            _differences(a[row], b[panel], differ)
            for output in range(PANEL):
                out[row, panel * PANEL + output] = length - 2 * differ[output]


@numba.njit(nogil=True)
def _prepared(rows: Any, paired: bool) -> Any:
    return rows.view(np.uint64)


products, (signs, numbers) = products_by(_products), convolutions(__name__, _prepared, _products, False)
