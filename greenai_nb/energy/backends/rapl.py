"""RAPL: the energy counters of Intel and AMD processors, as Linux shows them under powercap.

Each zone is a folder with a ``name`` (package-0, core, uncore, dram, psys), ``energy_uj`` and
``max_energy_range_uj``. The counters hold the whole processor, neighbours and idle power included. Core
and uncore are parts of package, and psys is the whole board, so

    energy = sum over sockets of (package + dram) ,      or psys where there is no package.

A counter starts again at its range R, and only the time tells how often it has. It is read when asked,
by no thread: ask at least every R / P seconds at P watts (65,536 J at 100 W: 655 s). Where the time
since the last reading leaves room for k more turns than are seen, the reading is an interval of k R.

Source: the kernel's ``power/powercap`` document; Intel, *Software Developer's Manual*, volume 3, RAPL.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from greenai_nb.energy.reading import Reading

POWERCAP = Path("/sys/class/powercap")
REPLAYED = "replayed"  # the file in which a replayed tree keeps its clock, in seconds
MAX_POWER_W = (
    500.0  # thermal design power of the largest processors on sale, AMD EPYC 9965 and Intel Xeon 6980P
)
MIRROR_J = 1.0  # what a package uses, at most, between the reading of its counter and of the next
FORBIDDEN = (
    "{path} may not be read: Linux keeps energy counters for root since the PLATYPUS attack "
    "(CVE-2020-8694), which read secrets through them. Run this session as root, or let an "
    "administrator give the file to one trusted group by a udev rule; do not open it to every user. "
    "meter('vcpu') estimates without it"
)


@dataclass(frozen=True)
class Zone:
    """A counter: its folder, kind (package, core, uncore, dram, psys), range and largest draw."""

    folder: Path
    kind: str
    range_j: float
    most_w: float

    def joules(self) -> float:
        """What the counter shows. Raises ``OSError`` and ``ValueError`` as ``Rapl`` does."""
        shown = _whole(self.folder / "energy_uj")
        if shown > self.range_j * 1e6:
            raise ValueError(
                f"{self.folder / 'energy_uj'} holds {shown}, a whole number of microjoules in "
                f"[0, {self.range_j * 1e6:.0f}] is expected"
            )
        return shown / 1e6

    def longest_s(self, power_w: float) -> float:
        """Seconds in which the counter turns once at ``power_w``: the longest time between readings."""
        return self.range_j / power_w


class Rapl:
    """Joules of the machine's processors since this was made, by the counters of a powercap tree.

    Packages that show the same count throughout are dies that mirror one counter, and count once. A tree
    of ``replay.powercap_tree`` gives readings that are called replayed, by its own clock.

    Raises ``FileNotFoundError`` where there is no counter, ``PermissionError`` where it may not be read,
    ``OSError`` for one that vanishes, and ``ValueError`` for one that holds no count in its range.
    """

    name = "rapl"

    def __init__(self, powercap: Path = POWERCAP) -> None:
        self._replayed = Path(powercap) / REPLAYED
        self.provenance = "replayed" if self._replayed.is_file() else "measured"
        self.zones = _zones(Path(powercap))
        self._last_s, self._last = self._clock(), [zone.joules() for zone in self.zones]
        self._start_s = self._last_s
        self._used, self._unseen = [0.0] * len(self.zones), [0.0] * len(self.zones)
        self._twins = {
            (one, other)
            for other in range(len(self.zones))
            for one in range(other)
            if self.zones[one].kind == self.zones[other].kind == "package" and self._last[one] > 0
        }
        self._keep_twins()

    def read(self, time_s: float, cpu_s: float) -> Reading:
        """Joules so far, with the seconds that the meter gives; a replayed tree has its own."""
        clock_s = self._clock()
        for at, zone in enumerate(self.zones):
            before, self._last[at] = self._last[at], self._counter(zone)
            used = (self._last[at] - before) % zone.range_j
            turns = max(0.0, (zone.most_w * (clock_s - self._last_s) - used) // zone.range_j)
            self._used[at] += used
            self._unseen[at] += turns * zone.range_j
        self._last_s = clock_s
        self._keep_twins()
        return self._reading(clock_s - self._start_s if self.provenance == "replayed" else time_s, cpu_s)

    def close(self) -> None:
        """Nothing is open between readings."""

    def _reading(self, time_s: float, cpu_s: float) -> Reading:
        mirrors = {self.zones[other].folder.name for _, other in self._twins}
        own = [
            at
            for at, zone in enumerate(self.zones)
            if not any(f"{zone.folder.name}:".startswith(f"{mirror}:") for mirror in mirrors)
        ]
        kinds = list(dict.fromkeys(self.zones[at].kind for at in own))
        components = {
            kind: sum(self._used[at] for at in own if self.zones[at].kind == kind) for kind in kinds
        }
        counted = ("package", "dram") if "package" in kinds else ("psys",)
        energy = sum(components.get(kind, 0.0) for kind in counted)
        unseen = sum(self._unseen[at] for at in own if self.zones[at].kind in counted)
        sockets = sum(self.zones[at].kind == "package" for at in own)
        method = f"RAPL, {sockets} package counter{'s' * (sockets != 1)}" if sockets else "RAPL, psys"
        method += (
            " and dram" * ("dram" in counted and "dram" in kinds) + ", the machine with its neighbours"
        )
        if mirrors:
            method += f"; {len(mirrors)} mirrored left out"
        if unseen:
            safe = min(self.zones[at].longest_s(self.zones[at].most_w) for at in own)
            method += f"; counters may have turned unseen, read the meter every {safe:.3g} s"
        return Reading(
            energy, energy, energy + unseen, self.provenance, method, time_s, cpu_s, components
        )

    def _clock(self) -> float:
        if self.provenance == "measured":
            return time.perf_counter()
        return float(self._replayed.read_text())

    def _counter(self, zone: Zone) -> float:
        try:
            return zone.joules()
        except OSError as problem:
            raise OSError(
                f"the energy counter of {zone.folder} could be read at the start and now cannot: "
                f"{problem}; meter anew"
            ) from problem

    def _keep_twins(self) -> None:
        def apart(one: int, other: int) -> float:
            span = abs(self._last[one] - self._last[other])
            return min(span, abs(self.zones[one].range_j - span))

        self._twins = {pair for pair in self._twins if apart(*pair) <= MIRROR_J}


def packages(powercap: Path = POWERCAP) -> list[Path]:
    """RAPL package zones of this machine, readable or not."""
    return [folder for folder, name in _named(powercap) if name.startswith("package")]


def _named(powercap: Path) -> list[tuple[Path, str]]:
    """Folders of zones with their names; ``*-rapl-mmio`` shows the same packages once more."""
    folders = sorted(powercap.glob("*-rapl:*")) if powercap.is_dir() else []
    named = [(folder, folder / "name") for folder in folders]
    return [(folder, name.read_text().strip()) for folder, name in named if name.is_file()]


def _zones(powercap: Path) -> list[Zone]:
    """Zones with a counter; a part without one, as some dram zones are, is left out, a package never."""
    found = []
    for folder, name in _named(powercap):
        kind = name.partition("-")[0]
        try:
            _whole(folder / "energy_uj")
        except PermissionError as problem:
            raise PermissionError(FORBIDDEN.format(path=folder / "energy_uj")) from problem
        except OSError:
            if kind == "package":
                raise
            continue
        range_uj = _whole(folder / "max_energy_range_uj")
        if not range_uj:
            raise ValueError(f"{folder / 'max_energy_range_uj'} holds 0, a positive range is expected")
        found.append(Zone(folder, kind, range_uj / 1e6, _most_w(folder)))
    if not any(zone.kind in ("package", "psys") for zone in found):
        raise FileNotFoundError(
            f"there is no energy counter in {powercap}: virtual machines, containers and other systems "
            "than Linux show none. meter('vcpu') estimates, and replay.powercap_tree writes a tree to "
            "learn on"
        )
    return found


def _most_w(folder: Path) -> float:
    """The largest power limit that holds in a zone, up to ``MAX_POWER_W``, which stands where none does."""
    try:
        held = (folder / "enabled").read_text().strip() == "1"
        limits = [_whole(path) / 1e6 for path in folder.glob("constraint_*_power_limit_uw")]
    except (OSError, ValueError):
        return MAX_POWER_W
    return min(MAX_POWER_W, max(limits, default=MAX_POWER_W) or MAX_POWER_W) if held else MAX_POWER_W


def _whole(path: Path) -> int:
    text = path.read_text().strip()
    if not text.isdigit():
        raise ValueError(f"{path} holds {text!r}, a whole number of microjoules is expected")
    return int(text)
