"""Workers that compute and send: how long a round takes, and when not waiting for all of them pays.

A worker computes for a random time and then exchanges a message. Sending b bytes takes, by Hockney,

    alpha + b / beta        with the latency alpha and the bandwidth beta of a link.

In a *synchronous* round all n workers wait for the slowest, and then average by an all-reduce: along a
ring in 2 (n - 1) steps of b / n bytes, or up and down a binary tree in 2 log2 n steps of b bytes. For
exponential times of mean m, the slowest of n takes m H_n = m (1 + 1/2 + ... + 1/n) on average.

In *tempering* worker k only meets k + 1 and k - 1, in turns, and in *gossip* each waits for its
neighbours. Both start the next round as soon as those whom they meet are there,

    t_k(r + 1) = max { t_j(r) + c_j(r) : j is met by k, or is k itself } + exchange .

Then t_k(r) is a maximum over q^r paths, where q workers are in each such maximum, and a path is a sum of
r compute times. For exponential times Chernoff's inequality bounds the rate by the larger root x of

    x - 1 - log x = log q ,

times the mean, however many workers there are: 2.68 for pairs, while H_n has no bound.

Source: Hockney (1994); Thakur, Rabenseifner and Gropp (2005), for all-reduce; Amdahl (1967); Gustafson
(1988); Baccelli, Cohen, Olsder and Quadrat, *Synchronization and linearity* (1992), for waiting.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray as Array
from scipy.special import digamma, lambertw

from greenai_nb.checks import finite, non_negative, one_of, positive, whole

KINDS = ("steady", "exponential", "lognormal")

Times = Float[Array, "rounds workers"]
Neighbours = Int[Array, "workers degree"]


@dataclass(frozen=True)
class Link:
    """A connection between two workers."""

    latency_s: float
    bytes_per_s: float

    def __post_init__(self) -> None:
        non_negative(latency_s=self.latency_s)
        positive(bytes_per_s=self.bytes_per_s)

    def send_s(self, size: float) -> float:
        """Seconds for a message of so many bytes: alpha + b / beta."""
        non_negative(size=size)
        return self.latency_s + size / self.bytes_per_s


def ring_all_reduce_s(workers: int, size: float, link: Link) -> float:
    """Seconds until each worker has the sum of all messages: 2 (n - 1) (alpha + b / (n beta))."""
    whole(workers=workers)
    return 2 * (workers - 1) * link.send_s(size / workers)


def tree_all_reduce_s(workers: int, size: float, link: Link) -> float:
    """The same along a binary tree, up to one worker and down: 2 ceil(log2 n) (alpha + b / beta)."""
    whole(workers=workers)
    return 2 * int(workers - 1).bit_length() * link.send_s(size)


def compute_times(
    kind: str, mean_s: float, rounds: int, workers: int, rng: np.random.Generator, sigma: float = 1.0
) -> Times:
    """Seconds that each worker computes in each round, drawn independently, all with the same mean.

    ``kind`` is steady, exponential or lognormal; ``sigma`` is the spread of the logs of the last.
    """
    one_of(KINDS, kind=kind)
    positive(mean_s=mean_s)
    whole(rounds=rounds, workers=workers)
    non_negative(sigma=sigma)
    shape = rounds, workers
    if kind == "steady":
        return np.full(shape, float(mean_s))
    if kind == "exponential":
        return rng.exponential(mean_s, shape)
    return mean_s * rng.lognormal(-(sigma**2) / 2, sigma, shape)


def synchronous(compute_s: Times, exchange_s: float) -> Times:
    """When each worker has ended each round, if all wait for the slowest and then exchange."""
    compute_s = _checked(compute_s, exchange_s)
    ends = np.cumsum(compute_s.max(1) + exchange_s)
    return np.broadcast_to(ends[:, None], compute_s.shape)


def tempering(compute_s: Times, exchange_s: float) -> Times:
    """The same for parallel tempering: pairs (0, 1), (2, 3), ... meet, then (1, 2), (3, 4), ...

    Who has no partner in a round goes on at once.
    """
    compute_s, ends = _checked(compute_s, exchange_s), []
    clock = np.zeros(compute_s.shape[1])
    for number, spent in enumerate(compute_s):
        clock = clock + spent
        paired = clock[number % 2 :]
        pairs = paired[: len(paired) // 2 * 2].reshape(-1, 2)
        pairs[:] = pairs.max(1, keepdims=True) + exchange_s
        ends.append(clock)
    return np.array(ends)


def gossip(compute_s: Times, neighbours: Neighbours, exchange_s: float) -> Times:
    """The same for gossip: in each round a worker waits for its neighbours, and for nobody else.

    ``neighbours`` has the numbers of the workers that each one waits for, one row a worker.
    """
    compute_s = _checked(compute_s, exchange_s)
    workers, neighbours = compute_s.shape[1], np.asarray(neighbours)
    if neighbours.ndim != 2 or len(neighbours) != workers:
        raise ValueError(f"neighbours needs a row for each of {workers} workers, got {neighbours.shape}")
    if neighbours.size and not (neighbours.min() >= 0 and neighbours.max() < workers):
        raise ValueError(f"neighbours must be numbers of workers in 0, ..., {workers - 1}")
    met = np.column_stack([np.arange(workers), neighbours])
    clock, ends = np.zeros(workers), []
    for spent in compute_s:
        clock = (clock + spent)[met].max(1) + exchange_s
        ends.append(clock)
    return np.array(ends)


def without_waiting(compute_s: Times, exchange_s: float) -> Times:
    """The same where nobody waits, and a worker takes whatever its neighbours have sent last."""
    return np.cumsum(_checked(compute_s, exchange_s) + exchange_s, 0)


def seconds_a_round(ends: Times) -> float:
    """Seconds of a round, on average over rounds and workers, after the first half of the rounds.

    The wait for neighbours grows at first, because a delay needs time to travel.
    """
    if len(ends) < 2:
        raise ValueError(f"at least two rounds are needed, got {len(ends)}")
    begun = len(ends) // 2
    return float((ends[-1] - ends[begun - 1]).mean() / (len(ends) - begun))


def expected_maximum(mean_s: float, workers: int) -> float:
    """Mean of the largest of n exponential times: m H_n, the harmonic number by the digamma function."""
    positive(mean_s=mean_s)
    whole(workers=workers)
    return float(mean_s * (digamma(workers + 1) + np.euler_gamma))


def waiting_bound(mean_s: float, met: int) -> float:
    """What a round takes at most on average, for exponential times and ``met`` workers in a maximum.

    That is m x with x - 1 - log x = log q, by the lower branch of Lambert's W: x = -W_-1(-1 / (e q)).
    """
    positive(mean_s=mean_s)
    whole(met=met)
    return float(-mean_s * lambertw(-np.exp(-1.0) / met, -1).real) if met > 1 else float(mean_s)


def amdahl(serial_share: float, workers: int) -> float:
    """Speed-up of one job of fixed size, of which a share s cannot be divided: 1 / (s + (1 - s) / n)."""
    _share(serial_share, workers)
    return 1 / (serial_share + (1 - serial_share) / workers)


def gustafson(serial_share: float, workers: int) -> float:
    """Speed-up where the job grows with the workers: n - s (n - 1), for a share s of their time."""
    _share(serial_share, workers)
    return workers - serial_share * (workers - 1)


def _share(serial_share: float, workers: int) -> None:
    whole(workers=workers)
    if not 0 <= serial_share <= 1:
        raise ValueError(f"serial_share must be in [0, 1], got {serial_share!r}")


def _checked(compute_s: Times, exchange_s: float) -> Times:
    compute_s = finite("compute_s", compute_s)
    non_negative(exchange_s=exchange_s, compute_s=float(compute_s.min()))
    if compute_s.ndim != 2:
        raise ValueError(f"compute_s needs a row for each round, got the shape {compute_s.shape}")
    return compute_s
