"""The machine at hand: its card, the memory that may be used, and the memory that was."""

import os
import platform
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("greenai-nb", "torch", "numpy", "scipy", "papermill", "matplotlib")
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
MB = 1_000_000


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_limit_mb() -> float | None:
    """Memory that this process may use: the container's limit if there is one, else the machine's."""
    installed = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / MB
    for path in CGROUP_LIMITS:
        try:
            limit = float(Path(path).read_text())
        except (OSError, ValueError):
            continue
        return min(limit / MB, installed) if installed else limit / MB
    return installed


def processor() -> str:
    """Name of the processor as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Installed versions of some packages; one that is absent is called so."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def card() -> dict[str, Any]:
    """Processor, cores, memory, system and versions, for a record or a benchmark."""
    return {
        "processor": processor(),
        "cores": cores(),
        "memory_mb": memory_limit_mb(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "compiler": shutil.which("cc") or "none",
        **versions(),
    }


def peak_ram_mb() -> float:
    """Largest resident memory that this process has had, in MB."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset / MB)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MB
