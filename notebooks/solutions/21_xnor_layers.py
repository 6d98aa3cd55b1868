"""Solutions to the exercises of 21_xnor_layers."""


def best_scale(weights):
    """Hint: set the derivative of the squared error with respect to alpha to zero."""
    return sum(abs(weight) for weight in weights) / len(weights)


def xnor_dot(a, b, n):
    """Hint: a ^ b has a 1 where the signs differ; int.bit_count() counts the ones."""
    return n - 2 * (a ^ b).bit_count()


CASES = {
    "best_scale": [([1.0],), ([-1.0],), ([0.0],), ([1.0, -3.0],), ([0.5, 0.0, -2.5],)],
    "xnor_dot": [(1, 1, 1), (1, 0, 1), (0, 0, 1), (0b10, 0b11, 2), (0, 0, 5), (0b1100, 0b1010, 4)],
}
