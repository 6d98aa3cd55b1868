"""The product of signs by table look-up, for processors with AVX2 and no population count on vectors.

Four signs of an activation are one of sixteen rows of a table, and the row says, for each of the
sixteen patterns that four signs of a weight can have, in how many the two differ. One shuffle looks the
row up for 32 outputs at once: 128 multiply-accumulates by two instructions, a shuffle and an add.

Each of 32 lanes is one output and holds its differences in a byte. A byte is full after 31 pairs of
look-ups (62 x 4 < 256) and is then added to 16 bits. A tile of 3 rows x 64 outputs keeps its sums in
registers.

Layouts: an activation row is a list of table offsets, one byte for four signs (pattern times 16). The
weights are panels of 64 outputs, a byte for eight signs of each, in the order in which a register's even
and odd bytes come apart.

Source: the idea of counting bits by ``pshufb`` is Mula, Kurz and Lemire, *Faster population counts using
AVX2 instructions* (2018).
"""

from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8
from llvmlite import ir
from numba import njit, types, uint8
from numba.extending import intrinsic
from numpy import ndarray as Array

from greenai_nb.nets.kernels.registers import (
    BYTE,
    INT,
    LONG,
    Register,
    call,
    constant,
    fill,
    load,
    pointer,
    unaligned,
    zero,
)

ROWS, PANEL, LANES = 3, 64, 32
FULL = 31
PATTERNS = 16
DIFFERENCES = np.array([(a ^ b).bit_count() for a in range(PATTERNS) for b in range(PATTERNS)], np.uint8)

