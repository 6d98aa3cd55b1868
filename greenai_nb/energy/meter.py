"""A meter: joules between two moments, by the best available back end or by a given one.

| back end   | what it reads                                        | provenance | options              |
|------------|------------------------------------------------------|------------|----------------------|
| auto       | RAPL, or else vcpu; with RAPL, NVML where it answers | either     | powercap             |
| rapl       | the processors' counters                             | measured   | powercap             |
| nvml       | the GPUs' counters                                   | measured   | gpus                 |
| vcpu       | own CPU seconds x the power of a busy vCPU           | estimated  |                      |
| codecarbon | time x constants, with grams of CO2e                 | estimated  | country, mode, ram_w |
| replay     | a recorded power trace                               | replayed   | trace                |

RAPL on a ``replay.PowercapTree`` is replayed as well. Counters cover whole devices: compare with an idle
interval, and check a reading's ``contaminated``.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from greenai_nb import machine
from greenai_nb.checks import nearest
from greenai_nb.energy.backends import cpu_share
from greenai_nb.energy.backends.backend import BackEnd
from greenai_nb.energy.backends.codecarbon_meter import CodecarbonMeter
from greenai_nb.energy.backends.cpu_model import CpuModel
from greenai_nb.energy.backends.nvml import Nvml
from greenai_nb.energy.backends.rapl import POWERCAP, Rapl, packages
from greenai_nb.energy.backends.replay import Replay
from greenai_nb.energy.reading import Reading

__all__ = ["Meter", "packages"]


class _Together(BackEnd):
    """Back ends of one provenance that run together, and notes on the devices that they omit."""

    def __init__(self, sources: Sequence[BackEnd], uncounted: Sequence[str]) -> None:
        self._sources, self._uncounted = sources, uncounted
        self.name = "+".join(source.name for source in sources)
        self.provenance = sources[0].provenance

    def read(self, time_s: float, cpu_s: float) -> Reading:
        first, *others = (source.read(time_s, cpu_s) for source in self._sources)
        whole = sum(others, start=first)
        method = "; ".join([whole.method, *self._uncounted])
        return replace(whole, method=method, time_s=first.time_s, cpu_s=first.cpu_s)


def _auto(powercap: Path = POWERCAP) -> BackEnd:
    """The best back ends that answer; the method names the devices that are not counted."""
    found: dict[str, BackEnd] = {}
    uncounted = []
    for name, what, options in (("rapl", "RAPL", (powercap,)), ("nvml", "GPUs", ())):
        try:
            found[name] = BACKENDS[name](*options)
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            uncounted.append(f"{what} not counted, Meter({name!r}) says why")
    processors, gpus = found.get("rapl") or CpuModel(), found.get("nvml")
    if gpus and gpus.provenance != processors.provenance:
        uncounted.append("GPUs not counted, Meter('nvml') reads them")
        gpus = None
    return _Together([processors, gpus] if gpus else [processors], uncounted)


BACKENDS: dict[str, Callable[..., BackEnd]] = {
    "auto": _auto,
    "rapl": Rapl,
    "nvml": Nvml,
    "vcpu": CpuModel,
    "codecarbon": CodecarbonMeter,
    "replay": Replay,
}


def backend_factory(backend: str, options: Mapping[str, Any]) -> Callable[..., BackEnd]:
    """A back end's factory. Raises ``ValueError`` for an unknown one, ``TypeError`` for its options."""
    if backend not in BACKENDS:
        raise ValueError(f"there is no back end {backend!r}. {nearest(str(backend), BACKENDS)}")
    signature = inspect.signature(BACKENDS[backend])
    try:
        signature.bind(**options)
    except TypeError as problem:
        takes = ", ".join(map(str, signature.parameters.values())) or "nothing"
        raise TypeError(f"back end {backend!r} takes {takes}: {problem}") from None
    return BACKENDS[backend]


class Meter:
    """A meter that runs from when it is made; ``read`` gives the energy so far, ``stop`` ends it.

    As a context manager it stops at the end of the block, whatever ends it. ``backend`` and its options
    are those of the table above; ``meter.backend`` says which was chosen. Raises ``ValueError`` for an
    unknown back end, ``TypeError`` for an option that it does not have, and what the back end raises.
    """

    def __init__(self, backend: str = "auto", **options: Any) -> None:
        self._source = backend_factory(backend, options)(**options)
        self.backend = self._source.name
        self._last: Reading | OSError | ValueError | None = None
        self._start = cpu_share.now()

    def read(self) -> Reading:
        """Joules, wall and CPU seconds since the meter was made, up to now or to ``stop``.

        Raises what its back end raises.
        """
        if self._last is not None:
            return self.reading
        now = cpu_share.now()
        got = self._source.read(now.wall_s - self._start.wall_s, now.cpu_s - self._start.cpu_s)
        if got.provenance == "replayed":
            return got
        idle, taken = cpu_share.shares(self._start, now)
        crowded = None if taken is None else taken > cpu_share.CONTAMINATED
        cpus, memory_mb = machine.container_limits()
        got = replace(got, cpu_limit=cpus, memory_limit_mb=memory_mb)
        return replace(got, idle_share=idle, contaminated=crowded)

    def stop(self) -> None:
        """Take the last reading, once, and close the back end; an error is raised by ``reading``."""
        if self._last is not None:
            return
        try:
            self._last = self.read()
        except (OSError, ValueError) as problem:
            self._last = problem
        finally:
            self._source.close()

    @property
    def reading(self) -> Reading:
        """The last reading. Raises ``RuntimeError`` before ``stop``, and what the back end raised."""
        if self._last is None:
            raise RuntimeError("the meter is still running: call stop(), end its block, or use read()")
        if isinstance(self._last, Reading):
            return self._last
        raise self._last

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
