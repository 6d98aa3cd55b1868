import math
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from greenai_nb.energy.backends.cpu_share import CONTAMINATED, Moment, now, shares


def test_the_machines_seconds_count_guests_once_and_waiting_as_idle(monkeypatch):
    times = {"user": 1.0, "nice": 2.0, "system": 3.0, "idle": 40.0, "iowait": 5.0}
    linux = times | {"irq": 0.6, "softirq": 0.7, "steal": 8.0, "guest": 0.5, "guest_nice": 0.5}
    monkeypatch.setattr(psutil, "cpu_times", lambda: SimpleNamespace(**linux))
    moment = now()
    assert moment.machine_s == pytest.approx(60.3) and moment.idle_s == pytest.approx(45)


def test_a_system_without_waiting_and_steal_is_counted_too(monkeypatch):
    windows = {"user": 1.0, "system": 3.0, "idle": 40.0, "interrupt": 0.2, "dpc": 0.1}
    monkeypatch.setattr(psutil, "cpu_times", lambda: SimpleNamespace(**windows))
    moment = now()
    assert (moment.machine_s, moment.idle_s) == (44.0, 40.0), "interrupts are parts of system there"


def test_where_the_system_does_not_tell_the_shares_are_unknown(monkeypatch):
    def refuse():
        raise PermissionError(13, "Permission denied", "/proc/stat")

    monkeypatch.setattr(psutil, "cpu_times", refuse)
    moment = now()
    assert math.isnan(moment.machine_s) and shares(moment, moment) == (None, None)


def test_shares_are_of_the_whole_machine():
    before = Moment(wall_s=0.0, cpu_s=0.0, machine_s=0.0, idle_s=0.0)
    idle, neighbours = shares(before, Moment(wall_s=1.0, cpu_s=0.5, machine_s=2.0, idle_s=1.0))
    assert idle == pytest.approx(0.5) and neighbours == pytest.approx(0.25)
    assert shares(before, Moment(1.0, 1.01, 2.0, 1.0))[1] == 0.0, "ticks may lag behind"
    assert shares(before, Moment(0.1, 0.0, 0.2, 0.0)) == (None, None), "ten ticks tell nothing"
    assert shares(before, Moment(1.0, 0.0, 0.0, 0.0)) == (None, None)


def test_children_that_ended_are_our_own():
    before = now()
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    assert now().cpu_s - before.cpu_s >= 0.15  # the system counts a child's time in ticks


def test_neighbours_show_and_so_does_their_absence():
    busy = "import time\nt = time.time()\nwhile time.time() < t + 30: pass"
    neighbours = [subprocess.Popen([sys.executable, "-c", busy]) for _ in range(os.cpu_count() or 1)]
    try:
        before = now()
        time.sleep(0.5)
        _, share = shares(before, now())
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()
    assert share is None or share > CONTAMINATED
