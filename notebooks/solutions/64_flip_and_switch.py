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


def chance_of_on(rise, against, inverse_temperature):
    """Hint: being on saves `inverse_temperature` times the rise, and costs `against`."""
    log_odds = inverse_temperature * rise - against
    return 1 / (1 + math.exp(-log_odds))


def useful_units_leave(rise, against, inverse_temperature):
    """Your sign is turned round: a unit without which the loss rises should stay on."""
    return 1 / (1 + math.exp(inverse_temperature * rise - against))


def on_for_free(rise, against, inverse_temperature):
    """You leave the prior out. A unit that changes nothing is on with odds of e to the minus C."""
    return 1 / (1 + math.exp(-inverse_temperature * rise))


def prior_in_favour(rise, against, inverse_temperature):
    """Your prior is in favour of the unit. C counts against it, so it is subtracted."""
    return 1 / (1 + math.exp(-(inverse_temperature * rise + against)))


def warm_prior(rise, against, inverse_temperature):
    """You multiply C by λ as well. The inverse temperature weighs the loss alone, not the prior."""
    return 1 / (1 + math.exp(-inverse_temperature * (rise - against)))


def without_temperature(rise, against, inverse_temperature):
    """You forget λ: the target weighs the loss by the inverse temperature."""
    return 1 / (1 + math.exp(against - rise))


CASES = {
    "turn_cost": [
        ([0.5, 0.5], [0.1, -0.1], 0, 1),
        ([0.7, 0.2, 0.1], [0.3, 0.0, -0.2], 0, -1),
        ([0.1, 0.1, 0.8], [0.5, -0.5, 0.2], 1, 1),
    ],
    "chance_of_on": [
        (0.0, 0.0, 2.0),
        (0.0, 2.0, 2.0),
        (3.0, 0.0, 2.0),
        (1.0, 3.0, 2.0),
        (-1.0, 1.0, 0.5),
        (3.0, 2.0, 0.5),
    ],
}
MISCONCEPTIONS = {
    "turn_cost": [sign_moves_by_one, always_up, along_the_tangent, classes_alike],
    "chance_of_on": [
        useful_units_leave,
        on_for_free,
        prior_in_favour,
        warm_prior,
        without_temperature,
    ],
}
