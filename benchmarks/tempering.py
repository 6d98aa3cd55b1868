"""How much a second core helps two tempered chains of a perceptron on digits, and what a round costs.

1. Moves a second of one chain on one worker, and of two tempered chains on two workers, in turn.
2. Seconds of a round with hardly any moves: states, losses and messages.
3. Latency and stragglers of 4,096 simulated workers.
"""

import statistics
import time

import numpy as np
import torch
from _report import Row, report

from greenai_nb.data.datasets import load
from greenai_nb.learn.decentralised.actors import Actors, workers
from greenai_nb.learn.decentralised.network import Network
from greenai_nb.learn.decentralised.tempering import Tempered, start, temper
from greenai_nb.learn.fast.chain import ChainSettings
from greenai_nb.nets.architectures import mlp
from greenai_nb.theory.decentralised import latency

HIDDEN, BLOCK, BLOCKS, REPEATS, ROUNDS = 64, 32, 2000, 9, 2
WORKERS, SIMULATED_ROUNDS = 4096, 200
SPEEDUP_GOAL, SIMULATION_GOAL_S = 1.8, 2.0
LADDERS = {"one": [30.0], "two": [30.0, 29.9]}


def moves_a_second(pool: Actors, begin: Tempered, ladder: list[float], blocks: int) -> float:
    """Moves of all replicas together in a second of wall clock."""
    before = time.perf_counter()
    for _ in temper(pool, begin, ladder, rounds=ROUNDS, steps=blocks):
        pass
    return len(ladder) * ROUNDS * blocks * BLOCK / (time.perf_counter() - before)


def simulation_s() -> float:
    """Seconds to simulate rounds of thousands of workers in three ways."""
    before = time.perf_counter()
    times = latency.compute_times(
        "exponential", 1.0, SIMULATED_ROUNDS, WORKERS, np.random.default_rng(0)
    )
    ring = np.add.outer(np.arange(WORKERS), [-1, 1]) % WORKERS
    for ends in (
        latency.synchronous(times, 0.1),
        latency.tempering(times, 0.1),
        latency.gossip(times, ring, 0.1),
    ):
        latency.seconds_a_round(ends)
    return time.perf_counter() - before


def main() -> None:
    """Measure all three."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    settings = ChainSettings(scale=0.01, scale_output=0.1, block=BLOCK)
    chain = Network(mlp(784, HIDDEN, 10), load().train, settings)
    begins = {name: start(chain, range(len(ladder))) for name, ladder in LADDERS.items()}
    with workers(2) as client:
        pools = {name: Actors(client, chain) for name in LADDERS}
        for name, ladder in LADDERS.items():  # until all is loaded and compiled
            begins[name] = [*temper(pools[name], begins[name], ladder, rounds=2, steps=BLOCKS)][-1]
        rates: dict[str, list[float]] = {name: [] for name in LADDERS}
        empty = []
        for _ in range(REPEATS):
            for name, ladder in LADDERS.items():
                rates[name].append(moves_a_second(pools[name], begins[name], ladder, BLOCKS))
            empty.append(2 * BLOCK / moves_a_second(pools["two"], begins["two"], LADDERS["two"], 1))
    one, two = (statistics.median(rates[name]) for name in LADDERS)
    ratio = statistics.median(
        both / alone for both, alone in zip(rates["two"], rates["one"], strict=True)
    )
    simulated = min(simulation_s() for _ in range(3))
    rows = [
        Row("one chain on one worker", one, "moves/s", "recorded", True),
        Row("two tempered chains on two workers", two, "moves/s", "recorded", True),
        Row(
            "two over one, median of pairs",
            ratio,
            "times",
            f"at least {SPEEDUP_GOAL:g}",
            ratio >= SPEEDUP_GOAL,
        ),
        Row(
            "a round of two replicas with one block each",
            statistics.median(empty),
            "s",
            "recorded",
            True,
        ),
        Row(
            f"{SIMULATED_ROUNDS} rounds of {WORKERS:,} simulated workers, in three ways",
            simulated,
            "s",
            f"under {SIMULATION_GOAL_S:g}",
            simulated < SIMULATION_GOAL_S,
        ),
    ]
    report(__file__, rows)


if __name__ == "__main__":
    main()
