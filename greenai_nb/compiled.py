"""Compile with Numba, and cache the machine code on disk until any of its source files changes.

Numba itself watches only the file of the function. A kernel that inlines another file's functions or
instructions would keep running their old code, so the folder is named after a hash of all these files.

LLVM computes with half of a vector register of 512 bits on Intel's processors, since the first of them
lowered their clock for the whole. Those that can count the ones in a vector came later, and may use it.
"""

import functools
import os
import pickle
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
from numba.core.codegen import get_host_cpu_features

from greenai_nb.sources import digest

FOLDER_VARIABLE = "NUMBA_CACHE_DIR"

config: Any = numba.config
if not (config.CPU_NAME or config.CPU_FEATURES) and "+avx512vpopcntdq" in get_host_cpu_features():
    config.CPU_FEATURES = f"{get_host_cpu_features()},-prefer-256-bit"


def folder(module: str) -> Path:
    """The folder for a module's machine code: below NUMBA_CACHE_DIR, or in the user's cache."""
    home = os.environ.get(FOLDER_VARIABLE)
    if not home:
        import pooch

        home = str(Path(pooch.os_cache("greenai-nb")) / "numba")
    return Path(home) / digest(module)


def njit(module: str = "", **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``numba.njit`` for a function of this package; ``options`` are numba's own.

    A function that is made inside another names the ``module`` whose functions it calls.
    If the folder cannot be written to, or its files cannot be read, each process compiles again.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        path = folder(module or function.__module__)
        before, config.CACHE_DIR = config.CACHE_DIR, str(path)
        try:
            compiled = numba.njit(cache=_is_writable(path), **options)(function)
        finally:
            config.CACHE_DIR = before
        cache: Any = compiled._cache
        if module:  # the folder tells apart what numba would by the functions' numbers in this process
            cache._index_key = lambda signature, codegen: (signature, codegen.magic_tuple())
        cache.save_overload = _or_none(cache.save_overload)
        cache.load_overload = _or_none(cache.load_overload)
        return compiled

    return decorate


def _or_none(use: Callable[..., Any]) -> Callable[..., Any]:
    """Use numba's files, or do without when a disk is full, a file cut short or a folder gone."""

    def used(*arguments: Any) -> Any:
        with suppress(OSError, EOFError, ValueError, pickle.UnpicklingError):
            return use(*arguments)
        return None

    return used


@functools.cache
def _is_writable(path: Path) -> bool:
    """Whether numba could write there; if not, it would turn to folders that watch a single file."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError:
        return False
    return True
