"""Calculators against the worked examples of the papers and tools that they stand for."""

import math

import numpy as np
import pytest

from greenai_nb.energy import carbon
from greenai_nb.energy.carbon import Amount, Constant

GRAMS = Amount(1500.0, "gCO2e", "estimated", ())


def published():
    return carbon.read_table("published_ranges").set_index("id")


def test_green_algorithms_by_hand():
    energy = carbon.green_algorithms(10, cores=4, core_w=15, memory_gb=16)
    assert energy.value == pytest.approx(10 * (60 + 5.96) * 1.56 / 1000)
    assert (energy.unit, energy.provenance) == ("kWh", "estimated")
    assert any("0.3725 W/GB" in words for words in energy.constants)
    assert any("1.56 (Uptime Institute, 2024)" in words for words in energy.constants)


def test_green_algorithms_counts_usage_overhead_and_repeats():
    once = carbon.green_algorithms(1, 1, 100, 0, pue=1.0)
    assert once.value == pytest.approx(0.1) and "PUE 1 (given)" in once.constants
    assert carbon.green_algorithms(1, 1, 100, 0, usage=0.5, pue=1.0).value == pytest.approx(0.05)
    assert carbon.green_algorithms(1, 1, 100, 0, pue=1.67).value == pytest.approx(0.167)
    assert carbon.green_algorithms(1, 1, 100, 0, pue=1.0, repeats=7).value == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("watts", "hours", "kg"), [(300, 100, 12.96), (300, 79, 10.24), (300, 500, 64.8)]
)
def test_ml_co2_impact_gives_the_statements_that_it_wrote_for_papers(watts, hours, kg):
    emitted = carbon.ml_co2_impact(watts, hours)
    assert emitted.value / 1000 == pytest.approx(kg, abs=0.005)
    assert (emitted.unit, emitted.provenance) == ("gCO2e", "estimated")


def test_gpt_3_as_carbontracker_has_it():
    energy = carbon.training_energy(carbon.GPT3_FLOP.value, carbon.GPT3_HARDWARE["2020"])
    assert energy.provenance == "derived"
    assert energy.value == pytest.approx(188_701.92, abs=0.01)
    assert energy.value == pytest.approx(published().value["gpt3_2020"], abs=0.01)
    grid = Constant(449.06, "g/kWh", "United States", "appendix D", "2017")
    emitted = carbon.emissions(energy, grid)
    assert emitted.value / 1000 == pytest.approx(84_738.48, abs=0.01)
    assert emitted.value / 120.4 == pytest.approx(703_808.01, abs=0.1)


def test_gpt_3_as_patterson_has_it():
    energy = carbon.training_energy(carbon.GPT3_FLOP.value, carbon.GPT3_HARDWARE["2021"])
    assert energy.value == pytest.approx(1_287_060, rel=1e-5)
    assert energy.value == pytest.approx(published().value["gpt3_2021"], rel=1e-3)
    emitted = carbon.emissions(energy, Constant(429, "g/kWh", "its data centre", "table 4", "2020"))
    assert emitted.value / 1e6 == pytest.approx(552.1, abs=0.1)


def test_the_two_differ_by_speed_then_power_then_overhead():
    low, high = carbon.GPT3_HARDWARE["2020"], carbon.GPT3_HARDWARE["2021"]
    factor = low.flop_per_s / high.flop_per_s * high.power_w / low.power_w * high.pue / low.pue
    energies = [carbon.training_energy(3.14e23, each).value for each in (low, high)]
    assert factor == pytest.approx(energies[1] / energies[0]) == pytest.approx(6.82, abs=0.005)


def test_the_extrapolation_is_the_mean_times_the_number_of_epochs():
    forecast = carbon.extrapolate_epochs([1.9, 2.0, 2.1], 30)
    low, high = forecast.interval
    assert forecast.value == pytest.approx(60)
    assert low < 60 < high and 60 - low == pytest.approx(high - 60)
    assert carbon.extrapolate_epochs([1.0, 2.0], 2).interval == (3.0, 3.0)
    assert carbon.extrapolate_epochs([2.0] * 5, 10).interval == (20.0, 20.0)


def test_one_epoch_has_no_upper_end_and_nothing_below_what_is_spent():
    forecast = carbon.extrapolate_epochs([2.0], 10)
    assert (forecast.value, forecast.interval) == (20.0, (2.0, math.inf))
    assert carbon.extrapolate_epochs([1.0, 9.0], 3).interval[0] == 10.0


