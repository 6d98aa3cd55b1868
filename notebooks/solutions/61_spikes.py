"""Solutions to the exercises of 61_spikes, and what goes wrong in them."""


def count_spikes(currents, leak):
    """Hint: the membrane leaks, and a spike that it has just sent takes the threshold off."""
    membrane, spike, sent = 0.0, 0, 0
    for current in currents:
        left = leak * membrane - spike
        membrane = left + current
        spike = int(membrane >= 1)
        sent += spike
    return sent


def without_reset(currents, leak):
    """Your unit is never reset. Once above the threshold it fires until it has leaked enough."""
    membrane, sent = 0.0, 0
    for current in currents:
        membrane = leak * membrane + current
        sent += int(membrane >= 1)
    return sent


def reset_to_zero(currents, leak):
    """Your spike sets the membrane to zero. A spike takes 1 off, and what is above it stays."""
    membrane, spike, sent = 0.0, 0, 0
    for current in currents:
        membrane = leak * membrane * (1 - spike) + current
        spike = int(membrane >= 1)
        sent += spike
    return sent


def without_leak(currents, leak):
    """Your unit does not leak. Multiply the old membrane by the leak, or it never forgets."""
    return count_spikes(currents, 1.0)


def leaking_input(currents, leak):
    """Your current leaks as well. It comes in this step, so only what was there before has leaked."""
    return count_spikes([leak * current for current in currents], leak)


def break_even(multiply, add, read, batch):
    """Hint: a float layer reads a weight once for the whole batch, and an event reads it every time."""
    by_float = multiply + add + read / batch
    by_event = add + read
    return by_float / by_event


def events_share_reads(multiply, add, read, batch):
    """Your events share their reads in a batch, but each image sends its own spikes at its own times."""
    return (multiply + add + read / batch) / (add + read / batch)


def float_shares_nothing(multiply, add, read, batch):
    """Your float layer reads the weight again for each image. In a batch one read serves all of them."""
    return (multiply + add + read) / (add + read)


def arithmetic_alone(multiply, add, read, batch):
    """You leave the memory out. Both have to read weights."""
    return (multiply + add) / add


def product_alone(multiply, add, read, batch):
    """You leave out the addition. A multiply-accumulate is a product and an addition."""
    return (multiply + read / batch) / (add + read)


def upside_down(multiply, add, read, batch):
    """You have float and event in each other's place: how many events does one product pay for?"""
    return (add + read) / (multiply + add + read / batch)


CASES = {
    "count_spikes": [
        ([1.0, 0.0, 0.0], 1.0),
        ([2.5, 0.0, 0.0], 1.0),
        ([0.75, 0.75, 0.75, 0.75], 0.5),
        ([0.5, 0.5, 0.5, 0.5], 0.5),
        ([1.0, 1.0, 0.25, 0.25], 0.5),
        ([1.5, 0.25, 0.0, 1.0, 0.5], 0.5),
    ],
    "break_even": [
        (3.0, 1.0, 0.0, 1),
        (3.0, 1.0, 4.0, 1),
        (3.0, 1.0, 4.0, 4),
        (3.7, 0.9, 50.0, 100),
        (0.2, 0.1, 5.0, 10),
    ],
}
MISCONCEPTIONS = {
    "count_spikes": [without_reset, reset_to_zero, without_leak, leaking_input],
    "break_even": [
        events_share_reads,
        float_shares_nothing,
        arithmetic_alone,
        product_alone,
        upside_down,
    ],
}
