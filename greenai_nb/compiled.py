"""Numba's compiler, with machine code kept on disk until any source that it is compiled from changes.

Numba itself looks at the file of the function alone. A kernel that inlines another file's functions or
instructions would go on with their old code, so here the folder is named after a hash of all of them.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config

from greenai_nb.sources import digest

FOLDER_VARIABLE = "NUMBA_CACHE_DIR"


def folder(module: str) -> Path:
    """Where machine code of a module is kept: below NUMBA_CACHE_DIR, or in the user's cache."""
    home = os.environ.get(FOLDER_VARIABLE)
    if not home:
        import pooch

        home = str(Path(pooch.os_cache("greenai-nb")) / "numba")
    return Path(home) / digest(module)


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``numba.njit`` for a function of this package; ``options`` are numba's own."""

    def decorate(function: Callable[..., Any]) -> Any:
        before, config.CACHE_DIR = config.CACHE_DIR, str(folder(function.__module__))
        try:
            return numba.njit(cache=True, **options)(function)
        finally:
            config.CACHE_DIR = before

    return decorate
