"""codecarbon as it is installed, with every way to the network closed."""

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from greenai_nb import machine
from greenai_nb.energy.backends import codecarbon_meter
from greenai_nb.energy.meter import Meter


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*arguments, **named):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def spin(cpu_s):
    until = time.process_time() + cpu_s
    while time.process_time() < until:
        pass


def test_twice_the_work_costs_twice_the_processor_in_process_mode():
    # CPU seconds are the work, and codecarbon reads them in ticks of 10 ms: neighbours change neither.
    joules = []
    for cpu_s in (0.4, 0.8):
        with Meter("codecarbon", country="FRA") as m:
            spin(cpu_s)
        joules.append(m.reading.components["cpu"])
    assert joules[1] / joules[0] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("mode", ["process", "machine"])
def test_a_reading_is_an_estimate_with_its_parts_and_grams(mode):
    with Meter("codecarbon", country="FRA", mode=mode, ram_w=8.0) as m:
        spin(0.1)
    reading = m.reading
    assert reading.provenance == "estimated"
    for part in ("codecarbon 3.", f"{mode} mode", "FRA", "CPU by", "gives no interval"):
        assert part in reading.method
    assert set(reading.components) == {"cpu", "ram", "gpu"}
    assert reading.energy_j == reading.low_j == pytest.approx(sum(reading.components.values()))
    assert reading.components["ram"] == pytest.approx(8 * reading.time_s, rel=0.2)
    grams_a_kwh = reading.carbon_g / (reading.energy_j / 3.6e6)
    assert 20 < grams_a_kwh < 120, "the French grid, neither Quebec's 4 g nor the world's 475 g"


def test_reading_in_between_loses_nothing_and_counts_nothing_twice():
    running = Meter("codecarbon", country="FRA", ram_w=0.0)
    spin(0.2)
    first = running.read()
    spin(0.2)
    second = running.read()
    running.stop()
    assert second.energy_j == pytest.approx(2 * first.energy_j, rel=0.25)


def test_no_word_and_no_file_comes_from_a_fresh_process(tmp_path):
    code = "from greenai_nb.energy.meter import Meter\nwith Meter('codecarbon', country='FRA'): pass"
    tmp_path.chmod(0o555)
    surroundings = {**os.environ, "TMPDIR": str(tmp_path), "CODECARBON_LOG_LEVEL": "debug"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=surroundings, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_no_signal_handler_and_no_thread_is_left():
    numbers, threads = (signal.SIGINT, signal.SIGTERM), threading.active_count()
    handlers = [signal.getsignal(number) for number in numbers]
    with Meter("codecarbon", country="DEU"):
        assert handlers == [signal.getsignal(number) for number in numbers]
        assert threading.active_count() > threads
    assert handlers == [signal.getsignal(number) for number in numbers]
    assert threading.active_count() == threads


def test_a_folder_that_is_gone_does_not_matter(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with Meter("codecarbon", country="FRA") as m:
        pass
    assert m.reading.energy_j >= 0


@pytest.mark.parametrize("content", ["[codecarbon]\nforce_ram_power = 1000\npue = 9\n", "no [ini file"])
def test_a_users_configuration_has_no_say(tmp_path, monkeypatch, content):
    home, folder = tmp_path / "home", tmp_path / "folder"
    for place in (home, folder):
        place.mkdir()
        (place / ".codecarbon.config").write_text(content)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CODECARBON_FORCE_CPU_POWER", "5000")
    monkeypatch.setenv("CODECARBON_OUTPUT_METHODS", "csv")
    monkeypatch.setenv("CODECARBON_LOG_LEVEL", "debug")
    monkeypatch.setenv("CODECARBON_COUNTRY_ISO_CODE", "POL")
    monkeypatch.chdir(folder)
    with Meter("codecarbon", country="FRA") as m:
        spin(0.05)
    assert m.reading.energy_j < 200 * m.reading.time_s and " 5000" not in m.reading.method
    assert m.reading.carbon_g / (m.reading.energy_j / 3.6e6) < 120
    assert [path.name for path in folder.iterdir()] == [".codecarbon.config"]


@pytest.mark.parametrize(
    "country, near",
    [
        ("FR", r"FRA \(France\)"),
        ("fra", r"FRA \(France\)"),
        ("Germany", r"DEU \(Germany\)"),
        ("XXQ9", "XXQ9.*more"),
        (None, "got None"),
    ],
)
def test_a_country_that_codecarbon_does_not_know_is_refused(country, near):
    with pytest.raises(ValueError, match=f"country.*FRA, DEU or USA.*{near}"):
        Meter("codecarbon", country=country)


@pytest.mark.parametrize("ram_w", [-1.0, float("nan"), float("inf")])
def test_an_impossible_power_is_refused(ram_w):
    with pytest.raises(ValueError, match="ram_w"):
        Meter("codecarbon", country="FRA", ram_w=ram_w)


@pytest.mark.parametrize(
    "limit_mb, ram_w, said",
    [
        (2147.0, None, True),
        (64.0, None, True),
        (2147.0, 8.0, False),
        (None, None, False),
        (1e9, None, False),  # more than the machine has
    ],
)
def test_in_a_container_the_method_says_whose_memory_is_counted(monkeypatch, limit_mb, ram_w, said):
    monkeypatch.setattr(machine, "container_limits", lambda: (None, limit_mb))
    method = Meter("codecarbon", country="FRA", ram_w=ram_w).read().method
    assert ("memory's watts are the machine's" in method) == said
    assert not said or f"not the container's {limit_mb:.0f} MB" in method


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match=r"mode.*process, machine.*'gpu'"):
        Meter("codecarbon", country="FRA", mode="gpu")


def test_two_at_once_and_one_in_another_each_see_their_own_time():
    with Meter("codecarbon", country="FRA", ram_w=10.0) as outer:
        time.sleep(0.5)
        with Meter("codecarbon", country="FRA", ram_w=10.0) as inner:
            time.sleep(0.5)
    assert inner.reading.components["ram"] == pytest.approx(10 * inner.reading.time_s, rel=0.2)
    assert outer.reading.components["ram"] == pytest.approx(10 * outer.reading.time_s, rel=0.2)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_whatever_ends_a_block_stops_the_thread(error):
    before = {*threading.enumerate()}
    with pytest.raises(error), Meter("codecarbon", country="FRA") as m:
        spin(0.05)
        raise error
    assert m.reading.energy_j > 0
    for thread in {*threading.enumerate()} - before:
        thread.join(10)  # it was told to end, and may be in the middle of a sample
        assert not thread.is_alive(), thread.name


def test_a_meter_that_nobody_stops_leaves_no_thread_behind():
    before = {*threading.enumerate()}
    running = Meter("codecarbon", country="FRA")
    (sampling,) = {*threading.enumerate()} - before
    del running
    gc.collect()
    sampling.join(10)
    assert not sampling.is_alive()


def test_a_codecarbon_that_swallows_its_error_is_an_error(monkeypatch):
    def fail(self, *arguments, **named):
        raise RuntimeError("inside")

    monkeypatch.setattr(
        "codecarbon.emissions_tracker.BaseEmissionsTracker._initialize_runtime_state", fail
    )
    with pytest.raises(OSError, match=r"codecarbon.*vcpu"):
        codecarbon_meter.CodecarbonMeter("FRA")
