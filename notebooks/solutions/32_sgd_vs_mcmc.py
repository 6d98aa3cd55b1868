"""Solutions to the exercises of 32_sgd_vs_mcmc."""


def share_near_zero(weights, threshold):
    """Hint: negative weights have a size, too."""
    return sum(abs(weight) <= threshold for weight in weights) / len(weights)


def shrink(weight, amount):
    """Hint: a weight smaller than the amount becomes zero; it never changes its sign."""
    if weight > 0:
        return max(weight - amount, 0.0)
    return min(weight + amount, 0.0)


CASES = {
    "share_near_zero": [
        ([0.0], 0.1),
        ([1.0], 0.1),
        ([-1.0], 0.1),
        ([0.1], 0.1),
        ([0.0, -0.05, 2.0], 0.1),
    ],
    "shrink": [(1.0, 0.5), (-1.0, 0.5), (0.0, 0.5), (0.2, 0.5), (-0.2, 0.5), (0.5, 0.5)],
}
