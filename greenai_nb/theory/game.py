"""The game: a distribution is played, an opponent picks the outcome, every decision suffers its loss.

A table of losses says what can happen in a round: one row per outcome, one column per decision. An
opponent sees the distribution before it picks a row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray as Array

from greenai_nb.checks import finite, positive, probabilities, spread
from greenai_nb.theory import forecasters
from greenai_nb.theory.forecasters import PerDecision

Losses = Float[Array, "outcomes decisions"]
Opponent = Callable[[int, PerDecision], int]
Choice = Callable[[PerDecision, PerDecision, Losses], int]


@dataclass(frozen=True)
class Trace:
    """A game that was played: which outcome each round had, and cumulative numbers in nats.

    ``gibbs`` is the expected loss of drawing decisions, ``mixture`` the log-loss of the averaged
    prediction, ``free_energy`` is -(1 / lambda) log E_pi exp(-lambda L_t).
    """

    outcomes: Int[Array, " rounds"]
    gibbs: Float[Array, " rounds"]
    mixture: Float[Array, " rounds"]
    free_energy: Float[Array, " rounds"]


def play(
    losses: Losses,
    log_prior: PerDecision,
    opponent: Opponent,
    rounds: int,
    inverse_temperature: float,
    loss_range: float,
) -> Trace:
    """Play the Gibbs forecaster with lambda = ``inverse_temperature`` against an opponent.

    Raises ``ValueError``, before the first round, unless the prior sums to one, the losses are finite
    and those of an outcome spread over no more than ``loss_range``.
    """
    positive(rounds=rounds, inverse_temperature=inverse_temperature, loss_range=loss_range)
    probabilities("log_prior", log_prior)
    losses = np.ascontiguousarray(finite("losses", losses))
    spread("losses", losses, loss_range)
    likelihoods = np.exp(-losses)
    state = forecasters.init(log_prior)
    outcomes, expected, mixture, free = [], [], [], []
    for t in range(rounds):
        outcome = opponent(t, state.distribution)
        row = losses[outcome]
        outcomes.append(outcome)
        expected.append(forecasters.expected_loss(state.distribution, row))
        mixture.append(forecasters.mixture_loss(state.distribution, likelihoods[outcome]))
        state = forecasters.gibbs(state, row, inverse_temperature)
        free.append(forecasters.free_energy(state, inverse_temperature))
    return Trace(np.array(outcomes), np.cumsum(expected), np.cumsum(mixture), np.array(free))


@dataclass(frozen=True)
class SecondOrderTrace:
    """A game of the second-order forecaster, one draw per round; numbers are cumulative, in nats.

    ``expected`` sums E_{w ~ rho_t} l_t(w), the expected loss of a round over its own draw, given the
    earlier draws. ``allowed`` is what Theorem 2 compares the mean of ``expected`` with,
    -(1 / lambda) log E_pi exp(-lambda S_t): it equals the infimum over distributions of
    E_rho L_t + KL(rho, pi) / lambda + lambda / 2 sum E_rho (l_s - l_s(w^_s))^2.
    """

    outcomes: Int[Array, " rounds"]
    expected: Float[Array, " rounds"]
    allowed: Float[Array, " rounds"]


def play_second_order(
    losses: Losses,
    log_prior: PerDecision,
    opponent: Opponent,
    rounds: int,
    inverse_temperature: float,
    generator: np.random.Generator,
) -> SecondOrderTrace:
    """Play Audibert's second-order forecaster, which draws a decision each round.

    Raises ``ValueError`` unless the prior sums to one and the losses are finite.
    """
    positive(rounds=rounds, inverse_temperature=inverse_temperature)
    probabilities("log_prior", log_prior)
    losses = np.ascontiguousarray(finite("losses", losses))
    state = forecasters.init(log_prior)
    outcomes, expected, allowed = [], [], []
    for t in range(rounds):
        outcome = opponent(t, state.distribution)
        row = losses[outcome]
        drawn = int(np.searchsorted(np.cumsum(state.distribution), generator.random()))
        outcomes.append(outcome)
        expected.append(forecasters.expected_loss(state.distribution, row))
        state = forecasters.second_order(state, row, drawn, inverse_temperature)
        allowed.append(forecasters.free_energy(state, inverse_temperature))
    return SecondOrderTrace(np.array(outcomes), np.cumsum(expected), np.array(allowed))


def hindsight(
    losses: Losses, outcomes: Int[Array, " rounds"], price: PerDecision | float = 0.0
) -> Float[Array, " rounds"]:
    """The least of price + cumulative loss over decisions, after each round.

    Without a price it is the loss of the best decision in hindsight; with ``price`` pen(w) / lambda and
    smeared losses it is the infimum over networks in the bounds.
    """
    total = np.zeros(losses.shape[1]) + price
    least = []
    for outcome in outcomes:
        total += losses[outcome]
        least.append(total.min())
    return np.array(least)


def fixed(outcomes: Sequence[int]) -> Opponent:
    """An oblivious opponent: its outcomes were fixed before the game."""
    return lambda t, distribution: int(outcomes[t])


def contrarian(losses: Losses, options: Sequence[Sequence[int]]) -> Opponent:
    """An opponent that picks, among a round's options, the outcome on which the distribution loses most.

    ``options`` lists for each round the outcomes that it may pick from, such as the two labels of
    that round's input.
    """

    def pick(t: int, distribution: PerDecision) -> int:
        return int(max(options[t], key=lambda outcome: losses[outcome] @ distribution))

    return pick


def informed(choose: Choice, losses: Losses, options: Sequence[Sequence[int]]) -> Opponent:
    """An opponent that also remembers what each decision has lost so far.

    ``choose`` gets the distribution, the cumulative losses and a row of losses for each of the round's
    ``options``, and returns the position of the option that it picks. Make a new one for each game.
    """
    so_far = np.zeros(losses.shape[1])

    def pick(t: int, distribution: PerDecision) -> int:
        rows = losses[options[t]]
        chosen = choose(distribution, so_far.copy(), rows)
        so_far[:] += rows[chosen]
        return int(options[t][chosen])

    return pick


def against_the_leader(distribution: PerDecision, so_far: PerDecision, losses: Losses) -> int:
    """The option on which the distribution loses most compared with the decision that leads so far."""
    return int(np.argmax(losses @ distribution - losses[:, so_far.argmin()]))
