import os
import subprocess
import sys
import time

import pytest

from greenai_nb.energy.backends import cpu_share
from greenai_nb.energy.backends.cpu_share import Moment, limits, now, shares

TICK = 1 / os.sysconf("SC_CLK_TCK")


def test_the_machines_seconds_are_those_of_its_first_line(tmp_path):
    stat = tmp_path / "stat"
    # user nice system idle iowait irq softirq steal guest guest_nice; the guests are parts of user
    stat.write_text("cpu  10 20 30 400 50 6 7 80 5 5\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    moment = now(stat)
    assert moment.machine_s == pytest.approx(603 * TICK) and moment.idle_s == pytest.approx(450 * TICK)


@pytest.mark.parametrize("content", [None, "", "cpu one two\n", "cpu 1 2 3\n"])
def test_without_a_proc_stat_the_shares_are_unknown(tmp_path, content):
    if content is not None:
        (tmp_path / "stat").write_text(content)
    moment = now(tmp_path / "stat")
    assert moment.machine_s is None and shares(moment, moment) == (None, None)


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
    assert now().cpu_s - before.cpu_s >= 0.2


def test_limits_of_both_versions_are_seen_where_they_are_set(tmp_path):
    own, root = tmp_path / "own", tmp_path / "cgroups"
    assert limits(own, root) == (None, None)
    own.write_text("0::/pod/notebook\n5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n")
    for path, text in {
        "pod/cpu.max": "150000 100000",
        "pod/notebook/cpu.max": "max 100000",
        "pod/memory.max": "max",
        "cpu,cpuacct/cpu.cfs_quota_us": "-1",
        "cpu,cpuacct/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": "2000000000",
        "memory/docker/1/memory.limit_in_bytes": "9223372036854771712",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text + "\n")
    cpu_share.limits.cache_clear()
    assert limits(own, root) == (1.5, 2000.0)


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
    assert share is None or share > cpu_share.CONTAMINATED
