"""NVML's path, with a module in pynvml's place."""

import sys
from types import SimpleNamespace

import pytest
import torch

from greenai_nb.energy.backends import nvml
from greenai_nb.energy.backends.replay import PowercapTree
from greenai_nb.energy.meter import Meter


class NVMLError(Exception):
    pass


@pytest.fixture
def gpus(monkeypatch):
    """Millijoules of two GPUs; an exception in a GPU's place is raised."""
    counters = [1_000, 2_000]

    def energy(index):
        if isinstance(counters[index], Exception):
            raise counters[index]
        return counters[index]

    fake = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(counters),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=energy,
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    nvml._started.cache_clear()
    yield counters
    nvml._started.cache_clear()


def test_millijoules_of_all_gpus_add_up(gpus):
    meter = Meter("nvml")
    gpus[:] = [4_500, 3_000]
    reading = meter.read()
    assert reading.energy_j == reading.low_j == pytest.approx(4.5) and reading.components == {"gpu": 4.5}
    assert reading.provenance == "measured" and "2 GPUs" in reading.method


def test_gpus_may_be_chosen(gpus):
    meter = Meter("nvml", gpus=[1])
    gpus[:] = [9_000, 2_500]
    assert meter.read().energy_j == pytest.approx(0.5) and "1 GPU," in meter.read().method


@pytest.mark.parametrize("chosen", [[2], [-1], []])
def test_a_gpu_that_is_not_there_is_refused(gpus, chosen):
    with pytest.raises(ValueError, match=r"gpus.*\[0, 1\]"):
        Meter("nvml", gpus=chosen)


def test_what_a_gpu_still_has_to_do_is_waited_for(gpus, monkeypatch):
    def synchronize():
        gpus[0] += 500

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    meter = Meter("nvml")
    assert meter.read().energy_j == pytest.approx(0.5)


def test_auto_adds_gpus_to_measured_processors_and_names_both(gpus, tmp_path):
    tree = PowercapTree(tmp_path, 10.0)
    assert Meter(powercap=tmp_path).backend == "rapl", (
        "a replayed processor and a measured GPU do not mix"
    )
    (tmp_path / "replayed").unlink()
    meter = Meter(powercap=tmp_path)
    tree.advance(2.0)
    gpus[0] += 1_000
    reading = meter.read()
    assert meter.backend == "rapl+nvml" and reading.energy_j == pytest.approx(21)
    assert reading.components == pytest.approx({"package": 20, "gpu": 1}) and reading.time_s < 2


def test_auto_without_rapl_says_that_gpus_are_not_counted(gpus, tmp_path):
    meter = Meter(powercap=tmp_path)
    assert (
        meter.backend == "vcpu" and "GPUs not counted, Meter('nvml') reads them" in meter.read().method
    )


def test_an_old_gpu_has_no_counter(gpus):
    gpus[0] = NVMLError("Not Supported")
    with pytest.raises(OSError, match="TotalEnergyConsumption: Not Supported"):
        Meter("nvml")


def test_a_counter_that_goes_back_or_away_is_an_error(gpus):
    meter = Meter("nvml")
    gpus[1] = 1
    with pytest.raises(OSError, match="went back"):
        meter.read()
    gpus[1] = NVMLError("GPU is lost")
    with pytest.raises(OSError, match="GPU is lost"):
        meter.read()


def test_a_driver_without_gpus_is_an_error(gpus):
    gpus.clear()
    with pytest.raises(OSError, match="no GPU"):
        Meter("nvml")


def test_without_a_driver_or_the_package_the_sentence_says_so(gpus, monkeypatch):
    def refuse():
        raise NVMLError("Driver Not Loaded")

    monkeypatch.setattr(sys.modules["pynvml"], "nvmlInit", refuse)
    with pytest.raises(OSError, match="Driver Not Loaded"):
        Meter("nvml")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(OSError, match="nvidia-ml-py"):
        Meter("nvml")
