"""A module in pynvml's place, for a machine with GPUs that says what a test wants."""

import sys
from types import SimpleNamespace

import pytest

from greenai_nb.energy.backends import nvml


class NVMLError(Exception):
    pass


class NotSupportedError(NVMLError):
    pass


class NotThereError(NVMLError):
    pass


class Gpus(list):
    """Millijoules of each GPU; an exception in a GPU's place is raised."""

    names, limit_mw, power_mw = ("NVIDIA A", "NVIDIA A"), 100_000, 60_000
    uuids = ("GPU-aaaa1111", "GPU-aabb2222")
    error, not_supported, not_there = NVMLError, NotSupportedError("Not Supported"), NotThereError

    @staticmethod
    def told(what):
        if isinstance(what, Exception):
            raise what
        return what


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs that CUDA shows."""
    found = Gpus([1_000, 2_000])
    fake = SimpleNamespace(
        NVMLError=NVMLError,
        NVMLError_NotSupported=NotSupportedError,
        NVMLError_LibraryNotFound=NotThereError,
        NVMLError_DriverNotLoaded=NotThereError,
        nvmlInit=lambda: None,
        nvmlSystemGetDriverVersion=lambda: "600.1",
        nvmlDeviceGetCount=lambda: len(found),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda index: found.names[index],
        nvmlDeviceGetUUID=lambda index: found.uuids[index],
        nvmlDeviceGetTotalEnergyConsumption=lambda index: found.told(found[index]),
        nvmlDeviceGetPowerUsage=lambda index: found.told(found.power_mw),
        nvmlDeviceGetEnforcedPowerLimit=lambda index: found.told(found.limit_mw),
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    nvml._started.cache_clear()
    yield found
    nvml._started.cache_clear()
