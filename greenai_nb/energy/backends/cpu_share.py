"""Who used the machine in an interval, this process, its neighbours or nobody; the container's limits.

Linux counts the processor time of the whole machine in ``/proc/stat``, in ticks of some 10 ms; inside a
container too. Time that a hypervisor gave to other machines ("steal") is the neighbours'. On other
systems, and over intervals of few ticks, the shares are unknown.

Source: ``proc_stat(5)``; the kernel's ``cgroup-v2`` document, and ``sched-bwc`` for version 1.
"""

import functools
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
OWN_CGROUP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
FIELDS = 8  # up to steal; the two after it are parts of the first two
IDLE = (3, 4)  # idle, and waiting for a disk
SHORTEST_S = 0.2  # twenty ticks: what is read at both ends is then right to 5 %
CONTAMINATED = 0.1
NO_LIMIT = 2**60  # cgroup version 1 writes the largest page-aligned integer for no limit


@dataclass(frozen=True)
class Moment:
    """Wall and own CPU seconds, and the machine's processor seconds so far: all of them, and idle."""

    wall_s: float
    cpu_s: float
    machine_s: float | None
    idle_s: float | None


def now(stat: Path = STAT) -> Moment:
    """The present moment; the machine's seconds are None where there is no ``/proc/stat`` to read."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = time.process_time() + children.ru_utime + children.ru_stime
    try:
        with stat.open() as lines:
            ticks = [int(text) for text in lines.readline().split()[1 : 1 + FIELDS]]
    except (OSError, ValueError):
        ticks = []
    if len(ticks) < FIELDS:
        return Moment(time.perf_counter(), cpu, None, None)
    tick = 1 / os.sysconf("SC_CLK_TCK")
    return Moment(time.perf_counter(), cpu, sum(ticks) * tick, sum(ticks[at] for at in IDLE) * tick)


def shares(before: Moment, after: Moment) -> tuple[float | None, float | None]:
    """Shares of the machine's processor time between two moments that nobody and that neighbours used.

    neighbours = (machine - idle - own) / machine, and zero where ticks make it negative. Children that
    have not ended pass for neighbours. Both are None where they are unknown.
    """
    if before.machine_s is None or after.machine_s is None or after.wall_s - before.wall_s < SHORTEST_S:
        return None, None
    machine = after.machine_s - before.machine_s
    if machine <= 0 or before.idle_s is None or after.idle_s is None:
        return None, None
    idle = (after.idle_s - before.idle_s) / machine
    return idle, max(0.0, 1 - idle - (after.cpu_s - before.cpu_s) / machine)


@functools.cache
def limits(own: Path = OWN_CGROUP, root: Path = CGROUPS) -> tuple[float | None, float | None]:
    """Processors, and memory in MB, that the container allows; None where it sets no limit."""
    processors, memory = [], []
    for place in _groups(own, root):
        quota = _words(place / "cpu.max")
        quota = quota or _words(place / "cpu.cfs_quota_us") + _words(place / "cpu.cfs_period_us")
        if len(quota) == 2 and quota[0].isdigit():
            processors.append(int(quota[0]) / int(quota[1]))
        for words in (_words(place / "memory.max"), _words(place / "memory.limit_in_bytes")):
            if words and words[0].isdigit() and int(words[0]) < NO_LIMIT:
                memory.append(int(words[0]) / 1e6)
    return min(processors, default=None), min(memory, default=None)


def _groups(own: Path, root: Path) -> list[Path]:
    """Folders of the groups that this process is in, and of those around them."""
    found = []
    for line in _words(own):
        _, controllers, path = line.split(":", 2)
        top = root / (controllers or ".")
        inner = top / path.strip("/")
        found += [place for place in (inner, *inner.parents) if place.is_relative_to(top)]
    return found


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
