"""Solutions to the exercises of 01_two_eras_of_compute."""

import math


def doubling_months(flop_before, flop_after, years):
    """Hint: log2 of the ratio says how often compute doubled in all those months."""
    return 12 * years / math.log2(flop_after / flop_before)


def training_kwh(flop, flop_per_s, power_w, pue):
    """Hint: operations over speed are seconds; times watts are joules; 3.6 million joules are a kWh."""
    return flop / flop_per_s * power_w * pue / 3.6e6


CASES = {
    "doubling_months": [(1, 2, 1), (1, 4, 1), (1, 2, 3), (100, 800, 2), (4.7e17, 3.41e23, 5.05)],
    "training_kwh": [
        (3.6e6, 1, 1, 1.0),
        (3.6e6, 1, 1, 2.0),
        (3.6e6, 2, 1, 1.0),
        (7.2e15, 1e9, 500, 1.5),
        (3.14e23, 24.6e12, 330, 1.10),
    ],
}
