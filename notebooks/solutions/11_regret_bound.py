"""Solutions to the exercises of 11_regret_bound, and what goes wrong in them."""

import math

import numpy as np


def regret(ours, losses):
    """Hint: one network must play all rounds. Sum the loss of each network first, then choose."""
    best = min(sum(column) for column in zip(*losses, strict=True))
    return sum(ours) - best


def another_network_each_round(ours, losses):
    """You compare with the best network of each round. Nobody can be held against an opponent who
    changes sides when the round is over: regret fixes one network for the whole game."""
    return sum(ours) - sum(map(min, losses))


def average_network(ours, losses):
    """You compare with the average network. Regret asks for the best one in hindsight."""
    return sum(ours) - sum(sum(row) / len(row) for row in losses)


def worst_network(ours, losses):
    """You compare with the network that loses most. Regret asks for the one that loses least."""
    return sum(ours) - max(map(sum, zip(*losses, strict=True)))


def never_below_zero(ours, losses):
    """You cut regret off at zero. A forecaster that changes its distribution may lose less than any
    fixed network, and then its regret is negative."""
    return max(sum(ours) - min(map(sum, zip(*losses, strict=True))), 0.0)


def my_opponent(rho, so_far, losses):
    """Hint: for each row, subtract the loss of the network that leads so far from our own expected loss,
    which is the row's average under rho. Pick the row with the larger difference."""
    return int(np.argmax([np.dot(rho, row) - row[np.argmin(so_far)] for row in losses]))


def greedy(rho, so_far, losses):
    """You pick the label on which we lose most. It hurts the leading network as well, and regret is only
    what we lose beyond that network."""
    return int(np.argmax([np.dot(rho, row) for row in losses]))


def best_of_the_round(rho, so_far, losses):
    """You compare us with the network that is best in this round. Regret compares us with one network
    for the whole game; the one that leads so far is the one to help."""
    return int(np.argmax([np.dot(rho, row) - min(row) for row in losses]))


def leader_helped_only(rho, so_far, losses):
    """You pick the label that suits the leading network best, whatever it does to us. Where it suits us
    as well, regret does not grow."""
    return int(np.argmin([row[np.argmin(so_far)] for row in losses]))


def last_place(rho, so_far, losses):
    """You help the network that has lost most so far. The leader is the one with the least loss."""
    return int(np.argmax([np.dot(rho, row) - row[np.argmax(so_far)] for row in losses]))


def best_inverse_temperature(price, loss_range, rounds):
    """Hint: set the derivative with respect to λ to zero, or note that the two terms are equal there."""
    return math.sqrt(8 * price / rounds) / loss_range


def range_not_squared(price, loss_range, rounds):
    """You have the range M inside the root once. It enters the last term as M squared."""
    return math.sqrt(8 * price / (rounds * loss_range))


def upside_down(price, loss_range, rounds):
    """Your λ grows with the length of the game. In a longer game drawing costs more, and λ must
    shrink."""
    return loss_range * math.sqrt(rounds / (8 * price))


def root_forgotten(price, loss_range, rounds):
    """You set the two terms equal and forgot the square root: the product of λ and λ is 8 P / (M² T)."""
    return 8 * price / (loss_range**2 * rounds)


CASES = {
    "regret": [
        ([1.0], [[0.0]]),
        ([1.0], [[0.0, 2.0]]),
        ([0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]]),
        ([0.0, 0.5], [[0.0, 1.0], [2.0, 0.0]]),
        ([0.7, 0.4, 0.1], [[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.2, 0.9]]),
    ],
    "my_opponent": [
        ([0.5, 0.5], [0.0, 1.0], [[1.0, 0.0], [0.0, 1.0]]),
        ([0.5, 0.5], [1.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]),
        ([0.2, 0.8], [0.0, 1.0], [[0.9, 0.9], [0.1, 0.8]]),
        ([0.8, 0.2], [0.0, 1.0], [[0.5, 0.0], [0.0, 2.0]]),
        ([0.1, 0.2, 0.7], [1.0, 2.0, 3.0], [[0.5, 0.1, 2.0], [0.0, 0.9, 0.2]]),
        ([0.9, 0.05, 0.05], [1.0, 2.0, 3.0], [[0.4, 2.0, 0.0], [0.2, 0.0, 3.0]]),
        ([0.5, 0.1, 0.4], [2.0, 1.0, 3.0], [[1.5, 1.2, 0.0], [0.2, 0.1, 1.0]]),
    ],
    "best_inverse_temperature": [
        (1.0, 1.0, 8),
        (1.0, 4.0, 1),
        (2.0, 1.0, 100),
        (18.0, 4.0, 300),
    ],
}
MISCONCEPTIONS = {
    "regret": [another_network_each_round, average_network, worst_network, never_below_zero],
    "my_opponent": [greedy, best_of_the_round, leader_helped_only, last_place],
    "best_inverse_temperature": [range_not_squared, upside_down, root_forgotten],
}
