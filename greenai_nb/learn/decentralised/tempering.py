"""Parallel tempering: chains at several inverse temperatures, where neighbours exchange theirs.

All replicas have the same prior pi and the same summed loss L, and the k-th inverse temperature aims at

    rho_k(w)  ~  exp(-lambda_k L(w)) pi(w) ,        lambda_0 > lambda_1 > ...

A round advances each replica, and then two neighbours k and k + 1 exchange their inverse temperatures
with the probability

    min(1, exp((lambda_k - lambda_{k+1}) (L_k - L_{k+1}))) ,

in which the prior cancels. This keeps the product of all rho_k, as every move of a replica does. Rounds
take the pairs (0, 1), (2, 3), ... and (1, 2), (3, 4), ... in turns. Losses are sums in double precision.

A replica's state holds all that decides how it goes on, the state of its generator included, and the
exchange of a round depends on seed and round alone. So a round that is lost can be run again, and comes
out the same to the bit, wherever it runs.

Source: Geyer (1991); Hukushima and Nemoto (1996); Syed, Bouchard-Cote, Deligiannidis and Doucet (2022),
for pairs in turns.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from greenai_nb.checks import finite, non_negative, whole


class Chain(Protocol):
    """What tempering asks of a chain; its ``state`` must be all that decides how it goes on."""

    def start(self, seed: int) -> Any: ...
    def state(self) -> Any: ...
    def restore(self, state: Any) -> None: ...
    def advance(self, steps: int, inverse_temperature: float) -> None: ...
    def loss(self) -> float: ...


class Pool(Protocol):
    """Where replicas advance: their states and losses after some steps, in the order of the states."""

    def advance(
        self, states: Sequence[Any], inverse_temperatures: Sequence[float], steps: int
    ) -> list[tuple[Any, float]]: ...


@dataclass(frozen=True)
class Tempered:
    """All replicas after a round: enough to go on from here.

    ``states`` and ``losses`` are in the order of the replicas; ``holders[k]`` is the replica that holds
    the k-th inverse temperature, colder first. ``exchanges`` lists the k whose holder changed with that
    of k + 1 in this round, and ``tried`` those that might have.
    """

    round: int
    states: tuple[Any, ...]
    losses: tuple[float, ...]
    holders: tuple[int, ...]
    tried: tuple[int, ...] = ()
    exchanges: tuple[int, ...] = ()

    def loss_at(self, k: int) -> float:
        """Summed loss of the replica at the k-th inverse temperature."""
        return self.losses[self.holders[k]]

    def state_at(self, k: int) -> Any:
        """State of the replica at the k-th inverse temperature."""
        return self.states[self.holders[k]]


class InOneProcess:
    """Replicas that advance one after the other, in turns on one chain."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def advance(
        self, states: Sequence[Any], inverse_temperatures: Sequence[float], steps: int
    ) -> list[tuple[Any, float]]:
        """States and losses after some steps; ``Pool`` says the rest."""
        pairs = zip(states, inverse_temperatures, strict=True)
        return [advanced(self.chain, state, steps, each) for state, each in pairs]


def advanced(chain: Chain, state: Any, steps: int, inverse_temperature: float) -> tuple[Any, float]:
    """State and loss of a chain some steps after a state, which is all that decides them."""
    chain.restore(state)
    chain.advance(steps, inverse_temperature)
    return chain.state(), chain.loss()


def start(chain: Chain, seeds: Sequence[int]) -> Tempered:
    """Replicas before the first round, one for each seed."""
    if len({*seeds}) < len(seeds) or not seeds:
        raise ValueError(f"each replica needs a seed of its own, got {[*seeds]}")
    states = tuple(chain.start(seed) for seed in seeds)
    return Tempered(0, states, (math.nan,) * len(states), tuple(range(len(states))))


def temper(
    pool: Pool,
    begin: Tempered,
    inverse_temperatures: Sequence[float],
    *,
    rounds: int,
    steps: int,
    seed: int = 0,
) -> Iterator[Tempered]:
    """Advance all replicas by ``steps``, exchange, hand back the round, and so on for ``rounds`` rounds.

    ``begin`` is what ``start`` or an earlier round has returned. What a round handed back is the
    caller's, so that an error later on loses nothing: go on from the last one. Raises ``ValueError``
    unless the inverse temperatures decrease and there is one for each replica, or a loss is not finite.
    """
    ladder = check_ladder(inverse_temperatures, len(begin.states))
    whole(rounds=rounds, steps=steps)
    return _rounds(pool, begin, ladder, rounds, steps, seed)


def check_ladder(inverse_temperatures: Sequence[float], replicas: int) -> list[float]:
    """The inverse temperatures as floats. Raises ``ValueError`` as ``temper`` does."""
    ladder = finite("inverse_temperatures", inverse_temperatures).tolist()
    non_negative(hottest=ladder[-1])
    if any(cold <= hot for cold, hot in itertools.pairwise(ladder)):
        raise ValueError(f"inverse temperatures must decrease, no two alike, got {ladder}: sort them")
    if len(ladder) != replicas:
        raise ValueError(f"{replicas} replicas need as many inverse temperatures, got {len(ladder)}")
    return ladder


def _rounds(
    pool: Pool, now: Tempered, ladder: Sequence[float], rounds: int, steps: int, seed: int
) -> Iterator[Tempered]:
    for number in range(now.round, now.round + rounds):
        held = [0.0] * len(ladder)
        for k, replica in enumerate(now.holders):
            held[replica] = ladder[k]
        states, losses = zip(*pool.advance(now.states, held, steps), strict=True)
        finite("losses", losses)
        tried, exchanges = exchange(losses, ladder, now.holders, number, seed)
        holders = [*now.holders]
        for k in exchanges:
            holders[k : k + 2] = holders[k + 1], holders[k]
        now = Tempered(number + 1, states, losses, tuple(holders), tried, exchanges)
        yield now


def exchange(
    losses: Sequence[float], ladder: Sequence[float], holders: Sequence[int], number: int, seed: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The pairs k of a round that try to exchange, and those that do, in double precision."""
    uniforms = np.random.default_rng([seed, number]).random(len(ladder))
    first = number % 2 if len(ladder) > 2 else 0
    tried, exchanges = range(first, len(ladder) - 1, 2), []
    for k in tried:
        gain = (ladder[k] - ladder[k + 1]) * (losses[holders[k]] - losses[holders[k + 1]])
        if math.log1p(-uniforms[k]) < gain:
            exchanges.append(k)
    return tuple(tried), tuple(exchanges)
