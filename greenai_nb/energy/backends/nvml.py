"""NVML: the energy counter of each NVIDIA GPU, in millijoules since its driver was loaded.

It covers the whole board, idle power and other users' work included, and exists from Volta on. Work is
queued on a GPU, so that a block may end before its work does: where torch has initialized CUDA, the
counter is read after ``torch.cuda.synchronize()``.

A counter is updated every T = 0.1 s or so, so what it shows is up to T old at both ends of a reading.
With P the power limit that its board enforces,

    max(0, shown - P T)  <=  energy  <=  shown + P T .

Source: NVIDIA, *NVML API reference*, ``nvmlDeviceGetTotalEnergyConsumption``, and *CUDA programming
guide*, environment variables; for T, the ML.ENERGY Initiative, *Thermally stable profiling for accurate
GPU energy measurement*.
"""

import functools
import os
import re
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from greenai_nb.energy.backends.backend import BackEnd
from greenai_nb.energy.reading import Reading

RENEWED_S = 0.1
MAX_POWER_W = 1400.0  # of the largest board on sale, NVIDIA GB300; used where a board reports no limit


class NotSupportedError(OSError):
    """A GPU has no such counter or sensor."""


class Nvml(BackEnd):
    """Joules of GPUs since this was made: those that CUDA shows, or those with NVML's indices ``gpus``.

    ``CUDA_VISIBLE_DEVICES`` names what CUDA shows, by index or by the start of a UUID, up to the first
    name that no GPU has. CUDA puts the fastest GPU first, and NVML follows the PCI bus: for
    GPUs that differ, indices need ``CUDA_DEVICE_ORDER=PCI_BUS_ID``. GPUs without a counter are left out.

    Raises ``FileNotFoundError`` where there is no GPU, ``OSError`` where CUDA shows none or it is not
    clear which, and where no counter answers, and ``ValueError`` for an index that no GPU has or that is
    given twice.
    """

    name = "nvml"
    provenance = "measured"

    def __init__(self, gpus: Sequence[int] | None = None) -> None:
        count = ask("nvmlDeviceGetCount")
        if not count:
            raise FileNotFoundError("NVML knows no GPU: meter the processor, with Meter('auto')")
        chosen = _shown_by_cuda(count) if gpus is None else gpus
        if not chosen or not set(chosen) <= set(range(count)) or len(set(chosen)) < len(chosen):
            raise ValueError(f"gpus must be different indices in [0, {count - 1}], got {list(chosen)}")
        self.boards, lacking = [], []
        for board in [ask("nvmlDeviceGetHandleByIndex", index) for index in chosen]:
            try:
                ask("nvmlDeviceGetTotalEnergyConsumption", board)
                self.boards.append(board)
            except NotSupportedError as problem:
                lacking.append(problem)
        if not self.boards:
            raise lacking[0]
        self._method = _method(len(self.boards), count, len(lacking))
        self._late_j = [RENEWED_S * _limit_w(board) for board in self.boards]
        self._start_mj = self._millijoules()

    def read(self, time_s: float, cpu_s: float) -> Reading:
        """Joules so far of whole boards, as an interval, since counters are updated now and then."""
        ends = zip(self._millijoules(), self._start_mj, strict=True)
        used_j = [(now - start) / 1000 for now, start in ends]
        if min(used_j) < 0:
            raise OSError("a GPU's energy counter went back: its driver was reloaded in the meantime")
        joules = sum(used_j)
        low_j = sum(max(0.0, used - late) for used, late in zip(used_j, self._late_j, strict=True))
        interval, parts = (joules, low_j, joules + sum(self._late_j)), {"gpu": joules}
        return Reading(*interval, self.provenance, self._method, time_s, cpu_s, parts)

    def _millijoules(self) -> list[int]:
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return [ask("nvmlDeviceGetTotalEnergyConsumption", board) for board in self.boards]


def _method(counted: int, count: int, lacking: int) -> str:
    """What is counted, of how many GPUs, and what is not."""
    whole = f"NVML, {counted} GPU{'s' * (counted != 1)}" + f" of {count}" * (counted < count)
    whole += f", whole boards with their neighbours, counters renewed every {RENEWED_S} s"
    if lacking:
        whole += f"; {lacking} GPU{'s' * (lacking != 1)} without a counter not counted"
    return whole


def ask(name: str, *arguments: object) -> Any:
    """What NVML's function of this name answers.

    Raises ``FileNotFoundError`` where there is no driver, ``NotSupportedError`` for what a GPU does not
    have, and ``OSError`` where NVML does not answer.
    """
    nvml = _started()
    try:
        return getattr(nvml, name)(*arguments)
    except nvml.NVMLError as problem:
        unsupported = isinstance(problem, nvml.NVMLError_NotSupported)
        raise (NotSupportedError if unsupported else OSError)(
            f"NVML cannot do {name}: {problem}. The energy counter needs a GPU from Volta on and a "
            "driver that runs; Meter('vcpu') estimates the processor without it"
        ) from problem


def _shown_by_cuda(count: int) -> list[int]:
    """NVML's indices of the GPUs that CUDA shows to this process."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return list(range(count))
    boards = [ask("nvmlDeviceGetHandleByIndex", index) for index in range(count)]
    uuids = [ask("nvmlDeviceGetUUID", board) for board in boards]
    shown, by_index = list[int](), False
    for name in map(str.strip, named.split(",")):
        if name.startswith("MIG-"):
            names = f"CUDA_VISIBLE_DEVICES names {name}, a slice of a GPU, which has no energy counter"
            raise OSError(f"{names}: Meter('nvml', gpus=[0]) reads the whole first GPU, with all slices")
        number = re.match(r"\+?(\d+)", name, re.ASCII)  # as CUDA reads it, up to the last digit
        by_index |= number is not None
        found = [index for index in range(count) if number and int(number[1]) == index]
        found += [index for index in range(count) if uuids[index].startswith(name) and "GPU-" in name]
        if len(found) != 1:
            break
        shown += found
    if not shown or len(set(shown)) < len(shown):
        raise OSError(
            f"CUDA_VISIBLE_DEVICES={named!r} shows CUDA none of the {count} GPUs that NVML knows: name "
            "each once by its index or UUID, or meter by NVML's index, as Meter('nvml', gpus=[0]) does"
        )
    alike = len({ask("nvmlDeviceGetName", board) for board in boards}) == 1
    in_order = alike or len(shown) == count or os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    if by_index and not in_order:
        raise OSError(
            f"CUDA_VISIBLE_DEVICES={named!r} counts GPUs from the fastest on, and NVML along the PCI "
            "bus: set CUDA_DEVICE_ORDER=PCI_BUS_ID before Python starts, or name GPUs by their UUID"
        )
    return shown


def _limit_w(board: object) -> float:
    """The power limit that a board enforces, in watts."""
    try:
        return float(ask("nvmlDeviceGetEnforcedPowerLimit", board) / 1000)
    except OSError:
        return MAX_POWER_W


@functools.cache
def _started() -> ModuleType:
    try:
        import pynvml
    except ImportError as problem:
        raise OSError("a GPU's counter needs pynvml: install the package nvidia-ml-py") from problem
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded) as problem:
        raise FileNotFoundError(f"no GPU to meter, no NVIDIA driver answers: {problem}") from problem
    except pynvml.NVMLError as problem:
        raise OSError(f"no GPU can be metered, the NVIDIA driver refuses: {problem}") from problem
    return pynvml
