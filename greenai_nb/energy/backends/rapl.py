"""RAPL: the energy counters of Intel and AMD processors, as Linux shows them under powercap.

Each zone is a folder with a ``name`` (package-0, core, uncore, dram, psys), ``energy_uj`` and
``max_energy_range_uj``. The counters cover the whole processor, neighbours and idle power included. Core
and uncore are parts of package, and psys is the whole board, so

    energy = sum over sockets of (package + dram) ,      or psys where there is no package.

A counter wraps around at its range R, and only elapsed time tells how often. No thread reads it in the
background: read the meter at least every R / P seconds at P watts (65,536 J at 100 W: 655 s). Where the
time since the last reading leaves room for k more wraps than are seen, the interval is k R wide.
A counter is updated every T = 1 ms, which adds an uncertainty of T P joules either way, except on a
replayed tree.

Source: the kernel's ``power/powercap`` document; Intel, *Software Developer's Manual*, volume 3, RAPL.
"""

import math
import time
from collections import defaultdict
from itertools import combinations
from pathlib import Path

from greenai_nb.energy.backends.backend import BackEnd
from greenai_nb.energy.reading import Reading

POWERCAP = Path("/sys/class/powercap")
REPLAYED = "replayed"  # the file in which a replayed tree keeps its clock, in seconds
# Thermal design power of the largest processors on sale, AMD EPYC 9965 and Intel Xeon 6980P.
MAX_POWER_W = 500.0
RENEWED_S = 0.001
MIRROR_J = 1.0  # the most that a package uses between reading its counter and the next
FORBIDDEN = (
    "{path} may not be read: Linux keeps energy counters for root since the PLATYPUS attack "
    "(CVE-2020-8694), which read secrets through them. Run this session as root, or let an "
    "administrator give the file to one trusted group by a udev rule; do not open it to every user. "
    "Meter('vcpu') estimates without it"
)


class Counter:
    """Joules that one zone has used since this was made, tracked across wraps of its counter.

    ``package`` is the folder of the whole socket, ``unseen_j`` what it may have used beyond ``used_j``,
    and ``safe_s`` the longest time between updates in which it wraps around once at most.
    """

    def __init__(self, folder: Path, kind: str, now_s: float) -> None:
        self._folder, self.kind = folder, kind
        self.package = ":".join(folder.name.split(":")[:2])
        self._range_uj = _microjoules(folder / "max_energy_range_uj", 1)
        self._range_j = self._range_uj / 1e6
        self.max_power_w = _max_power_w(folder)
        self.safe_s = self._range_j / self.max_power_w
        self.shown_j, self._updated_s = self._shown(), now_s
        self.used_j = self.unseen_j = 0.0

    def update(self, now_s: float) -> None:
        """Add what was used since the last update, and the wraps that may have gone unseen."""
        try:
            before_j, self.shown_j = self.shown_j, self._shown()
        except OSError as problem:
            raise OSError(
                f"the energy counter of {self._folder} can no longer be read: {problem}; meter anew"
            ) from problem
        used_j = (self.shown_j - before_j) % self._range_j
        wraps = (self.max_power_w * (now_s - self._updated_s) - used_j) // self._range_j
        self.used_j += used_j
        self.unseen_j += max(0.0, wraps) * self._range_j
        self._updated_s = now_s

    def mirrors(self, other: "Counter") -> bool:
        """Whether both show the same count, up to what is used between two readings."""
        apart_j = abs(self.shown_j - other.shown_j)
        return min(apart_j, abs(self._range_j - apart_j)) <= MIRROR_J

    def _shown(self) -> float:
        return _microjoules(self._folder / "energy_uj", 0, self._range_uj) / 1e6


