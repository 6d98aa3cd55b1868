import time
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from greenai_nb.energy.backends import cpu_share
from greenai_nb.energy.backends.replay import PowercapTree
from greenai_nb.energy.compare import DOUBTS, clocked, compare, judge, passes
from greenai_nb.energy.reading import ProvenanceError, Reading


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """A machine without neighbours, whoever tests beside this one."""
    monkeypatch.setattr(cpu_share, "shares", lambda before, after: (0.5, 0.0))


def spin(cpu_s):
    until = time.process_time() + cpu_s
    while time.process_time() < until:
        pass


def readings(ratios, provenance="estimated"):
    def one(cost):
        return Reading(cost, cost, cost, provenance, "made here", 1.0, cost)

    return [(one(2.0), one(2.0 * ratio)) for ratio in ratios]


def test_twice_the_work_is_seen_and_called_dearer():
    got = compare(lambda: spin(0.01), lambda: spin(0.02), repetitions=8)
    assert got.ratio == pytest.approx(2, rel=0.1) and got.low <= got.ratio <= got.high
    assert got.verdict == "b costs more" and got.provenance == "measured"
    assert "b costs more: cpu_s of b is" in str(got) and "(measured, 8 repetitions, " in str(got)
    assert compare(lambda: spin(0.02), lambda: spin(0.01), repetitions=8).verdict == "b costs less"


@pytest.mark.parametrize(
    ("taken", "word"), [(0.11, "contaminated"), (0.5, "contaminated"), (None, "unknown")]
)
def test_on_a_busy_machine_or_in_too_short_a_time_there_is_no_verdict(monkeypatch, taken, word):
    monkeypatch.setattr(cpu_share, "shares", lambda before, after: (None, taken))
    got = compare(lambda: spin(0.001), lambda: spin(0.003), repetitions=8)
    assert got.verdict == "no verdict" and got.doubt == got.estimate.doubt == DOUBTS[word]
    assert DOUBTS[word] in str(got) and got.low > 1
    assert passes({"a": lambda: spin(1e-3)}, 6).doubt == DOUBTS[word]


def test_a_clock_that_ran_too_short_says_so_by_itself(monkeypatch):
    monkeypatch.undo()
    assert compare(int, int, "time_s", 6).doubt == DOUBTS["unknown"]


def test_windows_hold_many_calls_and_costs_are_those_of_one(monkeypatch):
    clock = SimpleNamespace(perf_counter=time.process_time)  # the machine may be busy
    monkeypatch.setattr("greenai_nb.energy.compare.time", clock)
    found = passes({"one": lambda: spin(1e-3), "two": lambda: spin(2e-3)}, 8, window_s=0.01)
    assert found.calls["one"] > found.calls["two"] > 1
    assert found.ratio("two", "one").value == pytest.approx(2, rel=0.2)
    assert np.median(found.costs("one")) == pytest.approx(1e-3, rel=0.3)


def test_numbers_of_a_clock_have_students_interval_and_its_doubt():
    got = clocked([1.0, 2.0, 3.0], "")
    half = stats.t.ppf(0.975, 2) / np.sqrt(3)
    assert (got.value, got.low, got.high) == pytest.approx((2, 2 - half, 2 + half)) and not got.doubt
    assert clocked([1.0, 2.0, 3.0], "busy").doubt == "busy"


def test_an_interval_that_holds_one_gives_no_verdict():
    noise = np.exp(0.1 * np.random.default_rng(3).standard_normal(20))
    got = judge(readings(noise / np.median(noise)), "cpu_s", np.random.default_rng(0))
    assert got.low < 1 < got.high and got.verdict == "no verdict"
    assert judge(readings(1.2 * noise), "cpu_s", np.random.default_rng(0)).verdict == "b costs more"


def test_of_like_and_like_one_in_twenty_is_called_different():
    rng = np.random.default_rng(0)
    verdicts = [
        judge(readings(np.exp(0.1 * rng.standard_normal(12))), "cpu_s", rng).verdict for _ in range(200)
    ]
    assert 0.85 < verdicts.count("no verdict") / 200 < 0.99


def test_the_order_is_random_seeded_and_each_runs_once_a_repetition():
    def order(seed):
        calls = []
        compare(
            lambda: (calls.append("a"), spin(1e-4)),
            lambda: (calls.append("b"), spin(1e-4)),
            repetitions=30,
            seed=seed,
        )
        return "".join(calls)

    first = order(0)
    assert first == order(0) != order(1) and first[:2] == "ab", "a warm-up, then the repetitions"
    pairs = [first[at : at + 2] for at in range(2, 62, 2)]
    assert set(pairs) == {"ab", "ba"} and len(pairs) == 30


def test_joules_are_compared_with_their_provenance(tmp_path):
    tree = PowercapTree(tmp_path, 10.0)
    arguments = {"repetitions": 6, "backend": "rapl", "powercap": tmp_path}
    got = compare(lambda: tree.advance(1.0), lambda: tree.advance(3.0), "energy_j", **arguments)
    assert got.ratio == got.low == got.high == pytest.approx(3) and got.provenance == "replayed"
    got = compare(lambda: tree.advance(1.0), lambda: tree.advance(3.0), "time_s", **arguments)
    assert got.ratio == pytest.approx(3) and got.provenance == "replayed"
    assert judge(readings([2.0] * 6), "energy_j", np.random.default_rng(0)).provenance == "estimated"


def test_joules_of_different_provenance_are_not_compared():
    mixed = readings([2.0] * 6) + readings([2.0], "measured")
    with pytest.raises(ProvenanceError, match="compared"):
        judge(mixed, "energy_j", np.random.default_rng(0))
    assert judge(mixed, "cpu_s", np.random.default_rng(0)).verdict == "b costs more"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"quantity": "joules"}, "quantity.*cpu_s, time_s, energy_j.*'joules'"),
        ({"repetitions": 5}, "repetitions.*6.*5"),
        ({"repetitions": 7.5}, "repetitions.*7.5"),
    ],
)
def test_wrong_arguments_are_refused_before_a_call(changes, message):
    with pytest.raises(ValueError, match=message):
        compare(pytest.fail, pytest.fail, **changes)


def test_a_cost_of_zero_is_refused(tmp_path):
    PowercapTree(tmp_path, 10.0)
    with pytest.raises(ValueError, match="energy_j"):
        compare(int, int, "energy_j", 6, backend="rapl", powercap=tmp_path)


def test_an_error_in_a_callable_passes():
    with pytest.raises(ZeroDivisionError):
        compare(int, lambda: 1 / 0)
