"""Solutions to the exercises of 33_beyond_mnist, and what goes wrong in them."""

import math


def cauchy_log_ratio(old, new, scale):
    """Hint: a weight has the log density -log(1 + (w / scale)^2) and a constant, which cancels."""
    before = sum(math.log1p((weight / scale) ** 2) for weight in old)
    return before - sum(math.log1p((weight / scale) ** 2) for weight in new)


def upside_down(old, new, scale):
    """Your sign is wrong: new weights nearer to zero are more probable, so the ratio is positive."""
    after = sum(math.log1p((weight / scale) ** 2) for weight in new)
    return after - sum(math.log1p((weight / scale) ** 2) for weight in old)


def scale_forgotten(old, new, scale):
    """You leave the scale out. A weight counts as large or small against the scale of the prior."""
    before = sum(math.log1p(weight**2) for weight in old)
    return before - sum(math.log1p(weight**2) for weight in new)


def normal_instead(old, new, scale):
    """That is the ratio of a normal prior, whose tail is far thinner: a step of a hundred scales would
    never be accepted."""
    return sum((a / scale) ** 2 - (b / scale) ** 2 for a, b in zip(old, new, strict=True)) / 2


def first_alone(old, new, scale):
    """You look at one weight. All weights of a move count: their log ratios add up."""
    return math.log1p((old[0] / scale) ** 2) - math.log1p((new[0] / scale) ** 2)


def triangle(distances):
    """Hint: compare each distance with the mean of all, and cut off what is negative."""
    mean = sum(distances) / len(distances)
    return [max(mean - distance, 0.0) for distance in distances]


def not_cut(distances):
    """Your features can be negative. A centre that is farther away than average counts as zero."""
    mean = sum(distances) / len(distances)
    return [mean - distance for distance in distances]


def farther_counts(distances):
    """You reward distance. A feature says that a centre is near."""
    mean = sum(distances) / len(distances)
    return [max(distance - mean, 0.0) for distance in distances]


def nearest_alone(distances):
    """You keep the nearest centre alone, which is the hard assignment of k-means. The triangle lets
    every centre speak that is nearer than average."""
    mean = sum(distances) / len(distances)
    return [mean - distance if distance == min(distances) else 0.0 for distance in distances]


CASES = {
    "cauchy_log_ratio": [
        ([1.0], [0.0], 1.0),
        ([0.0], [1.0], 1.0),
        ([0.5], [-0.5], 1.0),
        ([0.1], [0.0], 0.01),
        ([1.0, 2.0], [1.0, 0.0], 0.5),
        ([0.0, 0.0, 3.0], [0.1, -0.2, 2.0], 0.3),
    ],
    "triangle": [
        ([1.0, 3.0],),
        ([2.0, 2.0],),
        ([0.0, 1.0, 2.0, 9.0],),
        ([5.0, 1.0, 3.0],),
    ],
}
MISCONCEPTIONS = {
    "cauchy_log_ratio": [upside_down, scale_forgotten, normal_instead, first_alone],
    "triangle": [not_cut, farther_counts, nearest_alone],
}
