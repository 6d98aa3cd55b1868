"""What share of the machine's processor time other processes used, and what share was idle.

Time that a hypervisor gave to other machines ("steal") counts as used by others. Systems count in
ticks of some 10 ms, inside a container too: over few ticks, and where the system reports nothing, the
shares are unknown.

Source: psutil, ``cpu_times``; on Linux, ``proc_stat(5)``.
"""

import math
import os
import time
from dataclasses import dataclass

import psutil

BUSY = ("user", "nice", "system", "irq", "softirq", "steal")  # guest time is part of user
IDLE = ("idle", "iowait")
MIN_INTERVAL_S = 0.2  # twenty ticks, so that reading at both ends is accurate to 5 %
CONTAMINATED = 0.1


@dataclass(frozen=True)
class Moment:
    """Wall and own CPU seconds, and the machine's processor seconds: all and idle, NaN if unknown."""

    wall_s: float
    cpu_s: float
    machine_s: float
    idle_s: float


def now() -> Moment:
    """The present moment, with the CPU seconds of this process and of its children that have ended."""
    times = os.times()
    cpu_s = time.process_time() + times.children_user + times.children_system
    try:
        machine = psutil.cpu_times()
    except OSError:
        return Moment(time.perf_counter(), cpu_s, math.nan, math.nan)
    busy_s, idle_s = (sum(getattr(machine, name, 0.0) for name in names) for names in (BUSY, IDLE))
    return Moment(time.perf_counter(), cpu_s, busy_s + idle_s, idle_s)


def shares(before: Moment, after: Moment) -> tuple[float | None, float | None]:
    """Shares of the machine's processor time between two moments: idle, and used by neighbours.

    neighbours = (machine - idle - own) / machine, and zero where ticks make it negative. Children that
    have not ended count as neighbours. Both are None where they are unknown.
    """
    machine_s = after.machine_s - before.machine_s
    if not (after.wall_s - before.wall_s >= MIN_INTERVAL_S and machine_s > 0):
        return None, None
    idle = (after.idle_s - before.idle_s) / machine_s
    return idle, max(0.0, 1 - idle - (after.cpu_s - before.cpu_s) / machine_s)
