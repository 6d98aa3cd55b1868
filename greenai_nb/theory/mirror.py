"""Distributions that weigh past losses against a divergence from the prior, for three divergences.

All minimise, over distributions rho on finitely many decisions,

    lambda E_rho L + D(rho, pi) ,

where L(w) is what a decision has lost so far. Played round by round this is *follow the regularised
leader*, or mirror descent with a fixed mirror:

- Kullback-Leibler gives the Gibbs distribution, rho ~ pi exp(-lambda L);
- chi-square, D = sum rho^2 / pi - 1, gives rho = pi (mu - lambda L)_+ / 2, with exact zeros where L is
  large; with a uniform pi over n decisions it is the point of the simplex nearest to -lambda L / (2n);
- Renyi of order 1/2, D = -2 log sum sqrt(rho pi), gives rho ~ pi / (c + lambda (L - min L))^2.

Source: Alquier, *Non-exponentially weighted aggregation* (2021).
"""

import numpy as np
from scipy.optimize import brentq

from greenai_nb.checks import finite, positive, probabilities
from greenai_nb.theory import forecasters
from greenai_nb.theory.forecasters import PerDecision


def kullback_leibler(
    losses: PerDecision, log_prior: PerDecision, inverse_temperature: float
) -> PerDecision:
    """The minimiser for KL(rho, pi): Gibbs's forecaster after losses that sum to ``losses``."""
    losses, _ = _checked(losses, log_prior, inverse_temperature)
    return forecasters.gibbs(forecasters.init(log_prior), losses, inverse_temperature).distribution


def chi_square(losses: PerDecision, log_prior: PerDecision, inverse_temperature: float) -> PerDecision:
    """The minimiser for chi-square, found by sorting.

    If the k decisions that lost least have mass, then the masses sum to one for
    mu_k = (2 + sum pi lambda L) / sum pi over these k; k is the largest with mu_k > lambda L_k.
    """
    losses, prior = _checked(losses, log_prior, inverse_temperature)
    price = inverse_temperature * (losses - losses.min())
    order = np.argsort(price, kind="stable")
    level = (2 + np.cumsum((prior * price)[order])) / np.cumsum(prior[order])
    last = np.flatnonzero(level > price[order])[-1]
    return prior * np.maximum(level[last] - price, 0) / 2


def renyi_half(losses: PerDecision, log_prior: PerDecision, inverse_temperature: float) -> PerDecision:
    """The minimiser for Renyi's divergence of order 1/2, by the root of one equation.

    With a = c + lambda (L - min L), a derivative of zero asks for sum pi / a^2 = sum pi / a. If p is the
    prior mass of the leaders, the left-hand side is larger at c = p / 2 and no larger at c = 1.
    """
    losses, prior = _checked(losses, log_prior, inverse_temperature)
    price = inverse_temperature * (losses - losses.min())

    def excess(shift: float) -> float:
        return float(prior @ ((1 - shift - price) / (shift + price) ** 2))

    weight = prior / (brentq(excess, prior[price == 0].sum() / 2, 1.0, xtol=1e-15) + price) ** 2
    return weight / weight.sum()


def _checked(
    losses: PerDecision, log_prior: PerDecision, inverse_temperature: float
) -> tuple[PerDecision, PerDecision]:
    """The losses, and the prior masses scaled to sum to one."""
    positive(inverse_temperature=inverse_temperature)
    losses, prior = finite("losses", losses), np.exp(probabilities("log_prior", log_prior))
    if losses.shape != prior.shape:
        raise ValueError(
            f"losses and log_prior need one number for each decision, "
            f"got {losses.shape} and {prior.shape}"
        )
    if not prior.all():
        raise ValueError("log_prior gives a decision no mass; leave that decision out")
    return losses, prior / prior.sum()
