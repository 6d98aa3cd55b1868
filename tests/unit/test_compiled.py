"""Kept machine code against edits of the sources that it was compiled from, on a copy of the package."""

import os
import shutil
import subprocess
import sys

import pytest

from greenai_nb import compiled
from greenai_nb.sources import PACKAGE, digest

PRODUCT = """
import numpy as np
from greenai_nb.nets.kernels import carry_save as kernel
ones, zeros = np.full((1, 8), 255, np.uint8), np.zeros((1, 8), np.uint8)
product = kernel.products(kernel.pack_activations(ones), kernel.pack_weights(zeros), 64)[0, 0]
print(product, sum(kernel._products.stats.cache_misses.values()))
"""


@pytest.fixture
def copy(tmp_path):
    """The package's sources, free to be edited."""
    skipped = shutil.ignore_patterns("__pycache__", "mnist_10k")
    return shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=skipped)


def product(copy, cache):
    """The product of 64 pairs of opposite signs, and how many functions were compiled for it."""
    done = subprocess.run(
        [sys.executable, "-c", PRODUCT],
        cwd=copy.parent,
        env=os.environ | {"PYTHONPATH": str(copy.parent), "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return tuple(map(int, done.stdout.split()))


def test_machine_code_is_kept_until_an_instruction_of_another_file_changes(copy, tmp_path):
    cache = tmp_path / "cache"
    assert product(copy, cache) == (-64, 1)
    kept = sorted(cache.rglob("*"))
    assert product(copy, cache) == (-64, 0)
    assert sorted(cache.rglob("*")) == kept
    registers = copy / "nets/kernels/registers.py"
    before = registers.read_text()
    registers.write_text(before.replace("builder.add(differences, differences)", "differences"))
    assert product(copy, cache) == (0, 1)


def test_a_cache_that_cannot_be_written_to_keeps_nothing_elsewhere(copy):
    assert product(copy, "/dev/null/cache")[0] == -64
    assert not [*copy.rglob("*.nbi")]


def add(a, b):
    return a + b


@pytest.mark.parametrize("damage", ["folder", "empty", "cut", "garbage"])
@pytest.mark.parametrize("kind", ["*.nbi", "*.nbc"])
def test_a_cache_that_is_damaged_after_its_folder_was_tried_is_done_without(
    kind, damage, tmp_path, monkeypatch
):
    monkeypatch.setenv(compiled.FOLDER_VARIABLE, str(tmp_path))
    assert compiled.njit()(add)(1, 2) == 3
    (file,) = tmp_path.rglob(kind)
    whole = file.read_bytes()
    again = compiled.njit()(add)
    if damage == "folder":
        shutil.rmtree(file.parent)
        file.parent.write_text("in the way")
    else:
        file.write_bytes(
            {"empty": b"", "cut": whole[: len(whole) // 2], "garbage": b"\x80" * 99}[damage]
        )
    assert again(1, 2) == 3 and compiled.njit()(add)(1, 2) == 3


@pytest.mark.parametrize(
    ("name", "changes"),
    [("learn/fast/softmax.py", True), ("theory/prior.py", True), ("show/style.py", False)],
)
def test_the_chain_is_compiled_again_for_what_it_imports_and_for_nothing_else(copy, name, changes):
    before = digest("greenai_nb.learn.fast.kernels", package=copy)
    with (copy / name).open("a") as file:
        file.write("# edited\n")
    assert (digest("greenai_nb.learn.fast.kernels", package=copy) != before) is changes
