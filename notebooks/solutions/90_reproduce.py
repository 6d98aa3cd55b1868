"""Solutions to the exercises of 90_reproduce, and what goes wrong in them."""


def verdict(low, high, at_least, at_most):
    """Hint: it holds if all of [low, high] lies in the range, and fails if none of it does."""
    if at_least <= low and high <= at_most:
        return "holds"
    if high < at_least or low > at_most:
        return "fails"
    return "undecided"


def middle_decides(low, high, at_least, at_most):
    """You look at the middle of the interval only. Then three seeds say as much as a thousand, and
    nothing is ever undecided."""
    return "holds" if at_least <= (low + high) / 2 <= at_most else "fails"


def touching_is_enough(low, high, at_least, at_most):
    """With you, a claim holds if some of the interval lies in the range. So a wide interval would
    hold almost anything."""
    return "fails" if high < at_least or low > at_most else "holds"


def doubt_counts_against(low, high, at_least, at_most):
    """With you, a claim fails that was not shown to hold. Where the interval reaches over the edge,
    more seeds may still decide either way."""
    return "holds" if at_least <= low and high <= at_most else "fails"


def range_inside_the_interval(low, high, at_least, at_most):
    """You ask whether the interval covers the range. It is the interval that has to lie inside."""
    if low <= at_least and at_most <= high:
        return "holds"
    return "fails" if high < at_least or low > at_most else "undecided"


def agree(one, other):
    """Hint: two intervals are apart if one ends before the other begins."""
    (low, high), (other_low, other_high) = one, other
    return low <= other_high and other_low <= high


def one_inside_the_other(one, other):
    """You ask that one interval lies inside the other. They need only have a value in common, one
    that both machines hold possible."""
    return (one[0] <= other[0] and other[1] <= one[1]) or (other[0] <= one[0] and one[1] <= other[1])


def middle_inside_the_other(one, other):
    """You ask whether the middle of the one lies in the other. Both are uncertain, and neither middle
    is the truth."""
    return other[0] <= (one[0] + one[1]) / 2 <= other[1]


def one_side_checked(one, other):
    """You check one side only. The interval that lies above would agree, however far above it is."""
    return one[0] <= other[1]


def touching_refused(one, other):
    """You refuse intervals that only touch. They have a value in common, and a single number is an
    interval of length zero: it must agree with itself."""
    return one[0] < other[1] and other[0] < one[1]


CASES = {
    "verdict": [
        (0, 0, 0, 1),
        (2, 2, 0, 1),
        (0, 1, 0, 1),
        (-1, 0.5, 0, 1),
        (0.5, 2, 0, 1),
        (-1, 2, 0, 1),
        (-2, -1, 0, 1),
    ],
    "agree": [
        ((1, 1), (1, 1)),
        ((0, 1), (2, 3)),
        ((2, 3), (0, 1)),
        ((0, 1), (1, 2)),
        ((0, 4), (1, 2)),
        ((0, 4), (3, 5)),
        ((3, 5), (0, 4)),
    ],
}
MISCONCEPTIONS = {
    "verdict": [
        middle_decides,
        touching_is_enough,
        doubt_counts_against,
        range_inside_the_interval,
    ],
    "agree": [one_inside_the_other, middle_inside_the_other, one_side_checked, touching_refused],
}
