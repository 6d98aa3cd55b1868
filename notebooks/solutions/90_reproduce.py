"""Solutions to the exercise of 90_reproduce."""


def verdict(low, high, at_least, at_most):
    """Hint: it holds if all of [low, high] lies in the range, and fails if none of it does."""
    if at_least <= low and high <= at_most:
        return "holds"
    if high < at_least or low > at_most:
        return "fails"
    return "undecided"


CASES = {
    "verdict": [
        (0, 0, 0, 1),
        (2, 2, 0, 1),
        (0, 1, 0, 1),
        (-1, 0.5, 0, 1),
        (0.5, 2, 0, 1),
        (-1, 2, 0, 1),
        (-2, -1, 0, 1),
    ]
}
