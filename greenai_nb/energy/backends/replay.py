"""Recorded power, replayed: as a reading, as a meter's back end, and as a powercap tree for RAPL's path.

What comes from a trace is called replayed: it says nothing of the machine it is replayed on.
"""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path

from greenai_nb.energy.backends.rapl import REPLAYED
from greenai_nb.energy.backends.trace import Trace, read_trace
from greenai_nb.energy.reading import Reading

RANGE_UJ = 65_532_610_987  # 2^32 counts of some 15.26 uJ, as many processors show it
PARTS = ("core", "uncore", "dram")
NAMES = ("package", *PARTS, "psys")


class Replay:
    """Joules that a trace, or one in a CSV file, shows from its start for as long as the meter runs."""

    name = "replay"
    provenance = "replayed"

    def __init__(self, trace: Trace | Path | str) -> None:
        self._trace = trace if isinstance(trace, Trace) else read_trace(trace)

    def read(self, time_s: float, cpu_s: float) -> Reading:
        """Joules of the first ``time_s`` seconds. Raises ``ValueError`` beyond the end of the trace."""
        joules = self._trace.used(time_s)
        method = f"{self._trace.source}, {len(self._trace.time_s)} samples"
        parts = {"trace": joules}
        return Reading(joules, joules, joules, self.provenance, method, time_s, cpu_s, parts)

    def close(self) -> None:
        """Nothing is open."""


def reading(trace: Trace) -> Reading:
    """Reading of a whole trace; no process ran, so its CPU seconds are NaN."""
    return Replay(trace).read(trace.duration_s, math.nan)


class Tree:
    """A powercap tree whose counters and clock move by ``advance`` alone; made by ``powercap_tree``."""

    def __init__(self, folder: Path, range_uj: int) -> None:
        self.folder, self.time_s = folder, 0.0
        self._range_uj = range_uj
        self._zones: list[tuple[Path, int, float | Trace]] = []

    def add(self, zone: str, name: str, watts: float | Trace, start_share: float) -> None:
        """Add a counter that begins at a share of its range."""
        folder = self.folder / zone
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text(f"{self._range_uj}\n")
        self._zones.append((folder, int(start_share % 1 * self._range_uj), watts))

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises ``ValueError`` for a negative one, and beyond the end of a trace."""
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"seconds must be a number in [0, inf), got {seconds!r}")
        time_s = float(self.time_s + seconds)
        used = [
            watts.used(time_s) if isinstance(watts, Trace) else watts * time_s
            for _, _, watts in self._zones
        ]
        for (folder, start_uj, _), joules in zip(self._zones, used, strict=True):
            count = (start_uj + round(1e6 * joules)) % self._range_uj
            (folder / "energy_uj").write_text(f"{count}\n")
        (self.folder / REPLAYED).write_text(f"{time_s!r}\n")
        self.time_s = time_s


def powercap_tree(
    folder: Path | str,
    watts: float | Trace | Mapping[str, float | Trace],
    sockets: int = 1,
    range_uj: int = RANGE_UJ,
    start_share: float = 0.9,
) -> Tree:
    """A powercap tree in a folder, for ``Meter("rapl", powercap=tree.folder)`` where there is no RAPL.

    ``watts`` is what each package draws, steady or as a trace, or names the zones: package, core,
    uncore and dram of each socket, and psys of the board. Counters start at ``start_share`` of their
    range, those of further sockets elsewhere, and start again at ``range_uj``. Readings are replayed.
    Raises ``ValueError`` for no socket, an unknown zone, negative power and an empty range.
    """
    zones = watts if isinstance(watts, Mapping) else {"package": watts}
    if unknown := set(zones) - set(NAMES):
        raise ValueError(f"zones must be of {', '.join(NAMES)}, got {', '.join(sorted(unknown))}")
    for name, power in zones.items():
        if not isinstance(power, Trace) and not 0 <= power < math.inf:
            raise ValueError(f"watts of {name} must be a number in [0, inf), got {power!r}")
    if sockets < 1 or range_uj < 1:
        raise ValueError(f"sockets and range_uj must be 1 or more, got {sockets!r} and {range_uj!r}")
    tree = Tree(Path(folder), range_uj)
    if (tree.folder / REPLAYED).is_file():
        for stale in tree.folder.glob("intel-rapl:*"):
            shutil.rmtree(stale)
    for socket in range(sockets):
        share = start_share + socket / (sockets + 1)
        if "package" in zones:
            tree.add(f"intel-rapl:{socket}", f"package-{socket}", zones["package"], share)
        for at, part in enumerate(part for part in PARTS if part in zones):
            tree.add(f"intel-rapl:{socket}:{at}", part, zones[part], share)
    if "psys" in zones:
        tree.add(f"intel-rapl:{sockets}", "psys", zones["psys"], start_share)
    tree.advance(0.0)
    return tree
