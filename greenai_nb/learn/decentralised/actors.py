"""Replicas and nodes of gossip as actors: objects that live on the workers of a Dask cluster.

A replica's actor holds the data and the compiled code. In a round it is sent a state, and returns the
state that it has come to, so the driver always has all replicas as they were after the last round. If
a worker dies, its replica starts again from there, on another worker, and runs the same round again.

In gossip every node asks its neighbours for their values of the round, and nobody else: no server, and
no barrier. If a worker dies, all nodes start again from their first values.
"""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import dask
import numpy as np
from distributed import Client, KilledWorker, LocalCluster
from jaxtyping import Float
from numpy import ndarray as Array

from greenai_nb.checks import finite, whole
from greenai_nb.learn.decentralised.tempering import Chain, advanced
from greenai_nb.theory.decentralised.gossip import Graph, metropolis_weights

ANSWER_S = 10.0  # within which a scheduler must answer
WORKER_WAIT_S = 60.0
MAX_LOSSES = 5  # of workers, by one round
ACTOR_LOST = "Worker holding Actor was lost"  # as the scheduler says it
POLL_S, WORKER_POLL_S = 0.002, 0.05

Values = Float[Array, "nodes *shape"]


class SchedulerLostError(ConnectionError):
    """The scheduler is gone; what earlier rounds handed back is still there."""


