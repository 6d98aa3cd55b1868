"""Solutions to the exercises of 02_measure_energy_honestly, and what goes wrong in them."""


def counter_joules(first_uj, last_uj, range_uj):
    """Hint: Python's % is never negative for a positive range; then microjoules to joules."""
    return (last_uj - first_uj) % range_uj / 1e6


def wrap_ignored(first_uj, last_uj, range_uj):
    """You subtract, and where the counter started again the energy comes out negative."""
    return (last_uj - first_uj) / 1e6


def sign_dropped(first_uj, last_uj, range_uj):
    """You drop the minus sign. After a wrap the difference is not the energy with the wrong sign: the
    counter went up to its range, and on from zero."""
    return abs(last_uj - first_uj) / 1e6


def stretch_before_the_wrap_lost(first_uj, last_uj, range_uj):
    """After a wrap you count from zero. What the counter went through before, up to its range, is
    lost."""
    return (last_uj - first_uj if last_uj >= first_uj else last_uj) / 1e6


def wraps_thrown_away(first_uj, last_uj, range_uj):
    """You give zero where the counter started again. That interval had energy as any other."""
    return max(last_uj - first_uj, 0) / 1e6


def left_in_microjoules(first_uj, last_uj, range_uj):
    """Those are microjoules. A joule has a million of them."""
    return (last_uj - first_uj) % range_uj


def add(one, other):
    """Hint: compare the two words before you touch the numbers."""
    (joules, provenance), (more, its_provenance) = one, other
    if provenance != its_provenance:
        return "refused"
    return joules + more, provenance


def first_word_kept(one, other):
    """You add joules that were obtained in different ways, and keep the word of the first. A part of
    the sum was not obtained that way."""
    return one[0] + other[0], one[1]


def weaker_word_kept(one, other):
    """You call a mixed sum 'estimated', to be on the safe side. But a counter and a model do not see
    the same device: such a sum belongs to nothing, whatever it is called."""
    provenance = one[1] if one[1] == other[1] else "estimated"
    return one[0] + other[0], provenance


def estimate_dropped(one, other):
    """You keep the measured part of a mixed pair, and silently drop the rest. The reader would take
    it for the whole."""
    if one[1] == other[1]:
        return one[0] + other[0], one[1]
    return one if one[1] == "measured" else other


def only_measured_adds(one, other):
    """You refuse two estimates as well. Estimates of one kind do add up; they stay an estimate."""
    if one[1] == other[1] == "measured":
        return one[0] + other[0], "measured"
    return "refused"


CASES = {
    "counter_joules": [
        (0, 1_000_000, 10_000_000),
        (2_000_000, 5_000_000, 10_000_000),
        (9_000_000, 1_000_000, 10_000_000),
        (65_000_000_000, 500_000_000, 65_532_610_987),
    ],
    "add": [
        ((1, "measured"), (2, "measured")),
        ((1, "estimated"), (2, "estimated")),
        ((1, "measured"), (2, "estimated")),
        ((1, "estimated"), (2, "measured")),
    ],
}
MISCONCEPTIONS = {
    "counter_joules": [
        wrap_ignored,
        sign_dropped,
        stretch_before_the_wrap_lost,
        wraps_thrown_away,
        left_in_microjoules,
    ],
    "add": [first_word_kept, weaker_word_kept, estimate_dropped, only_measured_adds],
}
