"""Peaks of a processor, measured: the instructions of a product repeated on registers, without memory.

No program that needs these instructions is faster than they are alone. A loop has several independent
chains, so that it waits for nothing but the units that execute them, and reports multiply-accumulates:

    peak = steps x chains x (multiply-accumulates of a link) / CPU time .

Some processors have tiles: registers of 16 rows of 64 bytes, whose products are one instruction (AMX).
The peak of a kind of product is that of the fastest loop that the processor has for it.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from greenai_nb.nets.kernels.carry_save_instructions import (
    AVX512,
    LANES,
    add_majority,
    differences,
    load_words,
    no_words,
    store_products,
    xor,
)
from greenai_nb.nets.kernels.lookup_instructions import add_even, add_looked_up, load_bytes, no_shorts
from greenai_nb.nets.kernels.lookup_instructions import store_products as store_shorts
from greenai_nb.nets.kernels.processor import features
from greenai_nb.nets.kernels.registers import LONG, pointer

llvm.initialize_native_asmparser()
STEPS = 5_000
SOURCE = np.random.default_rng(0).integers(0, 2**32, 64 * LANES, np.uint32)
OUT = np.empty(64 * LANES, np.int32)
REGISTER = "zmm" if AVX512 else "ymm"
CHAINS = 12  # a link takes at most 6 cycles, on two units; 52 on tiles, where one starts every 16
ONES = np.full(16, 0x3F803F80, np.uint32)  # near 1 as floats: a subnormal number would cost many cycles
ROW_BYTES, ROWS, TILES = 64, 16, 8
ON_REGISTERS = (  # feature of the processor, kind, instruction, products of two words
    ("fma", "float32", "vfmadd231ps", 1),
    ("avx512vnni", "int8", "vpdpbusd", 4),
    ("avx512bf16", "bfloat16", "vdpbf16ps", 2),
)
ON_TILES = ("amx-int8", "int8", "tdpbssd", 4), ("amx-bf16", "bfloat16", "tdpbf16ps", 2)
ARCH_PRCTL, ASK_PERMISSION, TILE_DATA = 158, 0x1023, 18  # Linux: a system call and its arguments


class Loop(NamedTuple):
    """Instructions for a kind of product: multiply-accumulates of a step, and what runs some steps."""

    kind: str
    instructions: str
    products: int
    run: Callable[[int], object]


@numba.njit
def carry_save(x: Any, out: Any, steps: int) -> None:
    """A majority, a count, an add and two XORs: two words of each lane."""
    a, b, c, d = load_words(x, 0), load_words(x, 16), load_words(x, 32), load_words(x, 48)
    e, f, g, h = load_words(x, 64), load_words(x, 80), load_words(x, 96), load_words(x, 112)
    s = t = u = v = w = y = z = r = no_words()
    i = j = k = m = n = o = p = q = no_words()
    for _ in range(steps):
        first = a
        a, b, c, d = xor(a, b), xor(b, c), xor(c, d), xor(d, e)
        e, f, g, h = xor(e, f), xor(f, g), xor(g, h), xor(h, first)
        s, i = xor(s, a), add_majority(i, s, a, xor(s, a))
        t, j = xor(t, b), add_majority(j, t, b, xor(t, b))
        u, k = xor(u, c), add_majority(k, u, c, xor(u, c))
        v, m = xor(v, d), add_majority(m, v, d, xor(v, d))
        w, n = xor(w, e), add_majority(n, w, e, xor(w, e))
        y, o = xor(y, f), add_majority(o, y, f, xor(y, f))
        z, p = xor(z, g), add_majority(p, z, g, xor(z, g))
        r, q = xor(r, h), add_majority(q, r, h, xor(r, h))
    total = xor(xor(xor(i, j), xor(k, m)), xor(xor(n, o), xor(p, q)))
    store_products(
        out, 0, differences(total, xor(xor(xor(s, t), xor(u, v)), xor(xor(w, y), xor(z, r)))), 0
    )


@numba.njit
def lookup(x: Any, out: Any, steps: int) -> None:
    """A shuffle and an add: four signs of each byte, in twelve chains, since a link takes longer."""
    a, b, c, d = load_bytes(x, 0), load_bytes(x, 8), load_bytes(x, 16), load_bytes(x, 24)
    e, f, g, h = load_bytes(x, 32), load_bytes(x, 40), load_bytes(x, 48), load_bytes(x, 56)
    i, j, k, m, row = a, b, c, d, load_bytes(x, 64)
    for _ in range(steps):
        first, second = a, b
        a, b, c = add_looked_up(a, row, g), add_looked_up(b, row, h), add_looked_up(c, row, i)
        d, e, f = add_looked_up(d, row, j), add_looked_up(e, row, k), add_looked_up(f, row, m)
        g, h, i = add_looked_up(g, row, second), add_looked_up(h, row, c), add_looked_up(i, row, d)
        j, k, m = add_looked_up(j, row, e), add_looked_up(k, row, f), add_looked_up(m, row, first)
    total = no_shorts()
    for each in (a, b, c, d, e, f, g, h, i, j, k, m):
        total = add_even(total, each)
    store_shorts(out, 0, total, 0)


def assembled(before: str, links: list[str], after: str, operands: np.ndarray) -> Callable[[int], None]:
    """A loop in assembly: $0 counts its steps, $1 points to its operands."""
    vectors = [f"~{{{REGISTER}{chain}}}" for chain in range(CHAINS + 1)]
    constraints = ",".join(["=&r", "r", "0", *vectors, "~{flags}", "~{memory}"])
    text = "\n".join([before, "1:", *links, "dec $0", "jnz 1b", after])

    @intrinsic
    def loop(typing: Any, x: Any, steps: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            at = pointer(context, builder, signature.args[0], args[0], ir.Constant(LONG, 0), LONG)
            kind = ir.FunctionType(LONG, [at.type, LONG])
            assembly = ir.InlineAsm(kind, text, constraints, side_effect=True)
            return builder.call(assembly, [at, args[1]])

        return types.intp(x, types.intp), code

    return partial(numba.njit(lambda x, steps: loop(x, steps)), operands)


def of_registers(kind: str, instruction: str, products: int) -> Loop:
    """A loop of an instruction that adds ``products`` of each word of two registers to a third."""
    registers = [f"%{REGISTER}{number}" for number in range(CHAINS + 1)]
    *chains, factor = registers
    before = "\n".join(f"vmovups ($1), {register}" for register in registers)
    links = [f"{instruction} {factor}, {factor}, {chain}" for chain in chains]
    return Loop(kind, instruction, CHAINS * products * LANES, assembled(before, links, "", ONES))


def of_tiles(kind: str, instruction: str, products: int) -> Loop:
    """A loop of an instruction that adds the product of two tiles to a third, ``products`` a word."""
    shapes = np.zeros(ROW_BYTES, np.uint8)  # the format that ldtilecfg reads
    shapes[0], shapes[16 : 16 + 2 * TILES : 2], shapes[48 : 48 + TILES] = 1, ROW_BYTES, ROWS
    tiles = [f"%tmm{number}" for number in range(TILES)]
    *chains, left, right = tiles
    before = "\n".join([f"ldtilecfg {ROW_BYTES}($1)", *(f"tileloadd ($1), {tile}" for tile in tiles)])
    links = [f"{instruction} {right}, {left}, {chain}" for chain in chains]
    operands = np.concatenate([ONES, shapes.view(np.uint32)])
    run = assembled(before, links, "tilerelease", operands)
    return Loop(kind, instruction, len(chains) * products * ROWS**3, run)


def tiles_allowed() -> bool:
    """Whether this process may use tiles: Linux has to be asked once."""
    if sys.platform != "linux" or "amx-tile" not in features():
        return False
    return ctypes.CDLL(None).syscall(ARCH_PRCTL, ASK_PERMISSION, TILE_DATA) == 0


def loops() -> list[Loop]:
    """The loops that this processor has."""
    have, bits, bytes_ = features(), partial(carry_save, SOURCE, OUT), partial(lookup, SOURCE, OUT)
    found = [Loop("carry_save", "2 vpxord, vpternlogd, vpopcntd, vpaddd", 8 * 64 * LANES, bits)]
    if "avx2" in have:
        found.append(Loop("lookup", "vpshufb, vpaddb", 12 * 4 * 32, bytes_))
    found += [of_registers(*rest) for feature, *rest in ON_REGISTERS if feature in have]
    if tiles_allowed():
        found += [of_tiles(*rest) for feature, *rest in ON_TILES if feature in have]
    return found
