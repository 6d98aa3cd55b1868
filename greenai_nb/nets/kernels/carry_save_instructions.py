"""Instructions of the carry-save kernel: 32-bit words in registers, of 512 bits on AVX-512."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from greenai_nb.nets.kernels import registers
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
def differences(typing: Any, count: Any, parity: Any) -> Any:
    """The number of differing signs in each lane, 2 count + ones of the last parity."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        doubled = builder.shl(args[0], constant(Words.vector, 1))
        return builder.add(doubled, _ones(builder, args[1]))

    return Words(Words, Words), code


store_products = registers.store_products(Words)


def _ones(builder: Any, x: Any) -> Any:
    return call(builder, f"llvm.ctpop.v{LANES}i32", Words.vector, x)
