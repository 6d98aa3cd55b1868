"""Solutions to the exercises of 01_two_eras_of_compute, and what goes wrong in them."""


def records(flop):
    """Hint: walk through the list and remember the largest number so far."""
    found, largest = [], 0
    for position, compute in enumerate(flop):
        if compute > largest:
            found.append(position)
            largest = compute
    return found


def larger_than_the_one_before(flop):
    """You compare each model with the one just before it. A record exceeds all that came earlier, so
    a model can be larger than the last one and still be no record."""
    return [
        position for position, compute in enumerate(flop) if not position or compute > flop[position - 1]
    ]


def ties_taken_for_records(flop):
    """You count a model that only equals the largest before it. A record takes more."""
    return [position for position, compute in enumerate(flop) if compute >= max(flop[: position + 1])]


def first_forgotten(flop):
    """You leave out the first model. Nothing came before it, so it is a record, as Theseus is."""
    return [position for position in range(1, len(flop)) if flop[position] > max(flop[:position])]


def values_for_positions(flop):
    """You give the amounts of compute. The question asks for positions in the list, from 0."""
    return [flop[position] for position in records(flop)]


def largest_only(flop):
    """You give the one model that is the largest of all. Each record of its day counts."""
    return [flop.index(max(flop))]


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
    "records": [([1, 2, 3],), ([5, 3, 4, 6],), ([2, 2, 3],), ([40, 7e5, 4e8, 1e4, 3e10],)],
    "training_kwh": [
        (3.6e6, 1, 1.0, 1, 1.0),
        (3.6e6, 1, 0.5, 1, 1.0),
        (3.6e6, 1, 1.0, 1, 2.0),
        (7.2e15, 1e9, 0.25, 500, 1.5),
        (3.14e23, 125e12, 0.197, 330, 1.10),
    ],
}
MISCONCEPTIONS = {
    "records": [
        larger_than_the_one_before,
        ties_taken_for_records,
        first_forgotten,
        values_for_positions,
        largest_only,
    ],
    "training_kwh": [
        data_sheet_believed,
        waiting_costs_nothing,
        building_forgotten,
        seconds_taken_for_hours,
        pue_taken_for_savings,
    ],
}
