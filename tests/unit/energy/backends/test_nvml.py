"""NVML's path, with a module in pynvml's place."""

import sys

import numpy as np
import pytest
import torch

from greenai_nb.energy.backends.replay import PowercapTree
from greenai_nb.energy.meter import Meter

LATE_J = 0.1 * 100  # what a board at its limit of 100 W uses between two renewals of its counter


def test_millijoules_of_all_gpus_add_up(gpus):
    meter = Meter("nvml")
    gpus[:] = [4_500, 3_000]
    reading = meter.read()
    assert reading.energy_j == pytest.approx(4.5) and reading.components == {"gpu": 4.5}
    assert reading.provenance == "measured" and "2 GPUs, whole boards" in reading.method


def test_gpus_may_be_chosen(gpus):
    meter = Meter("nvml", gpus=[1])
    gpus[:] = [9_000, 2_500]
    assert meter.read().energy_j == pytest.approx(0.5) and "1 GPU of 2," in meter.read().method


@pytest.mark.parametrize("chosen", [[2], [-1], [], [0, 0]])
def test_a_gpu_that_is_not_there_or_named_twice_is_refused(gpus, chosen):
    with pytest.raises(ValueError, match=r"gpus.*different.*\[0, 1\]"):
        Meter("nvml", gpus=chosen)


def test_unchanged_counters_may_have_used_something(gpus):
    reading = Meter("nvml").read()
    assert (reading.low_j, reading.energy_j, reading.high_j) == (0, 0, pytest.approx(2 * LATE_J))
    assert "0 to 20 J measured" in str(reading) and "renewed every 0.1 s" in reading.method


@pytest.mark.parametrize(
    "limit_mw, used_mj, low_j, high_j",
    [
        (100_000, 50_000, 40, 60),
        (700_000, 50_000, 0, 120),
        (700_000, 500_000, 430, 570),
        (NotImplementedError, 500_000, 360, 640),
    ],
)
def test_a_reading_is_as_wide_as_a_renewal_at_the_power_limit(gpus, limit_mw, used_mj, low_j, high_j):
    gpus.limit_mw = gpus.not_supported if limit_mw is NotImplementedError else limit_mw
    meter = Meter("nvml", gpus=[0])
    gpus[0] += used_mj
    reading = meter.read()
    assert (reading.low_j, reading.high_j) == pytest.approx((low_j, high_j))


@pytest.mark.parametrize("seed", range(20))
def test_the_energy_lies_in_the_reading_whenever_a_counter_is_renewed(gpus, seed):
    random = np.random.default_rng(seed)
    watts = random.integers(0, 101, 40)  # for 10 ms each, under a limit of 100 W
    true_mj = np.concatenate([[0], 10 * watts.cumsum()])
    renewed, phase = random.integers(1, 11, 2)
    shown_mj = [true_mj[max(0, at - (at + phase) % renewed)] for at in range(41)]
    first, last = sorted(random.integers(0, 41, 2))
    gpus[0] = int(shown_mj[first])
    meter = Meter("nvml", gpus=[0])
    gpus[0] = int(shown_mj[last])
    reading = meter.read()
    assert reading.low_j <= (true_mj[last] - true_mj[first]) / 1000 <= reading.high_j


@pytest.mark.parametrize(
    "shown, counted",
    [
        ("1", [1]),
        ("1,0", [0, 1]),
        ("0,7,1", [0]),
        ("1,-1,0", [1]),
        (" 1 ", [1]),
        ("1gpu", [1]),
        ("GPU-aabb2222", [1]),
        ("GPU-aab", [1]),
        ("GPU-aaaa,GPU-aa", [0]),
        ("GPU-aabb,GPU-zz,GPU-aaaa", [1]),
        ("1,GPU-abc", [1]),
        (None, [0, 1]),
    ],
)
def test_the_gpus_that_cuda_shows_are_counted(gpus, monkeypatch, shown, counted):
    if shown is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    meter = Meter("nvml")
    gpus[:] = [2_000, 12_000]
    assert meter.read().energy_j == pytest.approx(sum((1, 10)[index] for index in counted))
    assert f"{len(counted)} GPU" in meter.read().method
    assert (" of 2" in meter.read().method) == (len(counted) < 2)


@pytest.mark.parametrize("shown", ["", "-1", "2", "GPU-abc", "GPU-aa", "0,0", "NoDevFiles", "G"])
def test_where_cuda_shows_no_gpu_none_is_measured(gpus, monkeypatch, tmp_path, shown):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    with pytest.raises(OSError, match=rf"'{shown}' shows CUDA none of the 2 GPUs.*gpus=\[0\]"):
        Meter("nvml")
    assert Meter("nvml", gpus=[0]).read().provenance == "measured"
    assert "GPUs not counted, Meter('nvml') says why" in Meter(powercap=tmp_path).read().method