@contextmanager
def workers(count: int, scheduler: str | None = None) -> Iterator[Client]:
    """A client of a new cluster of ``count`` local processes, or of the one running at ``scheduler``.

    Raises ``SchedulerLostError`` if no scheduler answers there.
    """
    whole(count=count)
    local: dict[str, Any] = {"threads_per_worker": 1, "memory_limit": 0, "silence_logs": 50}
    local |= {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with dask.config.set({"distributed.comm.timeouts.connect": f"{ANSWER_S:g}s"}):
        own = nullcontext(scheduler) if scheduler else LocalCluster(n_workers=count, **local)
        with own as address:
            try:
                client = Client(address, timeout=f"{ANSWER_S:g}s")
            except (OSError, ValueError, TimeoutError) as error:
                raise SchedulerLostError(
                    f"no scheduler answers at {scheduler}: {error}. Start one with `dask scheduler`"
                ) from error
            try:
                yield client
            finally:
                with suppress(TimeoutError):  # of a scheduler that is gone
                    client.close(timeout=ANSWER_S)


class Held:
    """A chain on a worker."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def advanced(self, state: Any, steps: int, inverse_temperature: float) -> tuple[Any, float]:
        """As ``tempering.advanced``."""
        return advanced(self.chain, state, steps, inverse_temperature)

    def process(self) -> int:
        """The number of the process that holds the chain."""
        return os.getpid()


class Actors:
    """A pool for ``tempering.temper``: each replica is an actor, and all advance at the same time.

    ``lost`` counts the actors that were lost with their workers, and made again.
    """

    def __init__(self, client: Client, chain: Chain) -> None:
        self.client, self.chain, self.lost = client, chain, 0
        self.actors: list[Any] = []

    def advance(
        self, states: Sequence[Any], inverse_temperatures: Sequence[float], steps: int
    ) -> list[tuple[Any, float]]:
        """States and losses after some steps; ``tempering.Pool`` says the rest.

        Raises ``SchedulerLostError`` if the scheduler is gone, and ``RuntimeError`` if one replica loses
        its worker again and again, for which an ``OSError`` of the chain is taken, too.
        """
        self._hold(len(states))
        asked = [(state, steps, each) for state, each in zip(states, inverse_temperatures, strict=True)]
        begun = [self._ask(k, *each) for k, each in enumerate(asked)]
        return [self._answer(k, begun[k], asked[k]) for k in range(len(states))]

    def processes(self) -> list[int]:
        """The process of each replica, once there was a round."""
        return [actor.process().result() for actor in self.actors]

    def _hold(self, count: int) -> None:
        """Make the actors that are missing, all at once, so that their workers load side by side."""
        begun = [_begin(self.client, Held, self.chain) for _ in range(len(self.actors), count)]
        self.actors += [_made(self.client, future, Held, self.chain) for future in begun]

    def _ask(self, k: int, *asked: Any) -> Any:
        """The answer to come; None where the actor is known to be lost already."""
        with suppress(RuntimeError):
            return self.actors[k].advanced(*asked)

    def _answer(self, k: int, answer: Any, asked: tuple[Any, ...]) -> tuple[Any, float]:
        problem = ACTOR_LOST
        for _ in range(MAX_LOSSES):
            if answer is not None:
                try:
                    return answer.result()
                except OSError as error:
                    problem = str(error)
            self.lost += 1
            begun = _begin(self.client, Held, self.chain)
            self.actors[k] = _made(self.client, begun, Held, self.chain)
            answer = self._ask(k, *asked)
        lost = f"replica {k} lost its worker {MAX_LOSSES} times in one round ({problem})"
        raise RuntimeError(f"{lost}, too often to be chance: look at the workers' memory and logs")


def _begin(client: Client, kind: type, *arguments: Any) -> Any:
    """A future actor, which the scheduler gives to the worker that has the fewest."""
    await_workers(client)
    return client.submit(kind, *arguments, actor=True, pure=False)


def _made(client: Client, future: Any, kind: type, *arguments: Any) -> Any:
    """An actor, once it is made; asked for again where its worker was lost before that."""
    for _ in range(MAX_LOSSES):
        try:
            return future.result(timeout=WORKER_WAIT_S)
        except (CancelledError, TimeoutError, KilledWorker):
            future = _begin(client, kind, *arguments)
        except RuntimeError as error:
            if str(error) != ACTOR_LOST:
                raise
            future = _begin(client, kind, *arguments)
    raise RuntimeError(f"no worker held a {kind.__name__} in {MAX_LOSSES} attempts: see their logs")


class Node:
    """A node of gossip: its value after each round so far, for neighbours to ask for."""

    def __init__(self, value: Any) -> None:
        self.history = [value]
        self.changed = asyncio.Condition()

    async def at(self, number: int) -> Any:
        """The value after a round, once it is there."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.history) > number)
        return self.history[number]

    async def average(self, own: float, neighbours: Sequence[tuple[float, Any]], rounds: int) -> Any:
        """Average with the neighbours, by weights, in each round; returns all values."""
        for number in range(rounds):
            theirs = await asyncio.gather(*(node.at(number) for _, node in neighbours))
            value = own * self.history[number]
            for (weight, _), other in zip(neighbours, theirs, strict=True):
                value = value + weight * other
            async with self.changed:
                self.history.append(value)
                self.changed.notify_all()
        return np.array(self.history)


def gossip(client: Client, graph: Graph, values: Values, rounds: int) -> Float[Array, "times nodes *d"]:
    """Values of all nodes before the first round and after each, averaged by the nodes themselves.

    ``values`` has one row a node. Raises ``ValueError`` for a graph that is not connected, before any
    node is made, and ``SchedulerLostError`` and ``RuntimeError`` as ``Actors.advance``.
    """
    weights, values = metropolis_weights(graph), finite("values", values)
    whole(rounds=rounds)
    if len(values) != len(weights):
        raise ValueError(f"a value for each of {len(weights)} nodes is expected, got {len(values)}")
    for _ in range(MAX_LOSSES):
        try:
            return np.stack(_gossip(client, weights, values, rounds), 1)
        except (OSError, RuntimeError) as error:
            await_workers(client)
            last = error
    raise RuntimeError(f"workers were lost in {MAX_LOSSES} attempts, the last time with: {last}")


def _gossip(client: Client, weights: Any, values: Values, rounds: int) -> list[Any]:
    begun = [_begin(client, Node, value) for value in values]
    nodes = [_made(client, future, Node, value) for future, value in zip(begun, values, strict=True)]
    answers = []
    for k, node in enumerate(nodes):
        beside = [(float(weights[k, j]), nodes[j]) for j in np.flatnonzero(weights[k]) if j != k]
        answers.append(node.average(float(weights[k, k]), beside, rounds))
    while not all(answer.done() for answer in answers):
        for answer in answers:
            if answer.done():
                answer.result()  # raises at once what others would wait for without end
        time.sleep(POLL_S)
    return [answer.result() for answer in answers]


def await_workers(client: Client) -> None:
    """Wait until there is a worker. Raises ``SchedulerLostError`` if the scheduler does not answer."""
    try:
        last_try = time.monotonic() + WORKER_WAIT_S
        while time.monotonic() < last_try:
            scheduler: Any = client.scheduler
            if client.sync(scheduler.identity, callback_timeout=ANSWER_S)["workers"]:
                return
            time.sleep(WORKER_POLL_S)
        problem = f"no worker has joined in {WORKER_WAIT_S:g} s"
    except (OSError, RuntimeError, ValueError, TimeoutError) as error:
        problem = str(error) or type(error).__name__
    gone = f"the scheduler is gone, or has no worker ({problem}). Rounds that were handed back are kept"
    raise SchedulerLostError(f"{gone}: start a scheduler with workers, and go on from the last one")
