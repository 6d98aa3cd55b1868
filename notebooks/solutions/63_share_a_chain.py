"""Solutions to the exercises of 63_share_a_chain, and what goes wrong in them."""


def log_exchange(colder, hotter, loss_colder, loss_hotter):
    """Hint: divide the product of both densities after the exchange by that before; take its log."""
    gain = (colder - hotter) * (loss_colder - loss_hotter)
    return min(0.0, gain)


def wrong_way_round(colder, hotter, loss_colder, loss_hotter):
    """Your sign is wrong: the colder chain should be glad of the state that has the smaller loss."""
    return min(0.0, (colder - hotter) * (loss_hotter - loss_colder))


def colder_alone(colder, hotter, loss_colder, loss_hotter):
    """You price the exchange for the colder chain only. The hotter one gets a state in return, too."""
    return min(0.0, colder * (loss_colder - loss_hotter))


def both_added(colder, hotter, loss_colder, loss_hotter):
    """You add the inverse temperatures. What one chain gains, the other loses: subtract them."""
    return min(0.0, (colder + hotter) * (loss_colder - loss_hotter))


def no_temperature(colder, hotter, loss_colder, loss_hotter):
    """Temperatures do not appear in yours. If they were equal, every exchange would be accepted."""
    return min(0.0, loss_colder - loss_hotter)


def ring_seconds(workers, megabytes, megabytes_per_s, latency_s):
    """Hint: a message has as many pieces as there are workers, and goes nearly twice around the ring."""
    steps = 2 * (workers - 1)
    piece = megabytes / workers
    return steps * (latency_s + piece / megabytes_per_s)


def whole_messages(workers, megabytes, megabytes_per_s, latency_s):
    """You send the whole message in every step. In each step a worker sends one piece of it."""
    return 2 * (workers - 1) * (latency_s + megabytes / megabytes_per_s)


def once_around(workers, megabytes, megabytes_per_s, latency_s):
    """You stop after one way round. Then only one worker knows each sum, and has yet to send it."""
    return (workers - 1) * (latency_s + megabytes / workers / megabytes_per_s)


def one_latency(workers, megabytes, megabytes_per_s, latency_s):
    """You pay the latency once. Every step waits for a message, and each message has its latency."""
    return latency_s + 2 * (workers - 1) * megabytes / workers / megabytes_per_s


def back_to_the_start(workers, megabytes, megabytes_per_s, latency_s):
    """Your pieces go all around to where they began. The last step of each way round is not needed."""
    return 2 * workers * (latency_s + megabytes / workers / megabytes_per_s)


CASES = {
    "log_exchange": [
        (1.0, 0.5, 3.0, 2.0),
        (2.0, 1.0, 1.0, 2.0),
        (2.0, 1.0, 5.0, 1.0),
        (1.0, 0.9, 10.0, 30.0),
        (3.0, 3.0, 1.0, 2.0),
    ],
    "ring_seconds": [
        (1, 8.0, 1.0, 0.5),
        (2, 8.0, 1.0, 0.5),
        (4, 8.0, 2.0, 0.0),
        (4, 0.0, 2.0, 0.25),
        (10, 100.0, 50.0, 0.001),
    ],
}
MISCONCEPTIONS = {
    "log_exchange": [wrong_way_round, colder_alone, both_added, no_temperature],
    "ring_seconds": [whole_messages, once_around, one_latency, back_to_the_start],
}
