"""Solutions to the exercises of 22_where_is_the_speedup, and what goes wrong in them."""

import math


def share_left(whole, speedup):
    """Hint: call the share s. The new time is s + (1 - s) / speedup, and it is also 1 / whole."""
    return (1 / whole - 1 / speedup) / (1 - 1 / speedup)


def rest_takes_no_time(whole, speedup):
    """That is the answer for an endless speedup. The part that got faster still takes some time."""
    return 1 / whole


def share_that_got_faster(whole, speedup):
    """You give the share that got faster. The question is about the other one."""
    return 1 - (1 / whole - 1 / speedup) / (1 - 1 / speedup)


def speedups_averaged(whole, speedup):
    """You average speedups. It is times that add up: s + (1 - s) / speedup."""
    return (speedup - whole) / (speedup - 1)


def rest_takes_its_full_share(whole, speedup):
    """You subtract 1 / speedup, as if the whole of the old time had got faster. Only 1 - s of it has."""
    return 1 / whole - 1 / speedup


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
    "share_left": [(1.0, 10.0), (10.0, 10.0), (2.0, 4.0), (15.0, 30.0), (4.0, 1e9)],
    "most_differences": [(1, 1), (1, 2), (2, 0), (3, 0), (9, -3), (64, 7), (2304, 100)],
}
MISCONCEPTIONS = {
    "share_left": [
        rest_takes_no_time,
        share_that_got_faster,
        speedups_averaged,
        rest_takes_its_full_share,
    ],
    "most_differences": [
        difference_counted_once,
        rounded_up,
        equality_refused,
        rounded_towards_zero,
    ],
}
