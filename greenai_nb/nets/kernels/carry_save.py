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

import numpy as np
from jaxtyping import UInt8, UInt32
from numba import uint64
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
    store_reached,
    xor,
)
from greenai_nb.nets.kernels.panels import in_panels, products_by, reached_by, whole_words

ROWS, PANEL = 4, 2 * LANES
# Products per cycle: a pair of words is five instructions for 2 x 512 signs, and two start per cycle.
PEAK = 2 * 32 * LANES / 2.5
LEVELS = np.int32


@njit(nogil=True)
def _pair(words: Any, out: Any) -> None:
    """Replace every second word of a row by the parity of all words so far."""
    low, half = uint64(0xFFFFFFFF), uint64(32)
    for row in range(words.shape[0]):
        parity = uint64(0)
        for at in range(words.shape[1]):
            pair = words[row, at]
            parity ^= pair ^ (pair >> half)
            out[row, at] = (pair & low) | (parity << half)


def pack_activations(rows: UInt8[Array, "rows bytes"]) -> UInt32[Array, "rows words"]:
    """Pairs (w0, parity of all words up to w1) from packed signs; zeros pad the last pair."""
    words = whole_words(rows)
    pairs = np.empty_like(words)
    _pair(words, pairs)
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
def _store_products(out: Any, at: int, counts: Any, length: int) -> None:
    store_products(out, at, counts[0], length)
    store_products(out, at + LANES, counts[1], length)


@njit(nogil=True)
def _products(a: Any, b: Any, out: Any, length: int) -> None:
    rows, words = a.shape
    width = out.shape[1]
    whole = rows // ROWS * ROWS
    for panel in range(b.shape[0]):
        at_b = panel * words * PANEL
        for row in range(0, whole, ROWS):
            at = row * width + panel * PANEL
            one, two, three, four = _tile(a, row * words, b, at_b, words)
            _store_products(out, at, one, length)
            _store_products(out, at + width, two, length)
            _store_products(out, at + 2 * width, three, length)
            _store_products(out, at + 3 * width, four, length)
        for row in range(whole, rows):
            counts = _short_tile(a, row * words, b, at_b, words)
            _store_products(out, row * width + panel * PANEL, counts, length)


@njit(nogil=True)
def _store_reached(out: Any, at: int, counts: Any, levels: Any, level: int) -> None:
    store_reached(out, at, counts[0], levels, level)
    store_reached(out, at + LANES // 8, counts[1], levels, level + LANES)


@njit(nogil=True)
def _after(position: int, kinds: Any) -> int:
    """The next position of an image; after the last comes the first, of the next image."""
    return position + 1 if position + 1 < len(kinds) else 0


@njit(nogil=True)
def _reached(a: Any, b: Any, kinds: Any, levels: Any, out: Any) -> None:
    rows, words = a.shape
    outputs, width = levels.shape[1], out.shape[1]
    whole = rows // ROWS * ROWS
    for panel in range(b.shape[0]):
        at_b, level = panel * words * PANEL, panel * PANEL
        at, position = panel * (PANEL // 8), 0
        for row in range(0, whole, ROWS):
            one, two, three, four = _tile(a, row * words, b, at_b, words)
            _store_reached(out, at, one, levels, kinds[position] * outputs + level)
            at, position = at + width, _after(position, kinds)
            _store_reached(out, at, two, levels, kinds[position] * outputs + level)
            at, position = at + width, _after(position, kinds)
            _store_reached(out, at, three, levels, kinds[position] * outputs + level)
            at, position = at + width, _after(position, kinds)
            _store_reached(out, at, four, levels, kinds[position] * outputs + level)
            at, position = at + width, _after(position, kinds)
        for row in range(whole, rows):
            counts = _short_tile(a, row * words, b, at_b, words)
            _store_reached(out, at, counts, levels, kinds[position] * outputs + level)
            at, position = at + width, _after(position, kinds)


products, reached = products_by(_products), reached_by(_reached)
