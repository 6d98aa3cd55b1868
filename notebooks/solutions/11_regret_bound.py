"""Solutions to the exercises of 11_regret_bound, and what goes wrong in them."""

import math


def regret(ours, losses):
    """Hint: one network must play all rounds. Sum the loss of each network first, then choose."""
    best = min(sum(column) for column in zip(*losses, strict=True))
    return sum(ours) - best


def another_network_each_round(ours, losses):
    """You compare with the best network of each round. Nobody can be held against an opponent who
    changes sides when the round is over: regret fixes one network for the whole game."""
    return sum(ours) - sum(map(min, losses))


def average_network(ours, losses):
    """You compare with the average network. Regret asks for the best one in hindsight."""
    return sum(ours) - sum(sum(row) / len(row) for row in losses)


def worst_network(ours, losses):
    """You compare with the network that loses most. Regret asks for the one that loses least."""
    return sum(ours) - max(map(sum, zip(*losses, strict=True)))


def never_below_zero(ours, losses):
    """You cut regret off at zero. A forecaster that changes its law may lose less than any fixed
    network, and then its regret is negative."""
    return max(sum(ours) - min(map(sum, zip(*losses, strict=True))), 0.0)


def gibbs_step(law, losses, inverse_temperature):
    """Hint: multiply each probability by exp(-lambda * its loss), then make them sum to one."""
    weights = [p * math.exp(-inverse_temperature * loss) for p, loss in zip(law, losses, strict=True)]
    return [weight / sum(weights) for weight in weights]


def losers_rewarded(law, losses, inverse_temperature):
    """Your law moves towards networks that lose. A loss must make a network less likely."""
    return gibbs_step(law, [-loss for loss in losses], inverse_temperature)


def not_normalised(law, losses, inverse_temperature):
    """Your probabilities do not sum to one after the round. A law always does."""
    return [p * math.exp(-inverse_temperature * loss) for p, loss in zip(law, losses, strict=True)]


def past_forgotten(law, losses, inverse_temperature):
    """You weigh this round alone and start from even odds. The law of this round holds what all
    earlier rounds taught."""
    return gibbs_step([1.0] * len(law), losses, inverse_temperature)


def temperature_forgotten(law, losses, inverse_temperature):
    """Your step does not depend on lambda, which says how fast the past is trusted."""
    return gibbs_step(law, losses, 1.0)


CASES = {
    "regret": [
        ([1.0], [[0.0]]),
        ([1.0], [[0.0, 2.0]]),
        ([0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]]),
        ([0.0, 0.5], [[0.0, 1.0], [2.0, 0.0]]),
        ([0.7, 0.4, 0.1], [[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.2, 0.9]]),
    ],
    "gibbs_step": [
        ([1.0], [3.0], 1.0),
        ([0.5, 0.5], [0.0, 0.0], 1.0),
        ([0.5, 0.5], [0.0, 1.0], 0.0),
        ([0.5, 0.5], [0.0, 1.0], 1.0),
        ([0.2, 0.3, 0.5], [1.0, 0.0, 2.0], 0.3),
    ],
}
MISCONCEPTIONS = {
    "regret": [another_network_each_round, average_network, worst_network, never_below_zero],
    "gibbs_step": [losers_rewarded, not_normalised, past_forgotten, temperature_forgotten],
}
