"""Describe this machine: its card, the limits of its container, and the memory used."""

import functools
import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("greenai-nb", "torch", "numpy", "numba", "scipy", "papermill", "matplotlib")
OWN_CGROUP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
INSTRUCTIONS = {"avx2", "avx512f", "avx512_vpopcntdq", "avx512_vnni", "avx512_bf16", "amx_int8", "asimd"}
NO_LIMIT = 2**60  # cgroup version 1 writes the largest page-aligned integer for no limit
MB = 1_000_000
PR_SET_CHILD_SUBREAPER = 36  # of <linux/prctl.h>
INTERACTIVE_VARIABLE = "GREENAI_INTERACTIVE"
STEPS_VARIABLE, STEPS_MIME = "GREENAI_STEPS", "application/vnd.greenai.steps+json"  # of show.steps


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_limit_mb() -> float:
    """Memory that this process may use: the container's limit if there is one, else the machine's."""
    import psutil

    installed = float(psutil.virtual_memory().total / MB)
    _, limit = container_limits()
    return installed if limit is None else min(limit, installed)


@functools.cache
def container_limits(own: Path = OWN_CGROUP, root: Path = CGROUPS) -> tuple[float | None, float | None]:
    """Processors, and memory in MB, that the container allows; None where it sets no limit.

    Source: the kernel's documents ``cgroup-v2`` and, for version 1, ``sched-bwc``.
    """
    processors, memory = [], []
    for group in _groups(own, root):
        quota = _fields(group / "cpu.max")
        quota = quota or _fields(group / "cpu.cfs_quota_us") + _fields(group / "cpu.cfs_period_us")
        if len(quota) == 2 and quota[0].isdigit():
            processors.append(int(quota[0]) / int(quota[1]))
        for limit in _fields(group / "memory.max") + _fields(group / "memory.limit_in_bytes"):
            if limit.isdigit() and int(limit) < NO_LIMIT:
                memory.append(int(limit) / MB)
    return min(processors, default=None), min(memory, default=None)


def _groups(own: Path, root: Path) -> list[Path]:
    """Folders of the control groups that this process is in, and of those around them."""
    folders = []
    for line in _text(own).splitlines():
        _, controllers, path = line.split(":", 2)
        top = root / (controllers or ".")
        inner = top / path.strip("/")
        folders += [folder for folder in (inner, *inner.parents) if folder.is_relative_to(top)]
    return folders


def _fields(path: Path) -> list[str]:
    return _text(path).split()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def card() -> dict[str, Any]:
    """Processor with its instruction sets, cores, memory, system and versions, for a record."""
    lines = (line.partition(":") for line in _text(Path("/proc/cpuinfo")).splitlines())
    cpu = {name.strip(): value.strip() for name, _, value in lines}
    flags = cpu.get("flags", cpu.get("Features", "")).split()
    return {
        "processor": cpu.get("model name") or platform.processor() or platform.machine(),
        "instructions": " ".join(sorted(INSTRUCTIONS & {*flags})) or "unknown",
        "cores": cores(),
        "memory_mb": memory_limit_mb(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "compiler": shutil.which("cc") or "none",
        **{package: _version(package) for package in PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def peak_ram_mb() -> float:
    """Largest resident memory that this process has had, in MB."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset / MB)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MB


def adopt_orphans() -> None:
    """Adopt processes that this one's children leave running, so that they can be found."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def is_interactive() -> bool:
    """Whether a person sits at a front end: a live kernel, unless a runner has set it otherwise."""
    said = os.environ.get(INTERACTIVE_VARIABLE)
    if said in ("0", "1"):
        return said == "1"
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")
