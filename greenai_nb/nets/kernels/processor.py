"""Which instructions the processor has, as numba will use them."""

import os

import llvmlite.binding as llvm
from numba.core import config

KERNEL_VARIABLE = "GREENAI_KERNEL"


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
    found = features()
    runnable = ["words", "carry_save"]
    if "avx2" in found:
        runnable.append("lookup")
    if asked := os.environ.get(KERNEL_VARIABLE):
        if asked not in runnable:
            raise ValueError(
                f"{KERNEL_VARIABLE}={asked!r} is not a kernel of this processor, "
                f"choose one of {', '.join(runnable)}"
            )
        return asked
    if "avx512vpopcntdq" in found:
        return "carry_save"
    return "lookup" if "avx2" in found else "words"
