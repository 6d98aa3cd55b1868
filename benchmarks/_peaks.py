"""Peaks of a processor, measured: the instructions of a product repeated on registers, without memory.

No program that needs these instructions is faster than they are alone. A loop has several independent
chains, so that it waits for nothing but the units that execute them, and reports multiply-accumulates:

    peak = steps x chains x (multiply-accumulates of a link) / CPU time .
"""

import time
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from greenai_nb.nets.kernels.carry_save_instructions import (
    LANES,
    Words,
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
from greenai_nb.nets.kernels.sign_of_float import multiply_add

llvm.initialize_native_asmparser()
STEPS, RUNS = 20_000, 9
SOURCE = np.random.default_rng(0).integers(0, 2**32, 64 * LANES, np.uint32)
OUT = np.empty(64 * LANES, np.int32)


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


def links(link: Any) -> Any:
    """A loop of eight chains of an instruction with three operands, the first of which is the result."""

    @numba.njit
    def loop(x: Any, out: Any, steps: int) -> None:
        p, q = load_words(x, 0), load_words(x, 16)
        a = b = c = d = e = f = g = h = no_words()
        for _ in range(steps):
            a, b, c, d = link(a, p, q), link(b, p, q), link(c, p, q), link(d, p, q)
            e, f, g, h = link(e, p, q), link(f, p, q), link(g, p, q), link(h, p, q)
        total = xor(xor(xor(a, b), xor(c, d)), xor(xor(e, f), xor(g, h)))
        store_products(out, 0, total, 0)

    return loop


def instruction(name: str) -> Any:
    """An instruction of AVX-512 that adds products of two registers to a third."""

    @intrinsic
    def link(typing: Any, total: Any, x: Any, y: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.FunctionType(Words.vector, [Words.vector] * 3)
            assembly = ir.InlineAsm(kind, f"{name} $3, $2, $0", "=v,0,v,v", side_effect=True)
            return builder.call(assembly, args)

        return Words(Words, Words, Words), code

    return link


def peaks() -> dict[str, tuple[Callable[..., None], int, str]]:
    """For each kind of product that this processor has: a loop, products of a step, instructions."""
    have = features()
    found = {"carry_save": (carry_save, 8 * 64 * LANES, "2 vpxord, vpternlogd, vpopcntd, vpaddd")}
    if "avx2" in have:
        found["lookup"] = lookup, 12 * 4 * 32, "vpshufb, vpaddb"
    if "fma" in have:
        found["float32"] = links(multiply_add), 8 * LANES, "vfmadd231ps"
    if "avx512vnni" in have:
        found["int8"] = links(instruction("vpdpbusd")), 8 * 4 * LANES, "vpdpbusd"
    if "avx512bf16" in have:
        found["bfloat16"] = links(instruction("vdpbf16ps")), 8 * 2 * LANES, "vdpbf16ps"
    return found


def billions(loop: Callable[..., None], products: int) -> float:
    """Billion products a second of a loop, the best of a few short runs after one that compiles it."""
    loop(SOURCE, OUT, 1)
    best = 0.0
    for _ in range(RUNS):
        start = time.thread_time_ns()
        loop(SOURCE, OUT, STEPS)
        best = max(best, STEPS * products / (time.thread_time_ns() - start))
    return best
