import math

import numpy as np
import pandas as pd
import pytest

from greenai_nb.energy.backends.replay import (
    PowercapTree,
    Replay,
    from_power,
    read_trace,
)
from greenai_nb.energy.meter import Meter


def reading(trace):
    return Replay(trace).read(trace.time_s[-1], math.nan)


def test_a_power_trace_is_summed_by_trapezoids():
    trace = from_power([10.0, 11.0, 12.0, 13.0], [0.0, 10.0, 20.0, 20.0])
    assert trace.time_s[-1] == 3 and trace.used(3) == pytest.approx(5 + 15 + 20)
    assert trace.used(1.5) == pytest.approx(5 + 7.5) and trace.used(0) == 0
    got = reading(trace)
    assert got.energy_j == got.low_j == pytest.approx(40) and got.provenance == "replayed"
    assert got.time_s == 3 and math.isnan(got.cpu_s) and "4 samples" in got.method


def test_half_the_samples_of_a_steady_power_tell_the_same_joules():
    times = np.arange(0, 10.5, 0.5)
    fine, coarse = from_power(times, 0 * times + 7), from_power(times[::2], 0 * times[::2] + 7)
    assert reading(fine).energy_j == pytest.approx(70) == reading(coarse).energy_j


def test_a_counter_trace_turns_over(tmp_path):
    counts = [90_000_000, 98_000_000, 4_000_000, 12_000_000]

    def read(**columns):
        pd.DataFrame({"time_s": range(4), "energy_uj": counts, **columns}).to_csv(tmp_path / "t.csv")
        return read_trace(tmp_path / "t.csv")

    assert read(max_energy_range_uj=100_000_000).used(3) == pytest.approx(8 + 6 + 8)
    with pytest.raises(ValueError, match=r"2 s.*max_energy_range_uj"):
        read()
    with pytest.raises(ValueError, match=r"95000000.*98000000"):
        read(max_energy_range_uj=95_000_000)


def test_traces_are_read_from_csv(tmp_path):
    power, counter, other = (tmp_path / name for name in ("power.csv", "counter.csv", "other.csv"))
    power.write_text("time_s,power_w\n0,5\n1,5\n2,5\n")
    assert reading(read_trace(power)).energy_j == pytest.approx(10)
    assert reading(read_trace(str(power))).method == "power.csv, 3 samples"
    counter.write_text("time_s,energy_uj,max_energy_range_uj\n0,900,1000\n1,100,1000\n2,300,1000\n")
    assert read_trace(counter).used(2) == pytest.approx(400e-6)
    counter.write_text("time_s,energy_uj\n0,900\n1,1000\n")
    assert read_trace(counter).used(1) == pytest.approx(100e-6)
    other.write_text("seconds,watts\n0,5\n")
    with pytest.raises(ValueError, match=r"other.csv.*seconds,watts"):
        read_trace(other)
    with pytest.raises(FileNotFoundError):
        read_trace(tmp_path / "absent.csv")


def write_csv(path, **columns):
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def test_a_counter_goes_before_power_where_a_trace_has_both(tmp_path):
    path = write_csv(tmp_path / "t.csv", time_s=[0, 1, 2], power_w=[9, 9, 9], energy_uj=[0, 0, 5e6])
    assert read_trace(path).used(2) == pytest.approx(5) and read_trace(path).used(1) == 0


def test_a_counter_that_does_not_wrap_around_loses_nothing_in_a_gap(tmp_path):
    columns = {"time_s": [0, 1, 2, 9, 10], "energy_uj": [0, 1e6, 1e6, 8e6, 9e6]}
    assert read_trace(write_csv(tmp_path / "t.csv", **columns)).used(10) == pytest.approx(9)
    with pytest.raises(ValueError, match="gap of 7 s"):
        read_trace(write_csv(tmp_path / "t.csv", **columns), longest_step_s=3.0)
    wraps = write_csv(tmp_path / "t.csv", **columns, max_energy_range_uj=[1e9] * 5)
    with pytest.raises(ValueError, match="gap of 7 s"):
        read_trace(wraps)


