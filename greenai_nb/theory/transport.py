"""Wasserstein-1: what it costs to carry one distribution to another, over a metric between decisions.

Carrying mass from u to s costs d(u, s). The cheapest plan solves a linear programme, whose dual has one
number for each decision and nothing else, because the *c-transform* gives the best of the others:

    W(rho, pi) = min sum_us plan(u, s) d(u, s)      plan >= 0, leaves pi(u) behind u, brings rho(s) to s
               = max_f  E_pi f^c - E_rho f ,        f^c(u) = min_s { f(s) + d(u, s) } .

As the price of leaving a prior it is minimised by hand, since every atom of the prior moves alone:

    min_rho  lambda E_rho L + W(rho, pi) = E_pi (lambda L)^c ,

and rho has mass only at the places that these minima name: exact zeros elsewhere. The same minimum is a
step of the work function in ``moving``: w_t = (w_{t-1} + l_t)^c.

Source: Villani, *Optimal transport* (2009), theorem 5.10; Peyre and Cuturi (2019), section 6.1.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array
from scipy.optimize import linprog

from greenai_nb.checks import ROUNDING, finite, non_negative, positive, probabilities

PerDecision = Float[Array, " decisions"]
Metric = Float[Array, "decisions decisions"]


def c_transform(
    values: Float[Array, "*rounds decisions"], distance: Metric
) -> Float[Array, "*rounds decisions"]:
    """f^c(u) = min_s { f(s) + d(u, s) }: the largest function below f with slopes of at most one.

    Raises ``ValueError`` unless ``distance`` is a metric with a row for each value.
    """
    values = finite("values", values)
    check_metric(distance, values.shape[-1])
    return (values[..., None, :] + distance).min(-1)


def minimiser(
    losses: Float[Array, "*rounds decisions"],
    log_prior: PerDecision,
    inverse_temperature: float,
    distance: Metric,
) -> Float[Array, "*rounds decisions"]:
    """The distribution that minimises lambda E_rho L + W(rho, pi), with exact zeros, for each round.

    The mass of each decision u moves to the place that minimises lambda L(s) + d(u, s), and stays where
    it is if moving gains nothing. Raises ``ValueError`` as ``c_transform``, and for a bad prior.
    """
    positive(inverse_temperature=inverse_temperature)
    prior = np.exp(probabilities("log_prior", log_prior))
    price = inverse_temperature * finite("losses", losses)
    least = c_transform(price, distance)
    if price.shape[-1:] != prior.shape:
        raise ValueError(
            f"losses and log_prior need one number for each decision, "
            f"got {price.shape} and {prior.shape}"
        )
    places, nearest = np.arange(len(prior)), (price[..., None, :] + distance).argmin(-1)
    goes_to = np.where(price <= least, places, nearest)
    return np.einsum("u,...us->...s", prior, goes_to[..., None] == places)


def wasserstein(rho: PerDecision, prior: PerDecision, distance: Metric) -> float:
    """W(rho, pi) as the cost of the cheapest plan, by linear programming.

    Raises ``ValueError`` for a distance that is no metric, and for masses that do not sum to one.
    """
    return float(_cheapest_plan(rho, prior, distance).fun)


def potential(rho: PerDecision, prior: PerDecision, distance: Metric) -> PerDecision:
    """The function f whose E_pi f^c - E_rho f is W(rho, pi): the solution of the dual."""
    return -_cheapest_plan(rho, prior, distance).eqlin.marginals[len(prior) :]


def on_a_line(rho: PerDecision, prior: PerDecision, places: PerDecision) -> float:
    """W(rho, pi) for the distance |u - s| between places on a line: the area between both CDFs.

    Raises ``ValueError`` unless there is a place for each mass.
    """
    rho, prior, places = _masses("rho", rho), _masses("prior", prior), finite("places", places)
    if not rho.shape == prior.shape == places.shape:
        raise ValueError(
            f"rho, prior and places need one number for each decision, got {rho.shape}, {prior.shape} "
            f"and {places.shape}"
        )
    order = np.argsort(places)
    apart = np.abs(np.cumsum((rho - prior)[order]))[:-1]
    return float(apart @ np.diff(places[order]))


def check_metric(distance: Metric, decisions: int) -> None:
    """Raise ``ValueError`` unless it is a distance for that many decisions; it may depend on the way."""
    non_negative(distance=float(finite("distance", distance).min()))
    if np.shape(distance) != (decisions, decisions):
        raise ValueError(f"distance must be {decisions} x {decisions}, got {np.shape(distance)}")
    detour = (np.asarray(distance)[:, :, None] + np.asarray(distance)[None]).min(1)
    if np.diag(distance).any() or (np.asarray(distance) > detour + ROUNDING).any():
        raise ValueError(
            "distance must be a metric: zero from a state to itself, and no detour shorter than the way"
        )


def _cheapest_plan(rho: PerDecision, prior: PerDecision, distance: Metric) -> Any:
    rho, prior = _masses("rho", rho), _masses("prior", prior)
    check_metric(distance, len(prior))
    if rho.shape != prior.shape:
        raise ValueError(
            f"rho and prior need one mass for each decision, got {rho.shape} and {prior.shape}"
        )
    each, one = np.eye(len(prior)), np.ones(len(prior))
    leaves, arrives = np.kron(each, one), np.kron(one, each)  # of plan[u, s], row after row
    constraints = np.vstack([leaves, arrives])
    return linprog(np.ravel(distance), A_eq=constraints, b_eq=np.concatenate([prior, rho]))


def _masses(name: str, masses: PerDecision) -> PerDecision:
    masses = finite(name, masses)
    non_negative(**{name: float(masses.min())})
    if abs(masses.sum() - 1) > ROUNDING:
        raise ValueError(f"{name} must be masses that sum to 1; they sum to {float(masses.sum())!r}")
    return masses / masses.sum()
