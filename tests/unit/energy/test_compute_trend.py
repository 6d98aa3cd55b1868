"""Doubling times against exponentials that are known, and rules against tables made by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from greenai_nb.energy.compute_trend import (
    RULES,
    doubling_months,
    fit_trend,
    load_points,
    record_setters,
    select,
)


def points(years, flop, domain="Vision"):
    return pd.DataFrame({"year": years, "training_compute_flop": flop, "domain": domain})


def test_an_exact_exponential_gives_its_doubling_time_without_spread():
    years = np.linspace(2000, 2010, 30)
    flop = 1e10 * 2 ** ((years - 2000) * 12 / 7)
    trend = fit_trend(points(years, flop))
    assert trend.months == pytest.approx(7)
    assert trend.interval == pytest.approx((7, 7))
    assert trend.count == 30
    assert trend.at(years) == pytest.approx(flop, rel=1e-9)


def test_the_slope_is_that_of_another_library():
    rng = np.random.default_rng(1)
    years, doublings = rng.uniform(2000, 2010, 25), rng.normal(50, 5, 25)
    trend = fit_trend(points(years, 2**doublings))
    assert trend.doublings_per_year == pytest.approx(np.polyfit(years, doublings, 1)[0])


def test_the_interval_covers_a_known_doubling_time():
    rng = np.random.default_rng(2)
    covered = []
    for seed in range(200):
        years = rng.uniform(2000, 2010, 30)
        flop = 2 ** (2 * years - 3950 + rng.normal(0, 2, 30))
        low, high = fit_trend(points(years, flop), resamples=400, seed=seed).interval
        covered.append(low <= 6 <= high)
    assert 0.88 <= np.mean(covered) <= 0.98


def test_the_seed_decides_the_interval():
    rng = np.random.default_rng(3)
    table = points(rng.uniform(2000, 2010, 12), 2 ** rng.normal(50, 5, 12))
    assert fit_trend(table, seed=1) == fit_trend(table, seed=1)
    assert fit_trend(table, seed=1).interval != fit_trend(table, seed=2).interval


def test_compute_that_does_not_grow_never_doubles():
    assert fit_trend(points([2000, 2001, 2002], [4.0, 2.0, 1.0])).months == math.inf
    trend = fit_trend(points([2000, 2001, 2002, 2003], [1.0, 8.0, 1.0, 8.0]))
    assert trend.months < math.inf and trend.interval[1] == math.inf
    assert doubling_months(0) == math.inf


@pytest.mark.parametrize(
    "table",
    [
        points([2000, 2001], [1.0, 2.0]),
        points([2000, 2000, 2001], [1.0, 2.0, 3.0]),
        points([2000, 2001, 2002], [1.0, 0.0, 2.0]),
        points([2000, 2001, 2002], [1.0, math.nan, 2.0]),
    ],
)
def test_no_trend_without_three_dates_and_positive_compute(table):
    with pytest.raises(ValueError, match=r"expected|positive"):
        fit_trend(table)


def test_no_interval_without_resamples():
    with pytest.raises(ValueError, match="resamples"):
        fit_trend(points([2000, 2001, 2002], [1.0, 2.0, 3.0]), resamples=0)


def test_record_setters_by_hand():
    table = points([2000, 2001, 2002, 2003, 2004, 2004, 2005], [5, 3, 5, 6, 7, 9, 9])
    assert record_setters(table).training_compute_flop.tolist() == [5, 6, 9]
    shuffled = table.sample(frac=1, random_state=0)
    assert record_setters(shuffled).training_compute_flop.tolist() == [5, 6, 9]


def test_the_window_comes_before_the_rule():
    table = points([2000, 2001, 2002, 2003], [9, 1, 2, 1.5])
    assert select(table, "record setters", 2001, 2004).training_compute_flop.tolist() == [1, 2]
    assert select(table, "all models", 2001, 2003).training_compute_flop.tolist() == [1, 2]


def test_games_can_be_left_out():
    table = points([2000, 2001], [1, 2], ["Games", "Vision"])
    assert select(table, "no games").training_compute_flop.tolist() == [2]


def test_bad_selections_say_what_is_expected():
    with pytest.raises(ValueError, match="record setters"):
        select(load_points(), "records")
    with pytest.raises(ValueError, match="before it starts"):
        select(load_points(), "all models", 2018, 2012)


def test_the_table_is_as_it_was_published():
    table = load_points()
    assert len(table) == 48 and table.year.is_monotonic_increasing
    assert table.set_index("model").training_compute_flop["GPT-3 175B (davinci)"] == 3.14e23
    alexnet = table.set_index("model").loc["AlexNet"]
    assert alexnet.year == pytest.approx(2012.75, abs=0.01)
    assert set(RULES) == {"all models", "record setters", "no games"}


@pytest.mark.parametrize(
    ("rule", "start", "end", "count", "months", "low", "high"),
    [
        ("all models", -math.inf, 2012.4, 14, 16.9, 13.6, 22.6),
        ("all models", 2012.4, 2018.41, 17, 3.6, 2.4, 5.9),
        ("all models", 2012.4, 2018.5, 18, 4.3, 2.7, 8.3),
        ("record setters", 2012.4, 2018.5, 9, 3.1, 2.4, 4.6),
        ("no games", 2012.4, 2018.5, 14, 6.9, 3.8, 14.6),
        ("all models", 2012.4, 2022.3, 28, 5.1, 4.3, 6.2),
        ("all models", 2016, 2021, 14, 8.9, 4.1, math.inf),
    ],
)
def test_what_the_shipped_rows_give(rule, start, end, count, months, low, high):
    trend = fit_trend(select(load_points(), rule, start, end), resamples=4000)
    assert trend.count == count
    assert trend.months == pytest.approx(months, abs=0.06)
    assert trend.interval == pytest.approx((low, high), rel=0.06)
    assert str(trend).startswith(f"{months} months [")


def test_all_rows_of_2012_to_2022_by_least_squares_on_another_route():
    table = select(load_points(), "all models", 2012.4, 2022.24)
    days = (table.date - table.date.min()).dt.days
    slope = np.polyfit(days / 365.2425 * 12, np.log2(table.training_compute_flop), 1)[0]
    assert fit_trend(table).months == pytest.approx(1 / slope)
