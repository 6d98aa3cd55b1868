"""Forecasters on a finite set of decisions, and the bounds on their cumulative loss.

A set of decisions with a prior is a vector of log masses; a game is a matrix of losses, one row a
round and one column a decision. A continuous prior enters through quadrature nodes.

Source: Cesa-Bianchi and Lugosi, *Prediction, Learning, and Games* (2006), chapters 2, 3 and 9;
Audibert, *Fast learning rates in statistical inference through aggregation* (2009).
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array
from scipy.special import logsumexp


def gibbs(
    losses: Float[Array, "rounds decisions"],
    log_prior: Float[Array, " decisions"],
    inverse_temperature: float,
) -> Float[Array, "rounds decisions"]:
    """The Gibbs laws played in each round, each from the losses of the rounds before.

    rho_t(w) = exp(-lambda L_{t-1}(w)) pi(w) / normaliser;  ``inverse_temperature`` is lambda.
    """
    before = np.vstack([np.zeros(losses.shape[1]), np.cumsum(losses, axis=0)[:-1]])
    log_law = log_prior - inverse_temperature * before
    return np.exp(log_law - logsumexp(log_law, axis=1, keepdims=True))


def expected_loss(
    losses: Float[Array, "rounds decisions"], laws: Float[Array, "rounds decisions"]
) -> Float[Array, " rounds"]:
    """Loss of a decision drawn from each round's law, on average: E_{w ~ rho_t} l_t(w)."""
    return (laws * losses).sum(axis=1)


def mixture_loss(
    losses: Float[Array, "rounds decisions"], laws: Float[Array, "rounds decisions"]
) -> Float[Array, " rounds"]:
    """Log-loss of the averaged prediction: -log E_{w ~ rho_t} exp(-l_t(w)).

    For cross-entropy this is the loss of predicting p_t = E p_w; by Jensen it is at most the
    expected loss.
    """
    return -logsumexp(-losses, b=laws, axis=1)


def free_energy(
    losses: Float[Array, "rounds decisions"],
    log_prior: Float[Array, " decisions"],
    inverse_temperature: float,
) -> Float[Array, " rounds"]:
    """-(1/lambda) log E_pi exp(-lambda L_t), after each round.

    By Donsker and Varadhan it equals inf_rho { E_rho L_t + KL(rho, pi) / lambda }.
    """
    total = np.cumsum(losses, axis=0)
    return -logsumexp(log_prior - inverse_temperature * total, axis=1) / inverse_temperature


def hoeffding_remainder(
    rounds: int | Float[Array, " rounds"], loss_range: float, inverse_temperature: float
) -> float | Float[Array, " rounds"]:
    """lambda M^2 T / 8: the price of drawing one decision when losses spread over a range M."""
    return inverse_temperature * loss_range**2 * rounds / 8


def smearing(
    loss_at: Float[Array, "rounds nodes"],
    mass: Float[Array, " nodes"],
    loss: Float[Array, " rounds"],
) -> Float[Array, " rounds"]:
    """Price of smearing a comparator by the prior: omega_t(u) = E_{s ~ pi} l_t(u + s) - l_t(u).

    ``loss_at`` holds l_t(u + s) at the quadrature nodes s of mass ``mass``.
    """
    return loss_at @ mass - loss
