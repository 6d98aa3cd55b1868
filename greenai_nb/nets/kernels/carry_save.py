"""The product of signs with half the population counts, for processors with AVX-512 VPOPCNTDQ.

Counting the ones of x and then of y costs two counts. A carry-save adder costs one: keep a running
parity s, bit by bit. For two more words x and y

    ones(s) + ones(x) + ones(y) = ones(s ^ x ^ y) + 2 ones(majority(s, x, y)) .

The new parity s' = s ^ x ^ y needs no work, since XOR is linear: with activations a and weights b it is
the XOR of the *prefix* parities of a and of b, which are computed once, when packing. So of two words
(w0, w1) the packed form stores (w0, w0 ^ w1 ^ all words before), and the second word is never formed:
majority(s, x, y) is x where s and x agree and not s' where they differ. One such choice is one
instruction on AVX-512. Per pair of words: two XORs, a choice, a count and an add, for 2 x 512 products.

A tile of 4 rows x 2 registers keeps parities and counts in registers. On other processors the same code
runs on shorter registers, just as exact but slower.

Layouts: rows of 32-bit words, in pairs as above; weights in panels of two registers.

Source: carry-save counting is Harley and Seal's, in Warren, *Hacker's Delight* (2013), chapter 5.
"""

from typing import Any

import numba
import numpy as np
from jaxtyping import UInt8, UInt32
from numpy import ndarray as Array

from greenai_nb.compiled import njit
from greenai_nb.nets.kernels.carry_save_instructions import (
    LANES,
    add_majority,
    broadcast,
    differences,
    load_words,
    no_words,
    store_products,
    xor,
)
from greenai_nb.nets.kernels.images import convolutions, pair
from greenai_nb.nets.kernels.panels import in_panels, products_by, whole_words

ROWS, PANEL = 4, 2 * LANES


def pack_activations(rows: UInt8[Array, "rows bytes"]) -> UInt32[Array, "rows words"]:
    """Pairs (w0, parity of all words up to w1) from packed signs; zeros pad the last pair."""
    pairs = whole_words(rows).copy()
    pair(pairs.ravel(), pairs.shape[1])
    return pairs.view(np.uint32)


def pack_weights(rows: UInt8[Array, "outputs bytes"]) -> UInt32[Array, "panels words panel"]:
    """Panels of two registers of outputs, from packed signs, padded with zeros."""
    return in_panels(pack_activations(rows), PANEL)


@njit(nogil=True)
def _tile(a: Any, row: int, b: Any, panel: int, words: int) -> Any:
    """Differences of four rows of activations and two registers of outputs.

    Names end in row and register.
    """
    count00 = count01 = count10 = count11 = count20 = count21 = count30 = count31 = no_words()
    parity00 = parity01 = parity10 = parity11 = parity20 = parity21 = parity30 = parity31 = no_words()
    for word in range(0, words, 2):
        at_b = panel + word * PANEL
        w0, w1 = load_words(b, at_b), load_words(b, at_b + LANES)
        p0, p1 = load_words(b, at_b + PANEL), load_words(b, at_b + PANEL + LANES)
        at_a = row + word
        x, p = broadcast(a, at_a), broadcast(a, at_a + 1)
        after = xor(p, p0)
        count00, parity00 = add_majority(count00, parity00, xor(x, w0), after), after
        after = xor(p, p1)
        count01, parity01 = add_majority(count01, parity01, xor(x, w1), after), after
        x, p = broadcast(a, at_a + words), broadcast(a, at_a + words + 1)
        after = xor(p, p0)
        count10, parity10 = add_majority(count10, parity10, xor(x, w0), after), after
        after = xor(p, p1)
        count11, parity11 = add_majority(count11, parity11, xor(x, w1), after), after
        x, p = broadcast(a, at_a + 2 * words), broadcast(a, at_a + 2 * words + 1)
        after = xor(p, p0)
        count20, parity20 = add_majority(count20, parity20, xor(x, w0), after), after
        after = xor(p, p1)
        count21, parity21 = add_majority(count21, parity21, xor(x, w1), after), after
        x, p = broadcast(a, at_a + 3 * words), broadcast(a, at_a + 3 * words + 1)
        after = xor(p, p0)
        count30, parity30 = add_majority(count30, parity30, xor(x, w0), after), after
        after = xor(p, p1)
        count31, parity31 = add_majority(count31, parity31, xor(x, w1), after), after
    return (
        (differences(count00, parity00), differences(count01, parity01)),
        (differences(count10, parity10), differences(count11, parity11)),
        (differences(count20, parity20), differences(count21, parity21)),
        (differences(count30, parity30), differences(count31, parity31)),
    )


@njit(nogil=True)
def _short_tile(a: Any, row: int, b: Any, panel: int, words: int) -> Any:
    """Differences of one row of activations and two registers of outputs."""
    count0 = count1 = parity0 = parity1 = no_words()
    for word in range(0, words, 2):
        at_b = panel + word * PANEL
        x, p = broadcast(a, row + word), broadcast(a, row + word + 1)
        after = xor(p, load_words(b, at_b + PANEL))
        count0, parity0 = add_majority(count0, parity0, xor(x, load_words(b, at_b)), after), after
        after = xor(p, load_words(b, at_b + PANEL + LANES))
        x = xor(x, load_words(b, at_b + LANES))
        count1, parity1 = add_majority(count1, parity1, x, after), after
    return differences(count0, parity0), differences(count1, parity1)


@njit(nogil=True)
def _products(a: Any, b: Any, out: Any, length: int) -> None:
    rows, words = a.shape
    width = out.shape[1]
    whole = rows // ROWS * ROWS
    for panel in range(b.shape[0]):
        at_b = panel * words * PANEL
        for row in range(0, whole, ROWS):
            at = row * width + panel * PANEL
            for left, right in _tile(a, row * words, b, at_b, words):
                store_products(out, at, left, length)
                store_products(out, at + LANES, right, length)
                at += width
        for row in range(whole, rows):
            left, right = _short_tile(a, row * words, b, at_b, words)
            store_products(out, row * width + panel * PANEL, left, length)
            store_products(out, row * width + panel * PANEL + LANES, right, length)


@numba.njit(nogil=True)
def _prepared(rows: Any, paired: bool) -> Any:
    words = rows.view(np.uint64)
    if not paired:
        pair(words.ravel(), words.shape[1])
    return words.view(np.uint32)


products, (signs, numbers) = products_by(_products), convolutions(__name__, _prepared, _products, True)