@pytest.mark.parametrize(
    "times, power, message",
    [
        ([0.0], [1.0], "1 values and 1 times"),
        ([0.0, 1.0, 2.0], [1.0, 1.0], "2 values and 3 times"),
        ([0.0, 1.0, 2.0], [1.0, math.nan, 1.0], "sample 2"),
        ([0.0, 1.0, 2.0], [1.0, "", 1.0], "sample 2"),
        ([0.0, 1.0, math.inf], [1.0, 1.0, 1.0], "sample 3"),
        ([0.0, 1.0], [1.0, -1.0], "sample 2"),
        ([0.0, 2.0, 1.0], [1.0, 1.0, 1.0], "sample 3 comes 1 s before"),
        ([0.0, 1.0, 1.0], [1.0, 1.0, 1.0], "sample 3"),
        ([0, 1, 2, 9, 10], [1] * 5, "7 s after 2 s.* 3 s"),
    ],
)
def test_gaps_and_negative_durations_in_a_trace_are_errors(times, power, message):
    with pytest.raises(ValueError, match=message):
        from_power(times, power)


def test_a_gap_may_be_allowed():
    assert from_power([0, 1, 2, 9], [1] * 4, longest_step_s=7.0).used(9) == pytest.approx(9)


def test_a_meter_replays_a_trace_for_as_long_as_it_runs():
    trace = from_power([0.0, 3600.0], [50.0, 50.0])
    with Meter("replay", trace=trace) as meter:
        pass
    got = meter.reading
    assert meter.backend == "replay" and got.provenance == "replayed"
    assert got.energy_j == pytest.approx(50 * got.time_s) and got.contaminated is None


def test_a_block_longer_than_its_trace_is_an_error():
    with Meter("replay", trace=from_power([0.0, 1e-9], [1.0, 1.0])) as meter:
        pass
    with pytest.raises(ValueError, match="lasts 1e-09 s"):
        assert meter.reading


def test_the_path_of_rapl_runs_through_a_tree_with_two_sockets_and_turns(tmp_path):
    watts = {"package": 50.0, "core": 30.0, "dram": 5.0, "psys": 150.0}
    tree = PowercapTree(tmp_path, watts, sockets=2, range_uj=200_000_000, start_share=0.9)
    before = [(zone / "energy_uj").read_text() for zone in sorted(tmp_path.glob("*-rapl:*"))]
    with Meter("rapl", powercap=tree.folder) as meter:
        for _ in range(10):
            tree.advance(0.3)
            meter.read()
    got = meter.reading
    assert got.provenance == "replayed" and got.time_s == pytest.approx(3)
    assert got.energy_j == got.high_j == pytest.approx(2 * (50 + 5) * 3)
    assert got.components == pytest.approx({"package": 300, "core": 180, "dram": 30, "psys": 450})
    after = [(zone / "energy_uj").read_text() for zone in sorted(tmp_path.glob("*-rapl:*"))]
    assert any(int(now) < int(then) for now, then in zip(after, before, strict=True)), "one has turned"


def test_a_tree_shows_what_its_trace_used_and_small_steps_lose_nothing(tmp_path):
    trace = from_power([0.0, 1.0, 2.0, 3.0], [0.0, 30.0, 30.0, 0.0])
    tree = PowercapTree(tmp_path, trace)
    meter = Meter("rapl", powercap=tmp_path)
    for _ in range(300):
        tree.advance(0.01)
    assert meter.read().energy_j == pytest.approx(60, abs=1e-5)
    with pytest.raises(ValueError, match="lasts 3 s"):
        tree.advance(1.0)
    assert meter.read().energy_j == pytest.approx(60, abs=1e-5), "a step that failed moved nothing"


def test_a_tree_that_turned_twice_unseen_gives_an_interval(tmp_path):
    tree = PowercapTree(tmp_path, 100.0, range_uj=1_000_000_000)
    meter = Meter("rapl", powercap=tmp_path)
    tree.advance(25.0)
    got = meter.read()
    assert got.energy_j == pytest.approx(500) and got.low_j <= 2500 <= got.high_j


def test_a_tree_may_be_written_anew_where_one_was(tmp_path):
    PowercapTree(tmp_path, 1.0, sockets=4)
    PowercapTree(tmp_path, 1.0)
    assert len(list(tmp_path.glob("intel-rapl:*"))) == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"watts": {"gpu": 1.0}}, "zones.*gpu"),
        ({"watts": -1.0}, "watts of package.*-1.0"),
        ({"watts": math.nan}, "watts of package"),
        ({"watts": 1.0, "sockets": 0}, "sockets.*0"),
        ({"watts": 1.0, "range_uj": 0}, "range_uj.*0"),
    ],
)
def test_an_impossible_tree_is_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        PowercapTree(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
def test_time_goes_forward(tmp_path, seconds):
    with pytest.raises(ValueError, match="seconds"):
        PowercapTree(tmp_path, 1.0).advance(seconds)
