"""Solutions to the exercises of 52_accuracy_per_joule, and what goes wrong in them."""

import math


def dominates(one, other):
    """Hint: no dearer, no worse, and not the same."""
    (cost, value), (other_cost, other_value) = one, other
    return cost <= other_cost and value >= other_value and one != other


def equals_dominate(one, other):
    """With you, a network dominates its own twin. Then of two equal ones neither is left on the
    front."""
    return one[0] <= other[0] and one[1] >= other[1]


def both_strictly(one, other):
    """You ask for both, cheaper and better. To be as good for less is enough, and so is to be better
    for the same."""
    return one[0] < other[0] and one[1] > other[1]


def either_is_enough(one, other):
    """With you, one advantage is enough. Then a cheap bad network and a dear good one dominate each
    other, and the front is empty."""
    return one[0] < other[0] or one[1] > other[1]


def ratio_compared(one, other):
    """You compare value per cost. That puts all networks into one row, and the cheapest nonsense
    first: domination asks for both numbers, and says nothing where they disagree."""
    return one[1] / one[0] > other[1] / other[0]


def low_value_preferred(one, other):
    """You prefer the smaller value. Small is good for costs; of accuracy more is better."""
    return one[0] <= other[0] and one[1] <= other[1] and one != other


def break_even(training_a, answer_a, training_b, answer_b):
    """Hint: after n answers, a has cost its training and n of its answers; set both sums equal."""
    dearer_training = training_b - training_a
    return dearer_training / (answer_a - answer_b)


def own_training_forgotten(training_a, answer_a, training_b, answer_b):
    """You hold all of b's training against its savings. The training of a is spent as well."""
    return training_b / (answer_a - answer_b)


def answers_of_b_are_free(training_a, answer_a, training_b, answer_b):
    """With you, an answer of b costs nothing. Each answer saves only the difference of the two."""
    return (training_b - training_a) / answer_a


def trainings_added(training_a, answer_a, training_b, answer_b):
    """You pay for both trainings. Only one of the two networks is trained; what counts is how much
    dearer one is than the other."""
    return (training_a + training_b) / (answer_a - answer_b)


def savings_turned(training_a, answer_a, training_b, answer_b):
    """You break even before the first answer. Training b costs more and its answers cost less, so
    both differences must count with the sign that makes them positive."""
    return (training_b - training_a) / (answer_b - answer_a)


def whole_questions_only(training_a, answer_a, training_b, answer_b):
    """You round up, as if to ask from when on b is cheaper. The question is where both cost the same,
    and that need not be a whole number."""
    return math.ceil((training_b - training_a) / (answer_a - answer_b))


CASES = {
    "dominates": [
        ((1, 1), (1, 1)),
        ((1, 2), (1, 1)),
        ((1, 1), (2, 1)),
        ((2, 1), (1, 1)),
        ((1, 1), (2, 2)),
        ((1, 3), (2, 2)),
        ((1, 2), (4, 3)),
    ],
    "break_even": [
        (0, 2, 1, 1),
        (1, 1, 3, 0.5),
        (10, 5, 30, 1),
        (1, 3, 6, 1),
        (120.0, 0.004, 900.0, 0.001),
    ],
}
MISCONCEPTIONS = {
    "dominates": [
        equals_dominate,
        both_strictly,
        either_is_enough,
        ratio_compared,
        low_value_preferred,
    ],
    "break_even": [
        own_training_forgotten,
        answers_of_b_are_free,
        trainings_added,
        savings_turned,
        whole_questions_only,
    ],
}
