import time
from pathlib import Path

import pytest

from greenai_nb.energy.meter import BUSY_VCPU_W, Meter, packages


@pytest.fixture
def powercap(tmp_path) -> Path:
    """A powercap tree with two packages and a core domain, as Linux shows it."""
    for zone, name, value in (
        ("intel-rapl:0", "package-0", 5_000_000),
        ("intel-rapl:0:0", "core", 1),
        ("intel-rapl:1", "package-1", 9_000_000),
    ):
        folder = tmp_path / zone
        folder.mkdir()
        (folder / "name").write_text(name + "\n")
        (folder / "energy_uj").write_text(f"{value}\n")
        (folder / "max_energy_range_uj").write_text("10000000\n")
    return tmp_path


def test_package_counters_are_read_and_added(powercap):
    meter = Meter(powercap)
    (powercap / "intel-rapl:0" / "energy_uj").write_text("7000000")
    reading = meter.read()
    assert reading.provenance == "measured" and "2 package" in reading.method
    assert reading.energy_j == reading.low_j == reading.high_j == pytest.approx(2.0)


def test_a_counter_that_wraps_is_followed(powercap):
    meter = Meter(powercap)
    (powercap / "intel-rapl:1" / "energy_uj").write_text("500000")
    assert meter.read().energy_j == pytest.approx(1.5)


def test_only_packages_are_listed(powercap):
    assert [zone.name for zone in packages(powercap)] == ["intel-rapl:0", "intel-rapl:1"]


def test_without_a_readable_counter_energy_is_an_estimated_interval(tmp_path):
    meter = Meter(tmp_path / "absent")
    busy_until = time.process_time() + 0.05
    while time.process_time() < busy_until:
        pass
    reading = meter.read()
    assert reading.provenance == "estimated" and "W a busy vCPU" in reading.method
    assert reading.cpu_s >= 0.05
    assert (reading.low_j, reading.high_j) == pytest.approx(
        [watt * reading.cpu_s for watt in BUSY_VCPU_W]
    )
    assert reading.low_j < reading.energy_j < reading.high_j


def test_a_counter_that_vanishes_is_an_error_and_not_zero(powercap):
    meter = Meter(powercap)
    (powercap / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(OSError, match="could be read at the start"):
        meter.read()
