"""What a meter can read, by name.

| back end   | what it reads                                        | provenance | options              |
|------------|------------------------------------------------------|------------|----------------------|
| auto       | RAPL, with NVML where there are GPUs; else vcpu      | either     | powercap             |
| rapl       | the processors' counters                             | measured   | powercap             |
| nvml       | the GPUs' counters                                   | measured   | gpus                 |
| vcpu       | own CPU seconds x the draw of a busy virtual one     | estimated  |                      |
| codecarbon | time x constants, with grams of CO2e                 | estimated  | country, mode, ram_w |
| replay     | a recorded power trace                               | replayed   | trace                |

RAPL on a tree of ``replay.powercap_tree`` is replayed as well.
"""

import contextlib
import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from greenai_nb.energy.carbon_tracker import CarbonTracker
from greenai_nb.energy.nvml import Nvml
from greenai_nb.energy.powercap import POWERCAP, Rapl
from greenai_nb.energy.reading import Reading
from greenai_nb.energy.replay import Replay
from greenai_nb.energy.vcpu import Vcpu


class BackEnd(Protocol):
    """What a meter reads: it starts when it is made, and gives joules since."""

    @property
    def name(self) -> str: ...
    @property
    def provenance(self) -> str: ...
    def read(self, time_s: float, cpu_s: float) -> Reading: ...
    def close(self) -> None: ...


class _Both:
    """Processors and GPUs, both measured, in one reading."""

    provenance = "measured"

    def __init__(self, *sources: BackEnd) -> None:
        self._sources = sources
        self.name = "+".join(source.name for source in sources)

    def read(self, time_s: float, cpu_s: float) -> Reading:
        one, other = (source.read(time_s, cpu_s) for source in self._sources)
        return replace(one + other, time_s=time_s, cpu_s=cpu_s)

    def close(self) -> None:
        for source in self._sources:
            source.close()


def _auto(powercap: Path = POWERCAP) -> BackEnd:
    """The best back end that answers; an estimate says what it leaves out."""
    remark, gpus = "", None
    with contextlib.suppress(OSError):
        gpus = Nvml()
    try:
        processors = Rapl(powercap)
    except FileNotFoundError:
        pass
    except (OSError, ValueError):
        remark = "; RAPL is there and cannot be read, meter('rapl') says why"
    else:
        return _Both(processors, gpus) if gpus and processors.provenance == "measured" else processors
    return Vcpu(remark + ("; GPUs not counted, meter('nvml') reads them" if gpus else ""))


BACK_ENDS: dict[str, Callable[..., BackEnd]] = {
    "auto": _auto,
    "rapl": Rapl,
    "nvml": Nvml,
    "vcpu": Vcpu,
    "codecarbon": CarbonTracker,
    "replay": Replay,
}


def maker(backend: str, options: Mapping[str, Any]) -> Callable[..., BackEnd]:
    """What makes a back end. Raises ``ValueError`` for an unknown one, ``TypeError`` for its options."""
    if backend not in BACK_ENDS:
        near = difflib.get_close_matches(str(backend), BACK_ENDS, n=1)
        offer = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(BACK_ENDS)}"
        raise ValueError(f"there is no back end {backend!r}: {offer}")
    signature = inspect.signature(BACK_ENDS[backend])
    try:
        signature.bind(**options)
    except TypeError as problem:
        takes = ", ".join(map(str, signature.parameters.values())) or "nothing"
        raise TypeError(f"back end {backend!r} takes {takes}: {problem}") from None
    return BACK_ENDS[backend]
