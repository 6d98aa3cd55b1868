import time

import pytest

from greenai_nb import machine
from greenai_nb.energy.backends import cpu_share
from greenai_nb.energy.backends.cpu_model import BUSY_VCPU_W
from greenai_nb.energy.backends.replay import PowercapTree
from greenai_nb.energy.meter import BACKENDS, Meter


def nothing():
    raise FileNotFoundError


def spin(cpu_s):
    until = time.process_time() + cpu_s
    while time.process_time() < until:
        pass


def test_without_a_counter_energy_is_an_estimated_interval(tmp_path):
    running = Meter(powercap=tmp_path / "absent")
    spin(0.05)
    reading = running.read()
    assert running.backend == "vcpu" and reading.provenance == "estimated"
    assert "W a busy vCPU" in reading.method and reading.cpu_s >= 0.05
    low, high = (watt * reading.cpu_s for watt in BUSY_VCPU_W)
    assert (reading.low_j, reading.high_j) == pytest.approx((low, high))
    assert reading.low_j < reading.energy_j < reading.high_j
    assert reading.components == {"cpu": reading.energy_j}


def test_auto_takes_the_counters_where_it_can_read_them(tmp_path):
    tree = PowercapTree(tmp_path, 10.0)
    running = Meter(powercap=tmp_path)
    tree.advance(1.0)
    assert running.backend == "rapl" and running.read().energy_j == pytest.approx(10)


def test_auto_names_the_gpus_that_it_does_not_count_beside_processors(gpus, tmp_path, monkeypatch):
    PowercapTree(tmp_path, 10.0)
    (tmp_path / "replayed").unlink()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    hidden = Meter(powercap=tmp_path)
    assert hidden.backend == "rapl"
    assert hidden.read().method.endswith("; GPUs not counted, Meter('nvml') says why")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    one = Meter(powercap=tmp_path)
    assert one.backend == "rapl+nvml" and "1 GPU of 2" in one.read().method


def test_auto_names_all_that_it_does_not_count(gpus, tmp_path):
    gpus[:] = [gpus.error("GPU is lost")] * 2
    PowercapTree(tmp_path, 10.0)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("none")
    meter = Meter(powercap=tmp_path)
    assert meter.backend == "vcpu"
    assert meter.read().method.endswith(
        "; RAPL not counted, Meter('rapl') says why; GPUs not counted, Meter('nvml') says why"
    )


def test_where_there_is_nothing_else_to_count_nothing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(BACKENDS, "nvml", nothing)
    assert ";" not in Meter(powercap=tmp_path).read().method


def test_a_block_leaves_its_reading():
    with Meter("vcpu") as m:
        spin(0.02)
        between = m.read()
    after = m.reading
    spin(0.02)
    assert between.cpu_s <= after.cpu_s == m.reading.cpu_s == m.read().cpu_s
    m.stop()
    assert m.reading is after


def test_a_meter_that_runs_has_no_last_reading():
    running = Meter("vcpu")
    with pytest.raises(RuntimeError, match=r"stop\(\)"):
        assert running.reading
    running.stop()
    assert running.reading.cpu_s >= 0


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_whatever_ends_a_block_passes_and_leaves_a_reading(error):
    with pytest.raises(error), Meter("vcpu") as m:
        spin(0.01)
        raise error
    assert m.reading.cpu_s >= 0.01


def test_a_counter_that_fails_at_the_end_of_a_block_does_not_lose_the_work(tmp_path):
    PowercapTree(tmp_path, 10.0)
    with Meter("rapl", powercap=tmp_path) as m:
        (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
        result = 42
    assert result == 42
    with pytest.raises(OSError, match="energy counter"):
        assert m.reading
    with pytest.raises(OSError, match="energy counter"):
        m.read()


def test_meters_nest_and_run_at_once(tmp_path):
    tree = PowercapTree(tmp_path, 10.0)
    with Meter("rapl", powercap=tmp_path) as outer:
        tree.advance(1.0)
        with Meter("rapl", powercap=tmp_path) as inner:
            tree.advance(2.0)
        tree.advance(4.0)
    assert inner.reading.energy_j == pytest.approx(20) and outer.reading.energy_j == pytest.approx(70)


def test_wrong_arguments_are_refused_before_anything_starts():
    with pytest.raises(ValueError, match=r"'rappl'.*'rapl'"):
        Meter("rappl")
    with pytest.raises(ValueError, match=r"'sun'.*auto, rapl, nvml, vcpu, codecarbon"):
        Meter("sun")
    with pytest.raises(TypeError, match=r"'rapl' takes powercap.*'country'"):
        Meter("rapl", country="FRA")
    with pytest.raises(TypeError, match=r"'codecarbon' takes country.*'country'"):
        Meter("codecarbon")


def test_a_reading_says_how_busy_the_machine_was():
    with Meter("vcpu") as m:
        time.sleep(0.25)
    reading = m.reading
    if reading.idle_share is not None:
        assert 0 <= reading.idle_share <= 1 and reading.contaminated in (True, False)
    with Meter("vcpu") as m:
        pass
    assert m.reading.contaminated is None, "an empty block is too short to tell"


@pytest.mark.parametrize("taken, flag", [(0.05, False), (0.2, True)])
def test_neighbours_over_a_tenth_of_the_machine_contaminate(monkeypatch, taken, flag):
    monkeypatch.setattr(cpu_share, "shares", lambda before, after: (0.5, taken))
    monkeypatch.setattr(machine, "container_limits", lambda: (1.5, 2048.0))
    reading = Meter("vcpu").read()
    assert reading.contaminated is flag and reading.idle_share == 0.5
    assert (reading.cpu_limit, reading.memory_limit_mb) == (1.5, 2048.0)