def test_the_interval_of_the_extrapolation_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    epochs = rng.normal(10, 1, (2000, 20))
    forecasts = [carbon.extrapolate_epochs(row[:5].tolist(), 20).interval for row in epochs]
    total = epochs.sum(1)
    covered = [low <= true <= high for (low, high), true in zip(forecasts, total, strict=True)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_a_process_pays_its_share_of_the_machine():
    power = carbon.process_power(80, process_cpu_s=3, machine_cpu_s=12)
    assert (power.value, power.unit, power.provenance) == (20, "W", "estimated")
    with pytest.raises(ValueError, match=r"13 of.*12"):
        carbon.process_power(80, 13, 12)
    with pytest.raises(ValueError, match=r"0 of.*0"):
        carbon.process_power(80, 0, 0)


def test_power_follows_frequency_and_the_square_of_voltage():
    full = carbon.dvfs_power(65, ghz=3.2, volt=1.2, top_ghz=3.2, top_volt=1.2)
    assert (full.unit, full.provenance) == ("W", "estimated") and full.value == pytest.approx(0.7 * 65)
    assert carbon.dvfs_power(65, 1.6, 1.2, 3.2, 1.2).value == pytest.approx(full.value / 2)
    assert carbon.dvfs_power(65, 3.2, 0.6, 3.2, 1.2).value == pytest.approx(full.value / 4)
    with pytest.raises(ValueError, match="top_ghz"):
        carbon.dvfs_power(65, 1, 1, 0, 1)


def test_provenance_and_intervals_travel():
    estimated = carbon.extrapolate_epochs([1.0, 2.0, 3.0], 30)
    emitted = carbon.emissions(estimated, carbon.WORLD_G_PER_KWH)
    assert emitted.provenance == "estimated"
    assert emitted.interval == pytest.approx(tuple(475 * end for end in estimated.interval))
    assert emitted.constants[-1] == str(carbon.WORLD_G_PER_KWH)
    quoted = Amount(1.0, "kWh", "quoted", ())
    assert carbon.emissions(quoted, carbon.WORLD_G_PER_KWH).provenance == "derived"
    assert str(GRAMS) == "1500 gCO2e (estimated)"
    assert "[" in str(estimated) and "(estimated)" in str(estimated)


def test_amounts_are_neither_added_nor_ranked_nor_changed():
    other = Amount(1.0, "gCO2e", "derived", ())
    with pytest.raises(TypeError):
        GRAMS + other
    with pytest.raises(TypeError):
        other > GRAMS  # noqa: B015
    with pytest.raises(AttributeError):
        GRAMS.value = 2.0


def test_a_unit_is_not_taken_for_another():
    with pytest.raises(ValueError, match="kWh"):
        carbon.emissions(GRAMS, carbon.WORLD_G_PER_KWH)


def test_intensities_keep_year_and_source():
    france = carbon.intensity("FRA")
    assert (france.value, france.unit, france.what, france.year) == (56.039, "g/kWh", "France", "2023")
    britain = carbon.intensity("GBR", "green_algorithms_v3")
    assert (britain.value, britain.year) == (231.12, "2019/20")
    assert (france.source, britain.source) == ("codecarbon 3.3.2", "Green Algorithms v3.0")
    assert carbon.intensity("WORLD").value == carbon.WORLD_G_PER_KWH.value == 475


@pytest.mark.parametrize(
    ("given", "said"),
    [("FR", "FRA"), ("fra", "FRA"), ("Germny", "DEU"), ("United States", "USA"), ("Q", "FRA .*SWE ")],
)
def test_an_unknown_country_is_an_error_with_the_nearest(given, said):
    with pytest.raises(ValueError, match=said):
        carbon.intensity(given)


def test_a_country_without_a_value_in_a_table_is_an_error():
    with pytest.raises(ValueError, match="ESP"):
        carbon.intensity("ESP", "green_algorithms_v3")
    with pytest.raises(ValueError, match="guesses"):
        carbon.intensity("ESP", "guesses")


@pytest.mark.parametrize(
    "call",
    [
        lambda: carbon.green_algorithms(-1, 1, 1, 1),
        lambda: carbon.green_algorithms(1, 1, math.nan, 1),
        lambda: carbon.green_algorithms(1, 1, 1, 1, usage=1.1),
        lambda: carbon.green_algorithms(1, 1, 1, 1, pue=0.9),
        lambda: carbon.ml_co2_impact(300, -1),
        lambda: carbon.extrapolate_epochs([], 3),
        lambda: carbon.extrapolate_epochs([1.0, 1.0], 1),
        lambda: carbon.extrapolate_epochs([-1.0], 3),
        lambda: carbon.process_power(-1, 1, 2),
        lambda: carbon.dvfs_power(-1, 1, 1, 1, 1),
        lambda: carbon.training_energy(-1, carbon.GPT3_HARDWARE["2020"]),
        lambda: carbon.training_energy(1, carbon.Hardware(0, 1, 1, "")),
        lambda: carbon.training_energy(1, carbon.Hardware(1, 1, 0.5, "")),
    ],
)
def test_impossible_arguments_are_refused(call):
    with pytest.raises(ValueError, match=r"got|0:"):
        call()


def test_every_row_of_a_table_names_its_source():
    assert carbon.read_table("headline_claims").best_source.notna().all()
    assert carbon.read_table("training_compute_points").value_source.notna().all()
    ranges = published()
    assert ranges.index.is_unique and ranges.source.notna().all()
    assert ranges[["value", "low"]].notna().any(axis=1).all()
    assert (ranges.low.isna() == ranges.high.isna()).all()
    assert (ranges.low.dropna() <= ranges.high.dropna()).all()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("openai_records", "3.4 months"),
        ("sevilla_before", "21.3 months [17.0,29.3]"),
        ("sevilla_after", "5.7 months [4.3,9.0]"),
        ("sevilla_large", "9.9 [7.7,17.1]"),
        ("epoch_records", "3.4 months [2.9,4.1]"),
        ("epoch_all", "9.4 [5.9,23.0]"),
        ("epoch_all_2022", "5.8 [5.1,6.7]"),
        ("epoch_before", "19.8 [17.0,23.6]"),
        ("ict_corrected", "2.1-3.9 %"),
        ("aviation_co2", "2.5 %"),
        ("aviation_warming", "3.5-4 %"),
        ("gpt3_2020", "188,701.92 kWh"),
        ("gpt3_2021", "1,287 MWh"),
    ],
)
def test_the_numbers_of_the_figures_are_those_of_the_headlines(row, words):
    told = carbon.read_table("headline_claims").number.str.cat(sep=" ")
    assert words in told
    numbers = published().loc[row, ["value", "low", "high"]].dropna()
    for number in numbers:
        said = number / 1000 if row == "gpt3_2021" else number
        assert any(
            form in words for form in (f"{said:g}", f"{said:,.2f}", f"{said:,.0f}", f"{said:.1f}")
        )
