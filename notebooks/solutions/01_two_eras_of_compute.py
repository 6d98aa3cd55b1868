"""Solutions to the exercises of 01_two_eras_of_compute, and what goes wrong in them."""

import math


def doubling_months(flop_before, flop_after, years):
    """Hint: log2 of the ratio says how often compute doubled in all those months."""
    return 12 * years / math.log2(flop_after / flop_before)


def growth_on_a_straight_line(flop_before, flop_after, years):
    """You share the time out evenly over the factor, as if compute grew along a straight line. It
    doubles again and again: from 1 to 8 are three doublings."""
    return 12 * years / (flop_after / flop_before / 2)


def natural_logarithm(flop_before, flop_after, years):
    """That is the time in which compute grows by a factor of e. A doubling is shorter."""
    return 12 * years / math.log(flop_after / flop_before)


def tenfold_time(flop_before, flop_after, years):
    """That is the time in which compute grows tenfold. A doubling is shorter."""
    return 12 * years / math.log10(flop_after / flop_before)


def in_years(flop_before, flop_after, years):
    """That doubling time is in years. The question asks for months."""
    return years / math.log2(flop_after / flop_before)


def doublings_per_month(flop_before, flop_after, years):
    """You give doublings a month, the slope. The time of a doubling is its inverse."""
    return math.log2(flop_after / flop_before) / (12 * years)


def training_kwh(flop, peak_flop_per_s, utilisation, power_w, pue):
    """Hint: cards that reach a fifth of their peak need five times as long. Watts times seconds are
    joules, and 3.6 million of these are a kilowatt-hour."""
    return flop / (peak_flop_per_s * utilisation) * power_w * pue / 3.6e6


def data_sheet_believed(flop, peak_flop_per_s, utilisation, power_w, pue):
    """You take the speed of the data sheet. Cards that wait for data draw power for longer."""
    return flop / peak_flop_per_s * power_w * pue / 3.6e6


def waiting_costs_nothing(flop, peak_flop_per_s, utilisation, power_w, pue):
    """With you, cards that are used less finish with less energy. The work stays the same, so a card
    that reaches less of its speed runs for longer."""
    return flop / peak_flop_per_s * utilisation * power_w * pue / 3.6e6


def building_forgotten(flop, peak_flop_per_s, utilisation, power_w, pue):
    """You stop at the computers. Cooling and power supplies of the building come on top: the PUE."""
    return flop / (peak_flop_per_s * utilisation) * power_w / 3.6e6


def seconds_taken_for_hours(flop, peak_flop_per_s, utilisation, power_w, pue):
    """A thousand watts for one second are not a kilowatt-hour. An hour has 3600 seconds."""
    return flop / (peak_flop_per_s * utilisation) * power_w * pue / 1000


def pue_taken_for_savings(flop, peak_flop_per_s, utilisation, power_w, pue):
    """With you, a wasteful building makes the bill smaller. PUE is all energy over that of computers."""
    return flop / (peak_flop_per_s * utilisation) * power_w / pue / 3.6e6


CASES = {
    "doubling_months": [(1, 2, 1), (1, 4, 1), (1, 2, 3), (1, 8, 1), (4.7e17, 3.41e23, 5.05)],
    "training_kwh": [
        (3.6e6, 1, 1.0, 1, 1.0),
        (3.6e6, 1, 0.5, 1, 1.0),
        (3.6e6, 1, 1.0, 1, 2.0),
        (7.2e15, 1e9, 0.25, 500, 1.5),
        (3.14e23, 125e12, 0.197, 330, 1.10),
    ],
}
MISCONCEPTIONS = {
    "doubling_months": [
        growth_on_a_straight_line,
        natural_logarithm,
        tenfold_time,
        in_years,
        doublings_per_month,
    ],
    "training_kwh": [
        data_sheet_believed,
        waiting_costs_nothing,
        building_forgotten,
        seconds_taken_for_hours,
        pue_taken_for_savings,
    ],
}