Bytes = Register(8, LANES)
Shorts = Register(16, LANES // 2)
no_bytes, no_shorts, load_bytes = zero(Bytes), zero(Shorts), load(Bytes)


@intrinsic
def low_half(typing: Any, x: Any) -> Any:
    """The lower four signs of each byte."""
    return Bytes(Bytes), lambda context, builder, signature, args: builder.and_(
        args[0], constant(Bytes.vector, 15)
    )


@intrinsic
def high_half(typing: Any, x: Any) -> Any:
    """The upper four signs of each byte."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = builder.bitcast(args[0], Shorts.vector)
        shifted = builder.bitcast(builder.lshr(pairs, constant(Shorts.vector, 4)), Bytes.vector)
        return builder.and_(shifted, constant(Bytes.vector, 15))

    return Bytes(Bytes), code


@intrinsic
def table_row(typing: Any, table: Any, offsets: Any, index: Any) -> Any:
    """The row of differences at ``offsets[index]``, twice in a register."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = pointer(context, builder, signature.args[1], args[1], args[2], BYTE)
        offset = builder.zext(builder.load(at), LONG)
        half = ir.VectorType(BYTE, PATTERNS)
        row = unaligned(
            builder.load(pointer(context, builder, signature.args[0], args[0], offset, half))
        )
        twice = ir.Constant(ir.VectorType(INT, LANES), [*range(PATTERNS)] * 2)
        return builder.shuffle_vector(row, ir.Constant(half, ir.Undefined), twice)

    return Bytes(table, offsets, types.intp), code


@intrinsic
def add_looked_up(typing: Any, total: Any, row: Any, patterns: Any) -> Any:
    """``total`` plus what the row says for the pattern of each lane."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total, row, patterns = args
        found = call(builder, "llvm.x86.avx2.pshuf.b", Bytes.vector, row, patterns)
        return builder.add(total, found)

    return Bytes(Bytes, Bytes, Bytes), code


@intrinsic
def add_even(typing: Any, total: Any, x: Any) -> Any:
    """``total`` plus the even bytes."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = builder.bitcast(args[1], Shorts.vector)
        return builder.add(args[0], builder.and_(pairs, constant(Shorts.vector, 255)))

    return Shorts(Shorts, Bytes), code


@intrinsic
def add_odd(typing: Any, total: Any, x: Any) -> Any:
    """``total`` plus the odd bytes."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = builder.bitcast(args[1], Shorts.vector)
        return builder.add(args[0], builder.lshr(pairs, constant(Shorts.vector, 8)))

    return Shorts(Shorts, Bytes), code


@intrinsic
def store_products(typing: Any, out: Any, index: Any, differences: Any, length: Any) -> Any:
    """Write 16 products, length - 2 differences each."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        ints = ir.VectorType(INT, LANES // 2)
        differences = builder.zext(args[2], ints)
        lengths = fill(builder, ints, builder.trunc(args[3], INT))
        products = builder.sub(lengths, builder.add(differences, differences))
        at = pointer(context, builder, signature.args[0], args[0], args[1], ints)
        unaligned(builder.store(products, at))
        return context.get_dummy_value()

    return types.none(out, types.intp, Shorts, types.intp), code


@njit(cache=True, nogil=True)
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
    outputs, width = rows.shape
    padded = np.zeros((-(-outputs // PANEL) * PANEL, width), np.uint8)
    padded[:outputs] = rows
    half = np.arange(LANES // 2)
    together = np.stack([half, half + LANES // 2], axis=1).ravel()
    order = np.concatenate([together, together + LANES])
    return np.ascontiguousarray(padded.reshape(-1, PANEL, width)[:, order].transpose(0, 2, 1))


@njit(cache=True, nogil=True)
def _tile(
    table: Any, a: Any, row: int, stride: int, b: Any, panel: int, pairs: int, out: Any, at: int,
    width: int, length: int,
) -> None:  # fmt: skip
    """Three rows of activations against 64 outputs; names end in row and half of the panel."""
    even00 = even01 = even10 = even11 = even20 = even21 = no_shorts()
    odd00 = odd01 = odd10 = odd11 = odd20 = odd21 = no_shorts()
    for first in range(0, pairs, FULL):
        sum00 = sum01 = sum10 = sum11 = sum20 = sum21 = no_bytes()
        for pair in range(first, min(first + FULL, pairs)):
            left = load_bytes(b, panel + pair * PANEL)
            right = load_bytes(b, panel + pair * PANEL + LANES)
            at_row = row + 2 * pair
            w0, w1 = low_half(left), low_half(right)
            x = table_row(table, a, at_row)
            sum00, sum01 = add_looked_up(sum00, x, w0), add_looked_up(sum01, x, w1)
            x = table_row(table, a, at_row + stride)
            sum10, sum11 = add_looked_up(sum10, x, w0), add_looked_up(sum11, x, w1)
            x = table_row(table, a, at_row + 2 * stride)
            sum20, sum21 = add_looked_up(sum20, x, w0), add_looked_up(sum21, x, w1)
            w0, w1 = high_half(left), high_half(right)
            x = table_row(table, a, at_row + 1)
            sum00, sum01 = add_looked_up(sum00, x, w0), add_looked_up(sum01, x, w1)
            x = table_row(table, a, at_row + stride + 1)
            sum10, sum11 = add_looked_up(sum10, x, w0), add_looked_up(sum11, x, w1)
            x = table_row(table, a, at_row + 2 * stride + 1)
            sum20, sum21 = add_looked_up(sum20, x, w0), add_looked_up(sum21, x, w1)
        even00, odd00 = add_even(even00, sum00), add_odd(odd00, sum00)
        even01, odd01 = add_even(even01, sum01), add_odd(odd01, sum01)
        even10, odd10 = add_even(even10, sum10), add_odd(odd10, sum10)
        even11, odd11 = add_even(even11, sum11), add_odd(odd11, sum11)
        even20, odd20 = add_even(even20, sum20), add_odd(odd20, sum20)
        even21, odd21 = add_even(even21, sum21), add_odd(odd21, sum21)
    _store_row(out, at, even00, odd00, even01, odd01, length)
    _store_row(out, at + width, even10, odd10, even11, odd11, length)
    _store_row(out, at + 2 * width, even20, odd20, even21, odd21, length)


@njit(cache=True, nogil=True)
def _store_row(out: Any, at: int, even0: Any, odd0: Any, even1: Any, odd1: Any, length: int) -> None:
    store_products(out, at, even0, length)
    store_products(out, at + 16, odd0, length)
    store_products(out, at + 32, even1, length)
    store_products(out, at + 48, odd1, length)


@njit(cache=True, nogil=True)
def _products(table: Any, a: Any, b: Any, out: Any, length: int) -> None:
    rows, stride = a.shape
    panels, pairs, _ = b.shape
    width = out.shape[1]
    for panel in range(panels):
        for row in range(0, rows, ROWS):
            start = row * width + panel * PANEL
            _tile(
                table,
                a,
                row * stride,
                stride,
                b,
                panel * pairs * PANEL,
                pairs,
                out,
                start,
                width,
                length,
            )


def products(
    activations: UInt8[Array, "padded_rows halves"],
    weights: UInt8[Array, "panels bytes panel"],
    length: int,
    out: Array | None = None,
) -> Int32[Array, "padded_rows padded_outputs"]:
    """Inner products of signs, length - 2 (number of places in which they differ).

    ``out`` is written to where it is given, and returned.
    """
    if out is None:
        out = np.empty((len(activations), len(weights) * PANEL), np.int32)
    _products(DIFFERENCES, activations, weights, out, length)
    return out
