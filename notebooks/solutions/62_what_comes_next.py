"""Solutions to the exercises of 62_what_comes_next, and what goes wrong in them."""


def next_work(before, losses, distance):
    """Hint: end in s, come from any u. The round was served in u, so its loss is that of u."""

    def ending_in(s):
        return min(before[u] + losses[u] + distance[u][s] for u in range(len(before)))

    return [ending_in(s) for s in range(len(before))]


def nobody_moves(before, losses, distance):
    """Nobody moves in yours. A state is also reached from others, for their distance."""
    return [work + loss for work, loss in zip(before, losses, strict=True)]


def moving_is_free(before, losses, distance):
    """Moving is free in yours, so that all states come out alike. Add the distance from u to s."""
    return [min(work + loss for work, loss in zip(before, losses, strict=True)) for _ in before]


def served_after_moving(before, losses, distance):
    """You move first, and serve the round in s. Here the round is served in u, before the move."""
    states = range(len(before))
    return [min(before[u] + distance[u][s] for u in states) + losses[s] for s in states]


def from_the_leader(before, losses, distance):
    """You always come from the leading state. Staying, or coming from a near one, may be cheaper."""
    served = [work + loss for work, loss in zip(before, losses, strict=True)]
    leader = served.index(min(served))
    return [served[leader] + distance[leader][s] for s in range(len(before))]


def worst_ratio(threshold, break_even):
    """Hint: the gap ends just after the threshold. Who knows that takes the cheaper of on and off."""
    paid = threshold + break_even
    least = min(threshold, break_even)
    return paid / least


def always_off_in_hindsight(threshold, break_even):
    """You compare with switching off at once. For a gap below the break-even, staying on costs less."""
    return (threshold + break_even) / break_even


def always_on_in_hindsight(threshold, break_even):
    """You compare with staying on. For a gap beyond the break-even, switching off at once costs less."""
    return (threshold + break_even) / threshold


def dearer_in_hindsight(threshold, break_even):
    """You compare with the dearer choice. Whoever knows the gap takes the cheaper one."""
    return (threshold + break_even) / max(threshold, break_even)


def waiting_is_free(threshold, break_even):
    """You forget the energy of waiting. Before it is switched off, the accelerator was idle and on."""
    return break_even / min(threshold, break_even)


CASES = {
    "next_work": [
        ([0.0, 3.0], [1.0, 0.0], [[0.0, 3.0], [3.0, 0.0]]),
        ([5.0, 3.0], [2.0, 0.0], [[0.0, 3.0], [3.0, 0.0]]),
        ([0.0, 0.0, 0.0], [4.0, 2.0, 0.0], [[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]]),
        ([1.0, 1.0, 5.0], [0.0, 1.0, 0.0], [[0.0, 2.0, 4.0], [2.0, 0.0, 2.0], [4.0, 2.0, 0.0]]),
    ],
    "worst_ratio": [(4.0, 4.0), (1.0, 4.0), (8.0, 4.0), (20.0, 2.0)],
}
MISCONCEPTIONS = {
    "next_work": [nobody_moves, moving_is_free, served_after_moving, from_the_leader],
    "worst_ratio": [
        always_off_in_hindsight,
        always_on_in_hindsight,
        dearer_in_hindsight,
        waiting_is_free,
    ],
}
