"""Solutions to the exercises of 64_flip_and_switch, and what goes wrong in them."""

import math


def turn_cost(probabilities, outgoing, label, turn):
    """Hint: the sign moves by two, so logit c moves by 2 turn v_c, and its odds by the exponential."""
    grown = sum(p * math.exp(2 * turn * v) for p, v in zip(probabilities, outgoing, strict=True))
    return math.log(grown) - 2 * turn * outgoing[label]


def sign_moves_by_one(probabilities, outgoing, label, turn):
    """Your sign moves by one. From -1 to +1 it moves by two."""
    grown = sum(p * math.exp(turn * v) for p, v in zip(probabilities, outgoing, strict=True))
    return math.log(grown) - turn * outgoing[label]


def always_up(probabilities, outgoing, label, turn):
    """Your unit always turns to +1. Where it turns back, every logit moves the other way."""
    grown = sum(p * math.exp(2 * v) for p, v in zip(probabilities, outgoing, strict=True))
    return math.log(grown) - 2 * outgoing[label]


def along_the_tangent(probabilities, outgoing, label, turn):
    """You follow the tangent, which is a bound. The cost is the logarithm of a sum of exponentials."""
    mean = sum(p * v for p, v in zip(probabilities, outgoing, strict=True))
    return 2 * turn * (mean - outgoing[label])


def classes_alike(probabilities, outgoing, label, turn):
    """You give all classes the same weight. Each counts with its probability."""
    grown = sum(math.exp(2 * turn * v) for v in outgoing) / len(outgoing)
    return math.log(grown) - 2 * turn * outgoing[label]


CASES = {
    "turn_cost": [
        ([0.5, 0.5], [0.1, -0.1], 0, 1),
        ([0.7, 0.2, 0.1], [0.3, 0.0, -0.2], 0, -1),
        ([0.1, 0.1, 0.8], [0.5, -0.5, 0.2], 1, 1),
    ],
}
MISCONCEPTIONS = {
    "turn_cost": [sign_moves_by_one, always_up, along_the_tangent, classes_alike],
}
