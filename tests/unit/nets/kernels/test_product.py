"""Every kernel against a matrix product of 64-bit integers, on this processor and on lesser ones."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenai_nb.nets.kernels import processor, words
from greenai_nb.nets.kernels.product import kernel, pack_signs, pack_weights

KERNELS = ("words", "lookup", "carry_save")
needs_avx2 = pytest.mark.skipif("avx2" not in processor.features(), reason="no AVX2 here")
here = [pytest.param(name, marks=needs_avx2 if name == "lookup" else ()) for name in KERNELS]


def multiply(name, a, b):
    """Products of signs by a kernel, cut to size."""
    module, length = kernel(name), a.shape[1]
    left, right = module.pack_activations(pack_signs(a)), module.pack_weights(pack_signs(b))
    return module.products(left, right, length)[: len(a), : len(b)]


def check(name, rows, outputs, length, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random((rows, length)) < 0.5, rng.random((outputs, length)) < 0.5
    found = multiply(name, a, b)
    assert np.array_equal(found, (2 * a.astype(np.int64) - 1) @ (2 * b.astype(np.int64) - 1).T)


@pytest.mark.parametrize("name", here)
@settings(max_examples=60)
@given(st.integers(0, 9), st.integers(1, 140), st.integers(1, 700), st.integers(0, 1000))
def test_products_are_those_of_integers(name, rows, outputs, length, seed):
    check(name, rows, outputs, length, seed)


@pytest.mark.parametrize("name", here)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 64, 64), (4, 33, 4608), (3, 65, 496), (2, 2, 504)])
def test_products_at_the_edges_of_tiles_and_words(name, shape):
    check(name, *shape, seed=1)


@pytest.mark.parametrize("name", here)
@pytest.mark.parametrize("value", [False, True])
def test_sums_do_not_overflow(name, value):
    """All signs alike and all signs apart, so that every byte of the look-up is as full as it gets."""
    length = 5000
    a, b = np.full((3, length), True), np.full((64, length), value)
    found = multiply(name, a, b)
    assert np.all(found == (length if value else -length))


def test_the_naive_loop_is_the_definition():
    rng = np.random.default_rng(2)
    a, b = rng.random((5, 131)) < 0.5, rng.random((7, 131)) < 0.5
    packed = [words.pack_activations(pack_signs(side)) for side in (a, b)]
    assert np.array_equal(words.naive_products(*packed, 131), (2 * a - 1) @ (2 * b - 1).T)


def run_with(code, **environment):
    """Run Python with other settings of numba; gives its output."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


CHECK = f"""
import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_product import check
from greenai_nb.nets.kernels.processor import best_kernel
for shape in ((5, 70, 65), (1, 1, 1), (9, 130, 640)):
    check(NAME, *shape, seed=3)
print(best_kernel())
"""  # noqa: PTH120


@pytest.mark.parametrize(
    ("cpu", "features", "name", "best"),
    [
        ("nehalem", "+sse4.2,+popcnt", "words", "words"),
        ("nehalem", "+sse4.2,+popcnt", "carry_save", "words"),
        pytest.param("haswell", "+avx,+avx2,+popcnt", "lookup", "lookup", marks=needs_avx2),
        pytest.param("haswell", "+avx,+avx2,+popcnt", "carry_save", "lookup", marks=needs_avx2),
    ],
)
def test_lesser_processors_get_the_same_integers(cpu, features, name, best, tmp_path):
    said = run_with(
        CHECK.replace("NAME", repr(name)),
        NUMBA_CPU_NAME=cpu,
        NUMBA_CPU_FEATURES=features,
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    assert said == best


def test_avx_512_gets_the_instructions_that_it_has(tmp_path):
    """Compiled for it and not run: the choice of three is one instruction, counts are on registers."""
    code = """
from numba import njit, types
from greenai_nb.nets.kernels import carry_save
a = types.Array(types.uint32, 2, "C"); b = types.Array(types.uint32, 3, "C"); n = types.intp
compiled = njit(carry_save._tile.py_func)
compiled.compile((a, n, b, n, n))
(text,) = compiled.inspect_asm().values()
print(text.count("vpternlogd"), sum("vpopcntd" in line and "zmm" in line for line in text.splitlines()))
"""
    features = "+avx,+avx2,+avx512f,+avx512bw,+avx512vl,+avx512dq,+avx512vpopcntdq,+popcnt"
    said = run_with(
        code, NUMBA_CPU_NAME="znver4", NUMBA_CPU_FEATURES=features, NUMBA_CACHE_DIR=str(tmp_path)
    )
    choices, counts = map(int, said.split())
    assert choices >= 8 and counts >= 8


def test_an_unwritable_cache_does_not_stop_the_kernels():
    run_with(CHECK.replace("NAME", repr("words")), NUMBA_CACHE_DIR="/dev/null/cache")


def test_the_choice_can_be_overridden_and_is_checked(monkeypatch):
    monkeypatch.setenv(processor.KERNEL_VARIABLE, "words")
    assert processor.best_kernel() == "words"
    monkeypatch.setenv(processor.KERNEL_VARIABLE, "abacus")
    with pytest.raises(ValueError, match="abacus"):
        processor.best_kernel()


def test_modules_are_found_by_name():
    assert kernel("words") is words
    with pytest.raises(ValueError, match=r"'word'.*'words'"):
        kernel("word")


def test_products_too_long_for_the_look_up_go_to_words():
    rng = np.random.default_rng(4)
    b = rng.random((3, 40_000)) < 0.5
    packed = pack_weights(pack_signs(b), 40_000, "lookup")
    assert packed.kernel == "words" and packed.panels.dtype == np.uint64
    assert multiply("words", ~b, b)[0, 0] == -40_000


@pytest.mark.parametrize("name", here)
@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(1, 70), st.integers(1, 300), st.integers(0, 1000))
def test_bits_are_products_held_against_thresholds(name, rows, outputs, length, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random((rows, length)) < 0.5, rng.random((outputs, length)) < 0.5
    kinds = rng.integers(0, 2, rows).astype(np.int32)
    module, packed = kernel(name), pack_weights(pack_signs(b), length, name)
    levels = np.full((2, len(packed.panels) * packed.panels.shape[-1]), 2**31 - 1, np.int32)
    levels[:, :outputs] = rng.integers(-length - 1, length + 2, (2, outputs))
    flips = pack_signs(rng.random(outputs) < 0.5)
    image, found = pack_signs(a)[None, :, None], np.empty((1, rows, 1, len(flips)), np.uint8)
    args = (1, 1, 0, 1), packed.panels, length, (kinds, levels), (1, 1), flips, image, found
    module.signs(*args)
    reached = multiply(name, a, b) >= levels[kinds, :outputs]
    assert np.array_equal(found[0, :, 0], pack_signs(reached) ^ flips)
