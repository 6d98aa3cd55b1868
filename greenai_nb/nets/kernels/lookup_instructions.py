"""Instructions of the look-up kernel: bytes and shorts in registers of 256 bits."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from greenai_nb.nets.kernels import registers
from greenai_nb.nets.kernels.registers import (
    BYTE,
    INT,
    LONG,
    Register,
    call,
    constant,
    load,
    pointer,
    unaligned,
    zero,
)

LANES, PATTERNS = 32, 16

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
        start = pointer(context, builder, signature.args[0], args[0], offset, half)
        row = unaligned(builder.load(start))
        twice = ir.Constant(ir.VectorType(INT, LANES), [*range(PATTERNS)] * 2)
        return builder.shuffle_vector(row, ir.Constant(half, ir.Undefined), twice)

    return Bytes(table, offsets, types.intp), code


@intrinsic
def add_looked_up(typing: Any, total: Any, row: Any, patterns: Any) -> Any:
    """``total`` plus the row's number for the pattern in each lane."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total, row, patterns = args
        looked_up = call(builder, "llvm.x86.avx2.pshuf.b", Bytes.vector, row, patterns)
        return builder.add(total, looked_up)

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


store_products = registers.store_products(Shorts)
