"""Solutions to the exercises of 22_where_is_the_speedup."""


def amdahl(share_left, speedup):
    """Hint: the new time is the share that is left, plus the rest divided by the speedup."""
    return 1 / (share_left + (1 - share_left) / speedup)


def most_differences(n, threshold):
    """Hint: n - 2 * d >= threshold. Round down."""
    return (n - threshold) // 2


CASES = {
    "amdahl": [(1.0, 10), (0.0, 10), (0.5, 2), (0.1, 30), (0.25, 1e9)],
    "most_differences": [(1, 1), (2, 0), (3, 0), (9, -3), (64, 7), (2304, 100)],
}
