import dataclasses
import math
import pickle

import pytest

from greenai_nb.checks import PROVENANCES
from greenai_nb.energy.reading import ProvenanceError, Reading, same_provenance


def reading(energy_j=2.0, provenance="measured", **changes):
    exact = Reading.exact(energy_j, provenance, "a counter", 1.0, 0.5)
    return dataclasses.replace(exact, **changes)


def test_a_reading_is_frozen_can_be_sent_and_says_how_it_was_obtained():
    one = reading(components={"package": 2.0})
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.energy_j = 0.0
    assert pickle.loads(pickle.dumps(one)) == one and hash(one) == hash(reading())
    assert str(one) == "2 J measured (a counter)"
    assert (
        str(Reading(2.0, 1.0, 3.0, "estimated", "a model", 1.0, 0.5)) == "1 to 3 J estimated (a model)"
    )


def test_readings_of_one_provenance_add_up():
    one = reading(2.0, components={"package": 2.0, "core": 1.0}, idle_share=0.0, contaminated=False)
    other = Reading(
        3.0, 2.0, 4.0, "measured", "b", 3.0, 1.5, {"package": 3.0}, idle_share=0.4, contaminated=True
    )
    total = one + other
    assert (total.energy_j, total.low_j, total.high_j) == (5.0, 4.0, 6.0)
    assert (total.time_s, total.cpu_s, total.method) == (4.0, 2.0, "a counter; b")
    assert total.components == {"package": 5.0, "core": 1.0}
    assert total.idle_share == pytest.approx(0.3) and total.contaminated is True
    assert sum([one, one, one]).energy_j == 6.0 and sum([one, one]).method == "a counter"


def test_what_one_of_two_does_not_know_the_sum_does_not_know():
    known = reading(carbon_g=1.0, idle_share=0.5, contaminated=False, cpu_limit=2.0)
    total = known + reading(carbon_g=None)
    assert (total.carbon_g, total.idle_share, total.contaminated, total.cpu_limit) == (None,) * 4
    assert (known + known).carbon_g == 2.0 and (known + known).cpu_limit == 2.0


def test_readings_of_one_provenance_rank_by_energy():
    low, high = reading(1.0), reading(2.0)
    assert low < high and low <= high and high > low and high >= low and low <= low
    assert not high < low and max(low, high) is high and sorted([high, low]) == [low, high]


@pytest.mark.parametrize("provenance", [name for name in PROVENANCES if name != "measured"])
def test_readings_of_different_provenance_refuse_and_explain(provenance):
    measured, other = reading(), reading(1.0, provenance)
    for combine in (
        lambda: measured + other,
        lambda: sum([measured, other]),
        lambda: measured < other,
        lambda: measured >= other,
        lambda: max(measured, other),
        lambda: sorted([measured, other]),
    ):
        with pytest.raises(ProvenanceError, match=r"added|ranked") as error:
            combine()
        for part in (f"J {provenance}", "J measured", "(a counter)", "Meter all of them in one way"):
            assert part in str(error.value)
    assert measured != other
    same_provenance("drawn", measured, measured)


def test_a_reading_and_a_bare_number_do_not_add_up():
    with pytest.raises(TypeError, match="unsupported operand"):
        reading() + 1.0
    with pytest.raises(TypeError, match="unsupported operand"):
        1.0 + reading()


@pytest.mark.parametrize(
    "values, message",
    [
        ((1.0, 1.0, 1.0, "guessed", "m", 1.0, 1.0), "provenance.*'guessed'"),
        ((1.0, 2.0, 3.0, "estimated", "m", 1.0, 1.0), "low_j, high_j"),
        ((math.nan,) * 3 + ("measured", "m", 1.0, 1.0), "finite"),
        ((math.inf,) * 3 + ("measured", "m", 1.0, 1.0), "finite"),
        ((1.0, 1.0, 1.0, "measured", "m", -1.0, 1.0), "time_s.*-1.0"),
        ((1.0, 1.0, 1.0, "measured", "m", 1.0, -2.0), "cpu_s.*-2.0"),
    ],
)
def test_an_impossible_reading_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Reading(*values)
