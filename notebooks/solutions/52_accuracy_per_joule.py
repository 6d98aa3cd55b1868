"""Solutions to the exercises of 52_accuracy_per_joule."""


def dominates(one, other):
    """Hint: no dearer, no worse, and not the same."""
    (cost, value), (other_cost, other_value) = one, other
    return cost <= other_cost and value >= other_value and (cost, value) != (other_cost, other_value)


def break_even(training_a, answer_a, training_b, answer_b):
    """Hint: after n answers, a has cost its training and n of its answers; set both sums equal."""
    return (training_b - training_a) / (answer_a - answer_b)


ORDERED = [((1, 1), (1, 1)), ((1, 2), (1, 1)), ((2, 1), (1, 1)), ((1, 1), (2, 2)), ((2, 3), (4, 3))]
CASES = {
    "dominates": ORDERED,
    "break_even": [(0, 2, 1, 1), (1, 1, 3, 0), (10, 5, 30, 1), (120.0, 0.004, 900.0, 0.001)],
}
