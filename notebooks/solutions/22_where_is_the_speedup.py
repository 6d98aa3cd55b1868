"""Solutions to the exercises of 22_where_is_the_speedup, and what goes wrong in them."""

import math


def amdahl(share_left, speedup):
    """Hint: the new time is the share that is left, plus the rest divided by the speedup."""
    return 1 / (share_left + (1 - share_left) / speedup)


def speedups_averaged(share_left, speedup):
    """You average speedups. It is times that add up, and the slow part has most of the new time."""
    return share_left + (1 - share_left) * speedup


def shares_swapped(share_left, speedup):
    """You make the part faster that was to be left alone."""
    return 1 / (1 - share_left + share_left / speedup)


def rest_takes_no_time(share_left, speedup):
    """That is the limit for an endless speedup. The part that got faster still takes some time."""
    return 1 / share_left if share_left else math.inf


def new_time_given(share_left, speedup):
    """That is the new time, as a share of the old. The question is how many times faster it is."""
    return share_left + (1 - share_left) / speedup


def most_differences(n, threshold):
    """Hint: n - 2 * d >= threshold. Round down."""
    return (n - threshold) // 2


def difference_counted_once(n, threshold):
    """You let each difference cost one. It turns a +1 into a -1, and so it costs more."""
    return n - threshold


def rounded_up(n, threshold):
    """You round up. That last half of a difference takes the product below the threshold."""
    return math.ceil((n - threshold) / 2)


def equality_refused(n, threshold):
    """You refuse a product that equals the threshold. It has reached it: sign(0) counts as +1."""
    return (n - threshold - 1) // 2


def rounded_towards_zero(n, threshold):
    """You round towards zero. Where even no difference at all misses the threshold, that reports a
    product that reaches it."""
    return int((n - threshold) / 2)


CASES = {
    "amdahl": [(1.0, 10), (0.0, 10), (0.5, 2), (0.1, 30), (0.25, 1e9)],
    "most_differences": [(1, 1), (1, 2), (2, 0), (3, 0), (9, -3), (64, 7), (2304, 100)],
}
MISCONCEPTIONS = {
    "amdahl": [speedups_averaged, shares_swapped, rest_takes_no_time, new_time_given],
    "most_differences": [
        difference_counted_once,
        rounded_up,
        equality_refused,
        rounded_towards_zero,
    ],
}
