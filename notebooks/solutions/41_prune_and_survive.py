"""Solutions to the exercises of 41_prune_and_survive."""


def prune_smallest(weights, share):
    """Hint: sort the positions by the size of their weights; size means without the sign."""
    order = sorted(range(len(weights)), key=lambda position: abs(weights[position]))
    gone = set(order[: round(share * len(weights))])
    return [0.0 if position in gone else weight for position, weight in enumerate(weights)]


def points_lost(before, after):
    """Hint: a point is a hundredth, and not a percentage of what was there before."""
    return 100 * (before - after)


CASES = {
    "prune_smallest": [
        ([1.0], 0.0),
        ([1.0], 1.0),
        ([1.0, 2.0], 0.5),
        ([1.0, -2.0], 0.5),
        ([-3.0, 1.0, 2.0, -0.5], 0.75),
    ],
    "points_lost": [(1.0, 1.0), (0.9, 0.8), (0.5, 0.6)],
}
