"""Three forecasters that weight decisions by their past losses, round by round.

All keep one number per decision, the log of its weight, and play the distribution
rho_t(w) ~ exp(log weight):

- *Gibbs* draws a decision from rho_t(w) ~ exp(-lambda L_{t-1}(w)) pi(w);
- *Audibert's second-order* forecaster adds to the loss lambda / 2 times its squared distance from
  the loss of the decision that was drawn, and needs no range of the losses;
- the *predictive mixture* has Gibbs's weights at lambda = 1 and draws nothing: it predicts with the
  averaged probability, and pays ``mixture_loss``.

Source: Cesa-Bianchi and Lugosi, *Prediction, Learning, and Games* (2006), chapters 2, 3 and 9;
Audibert, *Fast learning rates in statistical inference through aggregation* (2009).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array

PerDecision = Float[Array, " decisions"]


class State(NamedTuple):
    """Log weights of the decisions, log pi - lambda S_{t-1}, and the distribution they define."""

    log_weight: PerDecision
    distribution: PerDecision
    log_total: float


def init(log_prior: PerDecision) -> State:
    """The state before the first round: the distribution is the prior."""
    return _normalised(log_prior)


def gibbs(state: State, losses: PerDecision, inverse_temperature: float) -> State:
    """Learn from a round: log weight <- log weight - lambda l_t; ``inverse_temperature`` is lambda."""
    return _normalised(state.log_weight - inverse_temperature * losses)


def second_order(state: State, losses: PerDecision, drawn: int, inverse_temperature: float) -> State:
    """Learn from a round in which decision ``drawn`` was played.

    S_t(w) = S_{t-1}(w) + l_t(w) + lambda / 2 (l_t(w) - l_t(w^_t))^2;  log weight = log pi - lambda S_t.
    """
    variance = inverse_temperature / 2 * (losses - losses[drawn]) ** 2
    return _normalised(state.log_weight - inverse_temperature * (losses + variance))


def free_energy(state: State, inverse_temperature: float) -> float:
    """-(1 / lambda) log E_pi exp(-lambda S_t), in nats.

    By Donsker and Varadhan it equals inf_rho { E_rho S_t + KL(rho, pi) / lambda }.
    """
    return -state.log_total / inverse_temperature


def expected_loss(distribution: PerDecision, losses: PerDecision) -> float:
    """Average loss of a decision drawn from the distribution: E_{w ~ rho_t} l_t(w)."""
    # By one thread: where others compute as well, the threads of ``@`` wait longer than they work.
    return float(np.einsum("d,d", distribution, losses))


def mixture_loss(distribution: PerDecision, likelihoods: PerDecision) -> float:
    """Log-loss of the averaged prediction: -log E_{w ~ rho_t} p_w, with p_w = exp(-l_t(w)).

    For cross-entropy the likelihoods p_w are the probabilities of the label; by Jensen's
    inequality the mixture's loss is at most the expected loss.
    """
    return -float(np.log(expected_loss(distribution, likelihoods)))


def _normalised(log_weight: PerDecision) -> State:
    top = log_weight.max()
    distribution = log_weight - top
    np.exp(distribution, out=distribution)
    total = distribution.sum()
    distribution /= total
    return State(log_weight, distribution, float(top + np.log(total)))