class Rapl(BackEnd):
    """Joules of the machine's processors since this was made, by the counters of a powercap tree.

    Packages that show the same count throughout are dies that mirror one counter, and count once. Parts
    that cannot be read are left out and named. A tree of ``replay.PowercapTree`` gives readings of
    provenance replayed, on its own clock.

    Raises ``FileNotFoundError`` where there is no counter, ``PermissionError`` where that of a package,
    or of psys without one, may not be read, ``OSError`` for one that vanishes, and ``ValueError`` for
    one that holds no count in its range.
    """

    name = "rapl"

    def __init__(self, powercap: Path = POWERCAP) -> None:
        self._replayed = Path(powercap) / REPLAYED
        self.provenance = "replayed" if self._replayed.is_file() else "measured"
        self._start_s = self._clock()
        self.counters, self._unread = _counters(Path(powercap), self._start_s)
        counting = [each for each in self.counters if each.kind == "package" and each.shown_j > 0]
        self._mirrored = [pair for pair in combinations(counting, 2) if pair[0].mirrors(pair[1])]

    def read(self, time_s: float, cpu_s: float) -> Reading:
        """Joules so far, with the seconds that the meter gives; a replayed tree has its own."""
        now_s = self._clock()
        for counter in self.counters:
            counter.update(now_s)
        self._mirrored = [pair for pair in self._mirrored if pair[0].mirrors(pair[1])]
        mirrors = {second.package for _, second in self._mirrored}
        own = [counter for counter in self.counters if counter.package not in mirrors]
        components: dict[str, float] = defaultdict(float)
        for counter in own:
            components[counter.kind] += counter.used_j
        counted = ("package", "dram") if "package" in components else ("psys",)
        counting = [counter for counter in own if counter.kind in counted]
        energy_j = sum(counter.used_j for counter in counting)
        unseen_j = sum(counter.unseen_j for counter in counting)
        renewed_s = RENEWED_S if self.provenance == "measured" else 0.0
        late_j = renewed_s * sum(counter.max_power_w for counter in counting)
        sockets = sum(counter.kind == "package" for counter in own)
        method = f"RAPL, {sockets} package counter{'s' * (sockets != 1)}" if sockets else "RAPL, psys"
        method += " and dram" * ("dram" in counted and "dram" in components)
        method += ", the machine with its neighbours"
        for kind in self._unread:
            method += f"; a {kind} counter cannot be read" + " and is not counted" * (kind in counted)
        if mirrors:
            method += f"; {len(mirrors)} mirrored left out"
        if unseen_j:
            safe_s = min(counter.safe_s for counter in own)
            method += f"; counters may have wrapped around unseen, read the meter every {safe_s:.3g} s"
        time_s = now_s - self._start_s if self.provenance == "replayed" else time_s
        used = (energy_j, max(0.0, energy_j - late_j), energy_j + unseen_j + late_j)
        return Reading(*used, self.provenance, method, time_s, cpu_s, dict(components))

    def _clock(self) -> float:
        replayed = self.provenance == "replayed"
        return float(self._replayed.read_text()) if replayed else time.perf_counter()


def packages(powercap: Path = POWERCAP) -> list[Path]:
    """RAPL package zones of this machine, readable or not."""
    return [folder for folder, name in _named(powercap) if name.startswith("package")]


def _named(powercap: Path) -> list[tuple[Path, str]]:
    """Folders of zones with their names; ``*-rapl-mmio`` shows the same packages again."""
    names = sorted(powercap.glob("*-rapl:*/name"))
    return [(name.parent, name.read_text().strip()) for name in names]


def _counters(powercap: Path, now_s: float) -> tuple[list[Counter], dict[str, OSError]]:
    """All counters, and the kinds of those that cannot be read; a package always must, or psys alone."""
    counters, unread = list[Counter](), dict[str, OSError]()
    for folder, name in _named(powercap):
        kind = name.partition("-")[0]
        try:
            counters.append(Counter(folder, kind, now_s))
        except OSError as problem:
            unread[kind] = problem
    whole = [counter for counter in counters if counter.kind in ("package", "psys")]
    needed = unread.get("package") or (None if whole else unread.get("psys"))
    if isinstance(needed, PermissionError):
        raise PermissionError(FORBIDDEN.format(path=needed.filename)) from needed
    if needed:
        raise OSError(f"a counter cannot be read ({needed}): take Meter('vcpu')") from needed
    if not whole:
        raise FileNotFoundError(
            f"there is no energy counter in {powercap}: virtual machines, containers and other systems "
            "than Linux show none. Meter('vcpu') estimates, and replay.PowercapTree writes a tree to "
            "learn on"
        )
    return counters, unread


def _max_power_w(folder: Path) -> float:
    """The largest power limit in force in a zone, ``MAX_POWER_W`` at most and where there is none."""
    try:
        held = (folder / "enabled").read_text().strip() == "1"
        limits = [_microjoules(path) / 1e6 for path in folder.glob("constraint_*_power_limit_uw")]
    except (OSError, ValueError):
        return MAX_POWER_W
    return min(MAX_POWER_W, max(limits, default=0.0) or MAX_POWER_W) if held else MAX_POWER_W


def _microjoules(path: Path, low: int = 0, high: float = math.inf) -> int:
    text = path.read_text().strip()
    if not (text.isdigit() and low <= int(text) <= high):
        raise ValueError(f"{path} holds {text!r}, whole microjoules from {low} to {high} are expected")
    return int(text)
