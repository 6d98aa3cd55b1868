"""Chains on all vectors of a few bits, as transition matrices: what parallel workers do to Gibbs.

A state is a row of ``signs(bits)``. A chain is a matrix of probabilities, from the row's state to the
column's. Flipping one bit of state s changes its loss by D = L(s') - L(s), and happens with probability

    Metropolis:  min(1, exp(-lambda D))        heat bath:  1 / (1 + exp(lambda D)) .

Both keep the Gibbs distribution rho(s) ~ exp(-lambda L(s)). So does one chain after another, ``A @ B``.
Two workers that decide on the same state, and both write, keep it only where no change of one worker
alters what a change of the other costs. On a ring that holds for every second bit.

Parallel tempering runs a cold and a hot chain; a pair of states (s, t) is the index s * states + t.
Exchanging the two with probability min(1, exp((lambda_cold - lambda_hot) (L(s) - L(t)))) keeps the
product of their Gibbs distributions.

Source: Metropolis et al. (1953); Glauber (1963); Geyer (1991), for tempering; Niu et al., *Hogwild!*
(2011), for workers without locks; Gonzalez et al. (2011), for coloured updates.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array
from scipy.special import expit, softmax

from greenai_nb.checks import finite, non_negative
from greenai_nb.theory.space import signs

SOLVED = 1e-9  # to which a distribution must be kept

Losses = Float[Array, " states"]
Distribution = Float[Array, " states"]
Chain = Float[Array, "states states"]
Ladder = tuple[float, float]


def perceptron_losses(inputs: Float[Array, "images bits"], labels: Float[Array, " images"]) -> Losses:
    """Mean cross-entropy, in nats, of every perceptron of binary weights; labels are -1 or +1."""
    bits = inputs.shape[1]
    margins = labels * (signs(bits).points @ inputs.T) / np.sqrt(bits)
    return np.logaddexp(0, -2 * margins).mean(1)


def ring_losses(couplings: Float[Array, " bits"], fields: Float[Array, " bits"]) -> Losses:
    """-sum_j (J_j s_j s_{j+1} + h_j s_j) of every vector of bits on a ring, which has no end."""
    points = signs(len(fields)).points
    return -(points * np.roll(points, -1, axis=1)) @ couplings - points @ fields


def gibbs(losses: Losses, inverse_temperature: float) -> Distribution:
    """The distribution rho(s) ~ exp(-lambda L(s))."""
    non_negative(inverse_temperature=inverse_temperature)
    return softmax(-inverse_temperature * finite("losses", losses))


def metropolis(losses: Losses, inverse_temperature: float, bits: Sequence[int]) -> Chain:
    """Propose to flip one of the bits, drawn uniformly, and accept or reject.

    Raises ``ValueError`` unless there is a loss for each vector of bits, and the bits are among them.
    """
    return _flips(losses, inverse_temperature, bits, lambda cost: np.exp(-np.maximum(cost, 0)))


def heat_bath(losses: Losses, inverse_temperature: float, bit: int) -> Chain:
    """Draw one bit anew, given the others; errors as in ``metropolis``."""
    return _flips(losses, inverse_temperature, [bit], lambda cost: expit(-cost))


def on_stale_state(*workers: Chain) -> Chain:
    """All workers decide on the same state, none sees the others' flips, and every flip is written.

    Raises ``ValueError`` where two workers flip the same bit.
    """
    return reduce(_both, workers)


def tempering(losses: Losses, ladder: Ladder) -> Chain:
    """A Metropolis flip of any bit in the cold chain and another in the hot one, without an exchange.

    ``ladder`` holds the inverse temperatures of both. Raises ``ValueError`` unless the first is larger.
    """
    _check_ladder(ladder)
    every = range(len(losses).bit_length() - 1)
    return np.kron(*(metropolis(losses, inverse_temperature, every) for inverse_temperature in ladder))


def exact_swaps(losses: Losses, ladder: Ladder) -> Chain:
    """Exchange both states with the probability that keeps the product of Gibbs distributions."""
    _check_ladder(ladder)
    gain = np.subtract.outer(losses, losses).ravel() * (ladder[0] - ladder[1])
    probability = np.exp(np.minimum(gain, 0))
    swaps = certain_swaps(len(losses)) * probability[:, None]
    return swaps + np.diag(1 - probability)


def certain_swaps(states: int) -> Chain:
    """Exchange both states always, whatever they cost: the mistake that tempering must not make."""
    pairs = np.arange(states**2)
    return np.eye(states**2)[pairs % states * states + pairs // states]


def stationary(chain: Chain) -> Distribution:
    """The distribution that the chain keeps, rho P = rho, by a linear solve.

    Raises ``ValueError`` where rows do not sum to one, or the chain keeps several distributions.
    """
    if not np.allclose(chain.sum(1), 1, atol=SOLVED):
        raise ValueError(f"rows of the chain must sum to 1, they sum to {chain.sum(1)[:3].tolist()} ...")
    system = chain.T - np.eye(len(chain))
    system[-1] = 1  # instead of an equation that follows from the others
    try:
        solution = np.linalg.solve(system, np.eye(len(chain))[-1])
    except np.linalg.LinAlgError:
        solution = np.full(len(chain), np.nan)
    if not (solution.min() > -SOLVED and np.abs(solution @ chain - solution).max() < SOLVED):
        raise ValueError("some states never reach each other: let a chain reach all, as heat baths do")
    return solution


def spectral_gap(chain: Chain) -> float:
    """One minus the second largest modulus of an eigenvalue; after k steps its power k is left."""
    return float(1 - np.sort(np.abs(np.linalg.eigvals(chain)))[-2])


def _flips(
    losses: Losses, inverse_temperature: float, bits: Sequence[int], accepts: Callable[[Losses], Losses]
) -> Chain:
    """Flip one of the bits, drawn uniformly, with a probability that depends on lambda D."""
    non_negative(inverse_temperature=inverse_temperature)
    losses, state = finite("losses", losses), np.arange(len(losses))
    count = len(losses).bit_length() - 1
    if count < 1 or len(losses) != 2**count:
        raise ValueError(f"a loss for each of 2, 4, 8, ... vectors is expected, got {len(losses)}")
    if not bits or not all(0 <= bit < count for bit in bits):
        raise ValueError(f"bits must be some of 0 to {count - 1}, got {[*bits]}")
    chain = np.zeros((len(losses), len(losses)))
    for bit in bits:
        flipped = state ^ (1 << (count - 1 - bit))  # the first bit changes slowest
        accepted = accepts(inverse_temperature * (losses[flipped] - losses))
        chain[state, flipped] += accepted / len(bits)
        chain[state, state] += (1 - accepted) / len(bits)
    return chain


def _both(first: Chain, second: Chain) -> Chain:
    """P(s -> s ^ m ^ n) = A(s -> s ^ m) B(s -> s ^ n), where ^ m flips a set m of bits."""
    if _flipped(first) & _flipped(second):
        raise ValueError("two workers flip the same bit: give each bit to one worker only")
    state, joint = np.arange(len(first)), np.zeros_like(first)
    for flips in state:
        probability = second[state, state ^ flips]
        if probability.any():
            joint += first[:, state ^ flips] * probability[:, None]
    return joint


def _flipped(chain: Chain) -> int:
    """All bits that the chain ever flips, as one number."""
    here, there = np.nonzero(chain)
    return int(np.bitwise_or.reduce(here ^ there))


def _check_ladder(ladder: Ladder) -> None:
    cold, hot = ladder
    non_negative(cold=cold, hot=hot)
    if not cold > hot:
        raise ValueError(f"the first inverse temperature must be larger, got {cold!r} and {hot!r}")
