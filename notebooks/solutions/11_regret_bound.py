"""Solutions to the exercises of 11_regret_bound."""

import math


def best_inverse_temperature(price, loss_range, rounds):
    """Hint: at the minimum both terms are equal, price / lambda = lambda * M**2 * T / 8."""
    return math.sqrt(8 * price / (loss_range**2 * rounds))


def gibbs_step(law, losses, inverse_temperature):
    """Hint: multiply each probability by exp(-lambda * its loss), then make them sum to one."""
    weights = [p * math.exp(-inverse_temperature * loss) for p, loss in zip(law, losses, strict=True)]
    return [weight / sum(weights) for weight in weights]


CASES = {
    "best_inverse_temperature": [(1, 1, 8), (1, 2, 8), (2, 1, 4), (12.5, 4, 1000)],
    "gibbs_step": [
        ([1.0], [3.0], 1.0),
        ([0.5, 0.5], [0.0, 0.0], 1.0),
        ([0.5, 0.5], [0.0, 1.0], 0.0),
        ([0.5, 0.5], [0.0, 1.0], 1.0),
        ([0.2, 0.3, 0.5], [1.0, 0.0, 2.0], 0.3),
    ],
}
