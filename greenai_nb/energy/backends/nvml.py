"""NVML: the energy counter of each NVIDIA GPU, in millijoules since its driver was loaded.

It holds the whole board, idle power and other users' work included, and exists from Volta on. Work is
queued on a GPU, so that a block may end before its work does: where torch has begun to use one, the
counter is read after ``torch.cuda.synchronize()``.

Source: NVIDIA, *NVML API reference*, ``nvmlDeviceGetTotalEnergyConsumption``.
"""

import functools
import sys
from collections.abc import Sequence
from types import ModuleType

from greenai_nb.energy.backends.backend import BackEnd
from greenai_nb.energy.reading import Reading


class Nvml(BackEnd):
    """Joules of the GPUs with the given indices, all by default, since this was made.

    Raises ``OSError`` where NVML, a GPU or its counter is not there or stops to answer, and
    ``ValueError`` for an index that no GPU has.
    """

    name = "nvml"
    provenance = "measured"

    def __init__(self, gpus: Sequence[int] | None = None) -> None:
        self._nvml = _started()
        count = self._call("nvmlDeviceGetCount")
        if not count:
            raise OSError("NVML knows no GPU: meter the processor instead, with Meter('auto')")
        chosen = range(count) if gpus is None else gpus
        if not chosen or not set(chosen) <= set(range(count)):
            raise ValueError(f"gpus must be indices in [0, {count - 1}], got {list(chosen)}")
        self._boards = [self._call("nvmlDeviceGetHandleByIndex", index) for index in chosen]
        self._start_mj = self._millijoules()

    def read(self, time_s: float, cpu_s: float) -> Reading:
        """Joules so far of whole boards."""
        used = [now - start for now, start in zip(self._millijoules(), self._start_mj, strict=True)]
        if min(used) < 0:
            raise OSError("a GPU's energy counter went back: its driver was loaded anew in the meantime")
        joules = sum(used) / 1000
        method = f"NVML, {len(used)} GPU{'s' * (len(used) != 1)}, whole boards with their neighbours"
        return Reading.exact(joules, self.provenance, method, time_s, cpu_s, components={"gpu": joules})

    def _millijoules(self) -> list[int]:
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return [self._call("nvmlDeviceGetTotalEnergyConsumption", board) for board in self._boards]

    def _call(self, name: str, *arguments: object) -> int:
        try:
            return getattr(self._nvml, name)(*arguments)
        except self._nvml.NVMLError as problem:
            raise OSError(
                f"NVML cannot do {name}: {problem}. The energy counter needs a GPU from Volta on and a "
                "driver that runs; Meter('vcpu') estimates the processor without it"
            ) from problem


@functools.cache
def _started() -> ModuleType:
    try:
        import pynvml
    except ImportError as problem:
        raise OSError("a GPU's counter needs pynvml: install the package nvidia-ml-py") from problem
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as problem:
        raise OSError(f"no NVIDIA driver answers ({problem}): no GPU can be metered") from problem
    return pynvml