@pytest.mark.parametrize("shown", ["MIG-1234", "0,MIG-1234", "MIG-GPU-aaaa1111/1/0"])
def test_a_slice_of_a_gpu_has_no_counter(gpus, monkeypatch, shown):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    with pytest.raises(OSError, match=r"MIG-.*slice.*no energy counter.*gpus=\[0\]"):
        Meter("nvml")


def test_indices_of_gpus_that_differ_need_the_order_of_the_bus(gpus, monkeypatch):
    gpus.names = ("NVIDIA A", "NVIDIA B")
    for shown in ("GPU-aabb", "0,1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
        assert Meter("nvml").read().provenance == "measured"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(OSError, match=r"'1'.*fastest.*CUDA_DEVICE_ORDER=PCI_BUS_ID.*UUID"):
        Meter("nvml")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    meter = Meter("nvml")
    gpus[:] = [2_000, 12_000]
    assert meter.read().energy_j == pytest.approx(10)


def test_what_a_gpu_still_has_to_do_is_waited_for(gpus, monkeypatch):
    def synchronize():
        gpus[0] += 500

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    meter = Meter("nvml")
    assert meter.read().energy_j == pytest.approx(0.5)


def test_auto_adds_gpus_to_measured_processors_and_names_both(gpus, tmp_path):
    tree = PowercapTree(tmp_path, 10.0)
    replayed = Meter(powercap=tmp_path)
    assert replayed.backend == "rapl", "a replayed processor and a measured GPU do not mix"
    assert "GPUs not counted, Meter('nvml') reads them" in replayed.read().method
    (tmp_path / "replayed").unlink()
    meter = Meter(powercap=tmp_path)
    tree.advance(2.0)
    gpus[0] += 1_000
    reading = meter.read()
    assert meter.backend == "rapl+nvml" and reading.energy_j == pytest.approx(21)
    assert reading.components == pytest.approx({"package": 20, "gpu": 1}) and reading.time_s < 2
    assert "not counted" not in reading.method


def test_auto_without_rapl_says_that_gpus_are_not_counted(gpus, tmp_path):
    meter = Meter(powercap=tmp_path)
    assert (
        meter.backend == "vcpu" and "GPUs not counted, Meter('nvml') reads them" in meter.read().method
    )


@pytest.mark.parametrize("old", [0, 1])
def test_a_gpu_without_a_counter_is_left_out_and_named(gpus, tmp_path, old):
    gpus[old] = gpus.not_supported
    for chosen in (None, [1, 0], [1 - old]):
        meter = Meter("nvml", gpus=chosen)
        gpus[1 - old] += 3_000
        reading = meter.read()
        assert reading.energy_j == pytest.approx(3) and "1 GPU of 2, whole" in reading.method
        named = "; 1 GPU without a counter not counted" in reading.method
        assert named == (chosen != [1 - old])
    PowercapTree(tmp_path, 10.0)
    (tmp_path / "replayed").unlink()
    both = Meter(powercap=tmp_path)
    assert both.backend == "rapl+nvml" and "without a counter" in both.read().method


def test_where_no_gpu_has_a_counter_nothing_is_measured_and_auto_says_so(gpus, tmp_path):
    gpus[:] = [gpus.not_supported, gpus.not_supported]
    with pytest.raises(OSError, match="TotalEnergyConsumption: Not Supported"):
        Meter("nvml")
    why = "GPUs not counted, Meter('nvml') says why"
    assert why in Meter(powercap=tmp_path).read().method
    PowercapTree(tmp_path, 10.0)
    (tmp_path / "replayed").unlink()
    meter = Meter(powercap=tmp_path)
    assert meter.backend == "rapl" and why in meter.read().method


def test_a_gpu_that_is_lost_is_an_error_and_not_one_without_a_counter(gpus):
    gpus[0] = gpus.error("GPU is lost")
    with pytest.raises(OSError, match="GPU is lost"):
        Meter("nvml")


def test_a_counter_that_goes_back_or_away_is_an_error(gpus):
    meter = Meter("nvml")
    gpus[1] = 1
    with pytest.raises(OSError, match="went back"):
        meter.read()
    gpus[1] = gpus.error("GPU is lost")
    with pytest.raises(OSError, match="GPU is lost"):
        meter.read()


def test_a_driver_without_gpus_is_an_error_and_nothing_that_auto_leaves_out(gpus, tmp_path):
    gpus.clear()
    with pytest.raises(OSError, match="no GPU"):
        Meter("nvml")
    assert "GPU" not in Meter(powercap=tmp_path).read().method


@pytest.mark.parametrize("there", [False, True])
def test_without_a_driver_or_the_package_the_sentence_says_so(gpus, monkeypatch, tmp_path, there):
    def refuse():
        raise (gpus.error if there else gpus.not_there)("Driver/library version mismatch")

    monkeypatch.setattr(sys.modules["pynvml"], "nvmlInit", refuse)
    with pytest.raises(OSError, match="version mismatch"):
        Meter("nvml")
    assert ("GPUs not counted" in Meter(powercap=tmp_path).read().method) == there
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(OSError, match="nvidia-ml-py"):
        Meter("nvml")
