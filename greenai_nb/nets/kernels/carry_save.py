"""The product of signs with half the population counts, for processors with AVX-512 VPOPCNTDQ.

Counting the ones of x and then of y costs two counts. A carry-save adder costs one: keep a running
parity s, bit by bit. For two more words x and y

    ones(s) + ones(x) + ones(y) = ones(s ^ x ^ y) + 2 ones(majority(s, x, y)) .

The new parity s' = s ^ x ^ y needs no work, since XOR is linear: with activations a and weights b it is
the XOR of the *prefix* parities of a and of b, which are made once, when packing. So of two words
(w0, w1) the packed form stores (w0, w0 ^ w1 ^ all words before), and the second word is never formed:
majority(s, x, y) is x where s and x agree and not s' where they differ. One such choice is one
instruction on AVX-512. Per pair of words: two XORs, a choice, a count and an add, for 2 x 512 products.

A tile of 4 rows x 2 registers keeps parities and counts in registers. On other processors the same code
runs on shorter registers, exact and slower.

Layouts: rows of 32-bit words, in pairs as above; weights in panels of two registers.

Source: carry-save counting is Harley and Seal's, in Warren, *Hacker's Delight* (2013), chapter 5.
"""

from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8, UInt32
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy import ndarray as Array

from greenai_nb.nets.kernels.processor import features
from greenai_nb.nets.kernels.registers import (
    INT,
    Register,
    call,
    constant,
    fill,
    load,
    pointer,
    unaligned,
    zero,
)

AVX512 = "avx512f" in features()
LANES = 16 if AVX512 else 8
ROWS, PANEL = 4, 2 * LANES
PAIR_BYTES = 8
CHOICES = 8

Words = Register(32, LANES)
no_words, load_words = zero(Words), load(Words)


def _majority_of(index: int) -> int:
    """Majority of s, x and y from the bits (s, x, s ^ x ^ y) of an index."""
    s, x, parity = index >> 2 & 1, index >> 1 & 1, index & 1
    return x if s == x else 1 - parity


MAJORITY = sum(_majority_of(index) << index for index in range(CHOICES))


@intrinsic
def broadcast(typing: Any, array: Any, index: Any) -> Any:
    """A register filled with one word of an array."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = pointer(context, builder, signature.args[0], args[0], args[1], INT)
        return fill(builder, Words.vector, unaligned(builder.load(at)))

    return Words(array, types.intp), code


@intrinsic
def xor(typing: Any, x: Any, y: Any) -> Any:
    """Where two registers differ."""
    return Words(Words, Words), lambda context, builder, signature, args: builder.xor(*args)


@intrinsic
def add_majority(typing: Any, count: Any, before: Any, x: Any, after: Any) -> Any:
    """``count`` plus the ones of majority(s, x, y), from the parities before and after x and y."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count, before, x, after = args
        if AVX512:
            table = ir.Constant(INT, MAJORITY)
            name = "llvm.x86.avx512.pternlog.d.512"
            majority = call(builder, name, Words.vector, before, x, after, table)
        else:
            differ, same = builder.xor(x, before), builder.xor(x, after)
            majority = builder.xor(x, builder.and_(differ, builder.not_(same)))
        return builder.add(count, _ones(builder, majority))

    return Words(Words, Words, Words, Words), code


@intrinsic
def store_products(typing: Any, out: Any, index: Any, count: Any, parity: Any, length: Any) -> Any:
    """Write one register of products, length - 2 (2 count + ones of the last parity)."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = constant(Words.vector, 1)
        differ = builder.add(builder.shl(args[2], one), _ones(builder, args[3]))
        lengths = fill(builder, Words.vector, builder.trunc(args[4], INT))
        at = pointer(context, builder, signature.args[0], args[0], args[1], Words.vector)
        unaligned(builder.store(builder.sub(lengths, builder.shl(differ, one)), at))
        return context.get_dummy_value()

    return types.none(out, types.intp, Words, Words, types.intp), code


def _ones(builder: Any, x: Any) -> Any:
    return call(builder, f"llvm.ctpop.v{LANES}i32", Words.vector, x)


def _rows_of_pairs(rows: UInt8[Array, "rows bytes"], multiple: int) -> UInt32[Array, "padded words"]:
    """Words in pairs (w0, parity of all words up to w1); zeros pad rows and words."""
    width = -(-rows.shape[1] // PAIR_BYTES) * PAIR_BYTES
    padded = np.zeros((-(-len(rows) // multiple) * multiple, width), np.uint8)
    padded[: len(rows), : rows.shape[1]] = rows
    words = padded.view(np.uint32)
    words[:, 1::2] = np.bitwise_xor.accumulate(words, axis=1)[:, 1::2]
    return words


def pack_activations(rows: UInt8[Array, "rows bytes"]) -> UInt32[Array, "padded_rows words"]:
    """Rows of paired words from packed signs; the number of rows is padded to a multiple of four."""
    return _rows_of_pairs(rows, ROWS)


def pack_weights(rows: UInt8[Array, "outputs bytes"]) -> UInt32[Array, "panels words panel"]:
    """Panels of two registers of outputs, from packed signs, padded with zeros."""
    words = _rows_of_pairs(rows, PANEL)
    return np.ascontiguousarray(words.reshape(-1, PANEL, words.shape[1]).transpose(0, 2, 1))


@njit(cache=True, nogil=True)
def _tile(a: Any, row: int, b: Any, panel: int, words: int, out: Any, at: int, width: int, length: int) -> None:  # noqa: E501  # fmt: skip
    """Four rows of activations against two registers of outputs; names end in row and register."""
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
    store_products(out, at, count00, parity00, length)
    store_products(out, at + LANES, count01, parity01, length)
    store_products(out, at + width, count10, parity10, length)
    store_products(out, at + width + LANES, count11, parity11, length)
    store_products(out, at + 2 * width, count20, parity20, length)
    store_products(out, at + 2 * width + LANES, count21, parity21, length)
    store_products(out, at + 3 * width, count30, parity30, length)
    store_products(out, at + 3 * width + LANES, count31, parity31, length)


@njit(cache=True, nogil=True)
def _products(a: Any, b: Any, out: Any, length: int) -> None:
    rows, words = a.shape
    width = out.shape[1]
    for panel in range(b.shape[0]):
        for row in range(0, rows, ROWS):
            at = row * width + panel * PANEL
            _tile(a, row * words, b, panel * words * PANEL, words, out, at, width, length)


def products(
    activations: UInt32[Array, "padded_rows words"],
    weights: UInt32[Array, "panels words panel"],
    length: int,
    out: Array | None = None,
) -> Int32[Array, "padded_rows padded_outputs"]:
    """Inner products of signs, length - 2 (number of places in which they differ).

    ``out`` is written to where it is given, and returned.
    """
    if out is None:
        out = np.empty((len(activations), len(weights) * PANEL), np.int32)
    _products(activations, weights, out, length)
    return out
