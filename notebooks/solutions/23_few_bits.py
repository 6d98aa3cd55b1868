"""Solutions to the exercises of 23_few_bits, and what goes wrong in them."""

import math


def nearest_level(r, bits):
    """Hint: how many steps lead from the lowest of 2^bits levels to the highest?"""
    steps = 2**bits - 1
    return round(steps * r) / steps


def one_step_too_many(r, bits):
    """You take 2^bits steps, which have one level more than the bits can tell apart."""
    return round(2**bits * r) / 2**bits


def rounds_down(r, bits):
    """You round down. The nearest level may be the one above."""
    steps = 2**bits - 1
    return math.floor(steps * r) / steps


def steps_are_bits(r, bits):
    """You take as many steps as bits. Each bit more doubles the number of levels."""
    return round(bits * r) / bits


def level_number(r, bits):
    """You give the number of the level. Divide by the steps to come back to [0, 1]."""
    return float(round((2**bits - 1) * r))


def best_step(weights):
    """Hint: the error of j kept weights is the sum of squares minus j (mean size)^2."""
    largest_first = sorted((abs(weight) for weight in weights), reverse=True)
    means = [sum(largest_first[:j]) / j for j in range(1, len(weights) + 1)]
    j = max(range(1, len(weights) + 1), key=lambda j: j * means[j - 1] ** 2)
    return means[j - 1]


def all_kept(weights):
    """You keep all weights. That is the best scale of signs; with a level at zero small weights go."""
    return sum(abs(weight) for weight in weights) / len(weights)


def one_kept(weights):
    """You keep the largest weight alone, and all others become zero or far too large."""
    return max(abs(weight) for weight in weights)


def half_kept(weights):
    """You keep half of the weights. How many are best depends on them: try every j."""
    sizes = sorted((abs(weight) for weight in weights), reverse=True)
    half = max(1, len(sizes) // 2)
    return sum(sizes[:half]) / half


def signed_mean(weights):
    """In your mean, weights of opposite sign cancel. The step measures how large weights are."""
    best = best_step(weights)
    kept = [weight for weight in weights if abs(weight) >= best / 2]
    return abs(sum(kept)) / len(kept)


CASES = {
    "nearest_level": [
        (0.0, 1),
        (0.6, 1),
        (0.4, 2),
        (0.55, 2),
        (0.3, 3),
        (0.9, 3),
        (0.501, 8),
    ],
    "best_step": [
        ([1.0, -1.0, 0.1, -0.1],),
        ([0.2, 0.2, -0.2],),
        ([3.0, -0.5, 0.4, 0.3, -0.2],),
        ([0.9, -0.8, 0.7, 0.05, -0.04, 0.03, 0.02],),
        ([1.0, -0.6, 0.5, 0.4, -0.1],),
    ],
}
MISCONCEPTIONS = {
    "nearest_level": [one_step_too_many, rounds_down, steps_are_bits, level_number],
    "best_step": [all_kept, one_kept, half_kept, signed_mean],
}
