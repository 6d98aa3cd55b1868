"""Which of the processor's instructions numba will use, and how fast its clock is."""

import os
import time
from typing import Any

import llvmlite.binding as llvm
from numba import uint64
from numba.core import config

from greenai_nb.compiled import njit

KERNEL_VARIABLE = "GREENAI_KERNEL"
CHAIN_CYCLES, CHAIN_STEPS = 4, 10_000_000


def features() -> frozenset[str]:
    """Names of the instruction sets that numba compiles for, such as ``avx2``.

    Numba's own settings NUMBA_CPU_NAME and NUMBA_CPU_FEATURES restrict them, for tests.
    """
    named = config.CPU_FEATURES or llvm.get_host_cpu_features().flatten()
    return frozenset(name[1:] for name in named.split(",") if name.startswith("+"))


def best_kernel() -> str:
    """Name of the fastest kernel for this processor: ``carry_save``, ``lookup`` or ``words``.

    The environment variable GREENAI_KERNEL overrides the choice. Raises ``ValueError`` for a name
    that is none of them, or one that this processor cannot run.
    """
    available = features()
    runnable = [*(["lookup"] if "avx2" in available else []), "words", "carry_save"]
    fastest = "carry_save" if "avx512vpopcntdq" in available else runnable[0]
    name = os.environ.get(KERNEL_VARIABLE) or fastest
    if name not in runnable:
        known = ", ".join(runnable)
        raise ValueError(f"{KERNEL_VARIABLE}={name!r} does not run on this machine: use one of {known}")
    return name


@njit()
def _chain(steps: int) -> Any:
    x = uint64(3)
    for _ in range(steps):
        x = x * x + uint64(1442695040888963407)
    return x


def clock_ghz() -> float:
    """Clock rate of this core, from a chain of dependent squares and sums of four cycles each."""
    _chain(1)
    start = time.thread_time()
    _chain(CHAIN_STEPS)
    return CHAIN_CYCLES * CHAIN_STEPS / (time.thread_time() - start) / 1e9
