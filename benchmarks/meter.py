"""What a meter costs the work that it measures: time and share of a core, ours and codecarbon's."""

import statistics
import subprocess
import sys
import tempfile
import time

from _report import Row, report

from greenai_nb.energy.backends.replay import PowercapTree
from greenai_nb.energy.meter import Meter

BLOCKS, TRACKERS, FRESH, IDLE_S = 200, 20, 3, 10.0
METER_GOAL_S, SHARE_GOAL, FIRST_GOAL_S, LATER_GOAL_S = 1e-3, 0.5, 2.0, 0.02
FIRST = """
import time
start = time.perf_counter()
from greenai_nb.energy.meter import Meter
with Meter({arguments}): pass
print(time.perf_counter() - start)
"""
CODECARBON = {"backend": "codecarbon", "country": "FRA"}


def first_use_s(arguments: str) -> float:
    """Wall seconds of the import and an empty block in a fresh process, the median of a few."""
    command = [sys.executable, "-c", FIRST.format(arguments=arguments)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(FRESH)]
    return statistics.median(float(run.stdout) for run in runs)


def empty_block_s(blocks: int, **arguments: str) -> float:
    """Wall seconds of an empty block, the median of all after the first."""
    seconds = []
    for _ in range(blocks + 1):
        start = time.perf_counter()
        with Meter(**arguments):
            pass
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def share_of_a_core(**arguments: str) -> float:
    """Percent of a core that a meter takes while it runs and nothing else does."""
    running = Meter(**arguments)
    before = time.process_time()
    time.sleep(IDLE_S)
    used = time.process_time() - before
    running.stop()
    return 100 * used / IDLE_S


def main() -> None:
    """Time empty blocks and idle meters, of the best back end here and of codecarbon."""
    best = Meter().backend
    first, later = first_use_s(""), empty_block_s(BLOCKS)
    carbon_first = first_use_s("'codecarbon', country='FRA'")
    carbon_later = empty_block_s(TRACKERS, **CODECARBON)
    with tempfile.TemporaryDirectory() as folder:
        PowercapTree(folder, {"package": 50.0, "core": 30.0, "dram": 5.0}, sockets=2)
        counters = empty_block_s(BLOCKS, backend="rapl", powercap=folder)
    share, carbon_share = share_of_a_core(), share_of_a_core(**CODECARBON)
    rows = [
        Row(f"Meter(), {best}: an empty block", 1e3 * later, "ms", "under 1", later < METER_GOAL_S),
        Row(
            "RAPL of two sockets: an empty block",
            1e3 * counters,
            "ms",
            "under 1",
            counters < METER_GOAL_S,
        ),
        Row(f"Meter(), {best}: import and first block", 1e3 * first, "ms", "recorded", True),
        Row(
            f"Meter(), {best}: share of a core", share, "%", f"under {SHARE_GOAL:g}", share < SHARE_GOAL
        ),
        Row(
            "codecarbon: import and first block",
            carbon_first,
            "s",
            "under 2",
            carbon_first < FIRST_GOAL_S,
        ),
        Row(
            "codecarbon: a later block",
            1e3 * carbon_later,
            "ms",
            "under 20",
            carbon_later < LATER_GOAL_S,
        ),
        Row(
            "codecarbon: share of a core",
            carbon_share,
            "%",
            f"under {SHARE_GOAL:g}",
            carbon_share < SHARE_GOAL,
        ),
    ]
    report(__file__, rows)


if __name__ == "__main__":
    main()
