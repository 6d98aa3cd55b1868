"""Decisions that cost something to change: metrical task systems, and when to switch off.

In round t every state s has a service cost l_t(s) >= 0, and going from u to s costs d(u, s). The *work
function* is the least cost of serving t rounds and ending in s,

    w_t(s) = min_u { w_{t-1}(u) + l_t(u) + d(u, s) },        w_0(s) = d(start, s),

so that min w_T is the cost of the best path in hindsight. The *work-function algorithm* sees l_t, moves
from s to the state that minimises w_{t-1} + l_t + d(s, .), and serves there. Among n states it costs at
most 2n - 1 times the best path, plus a constant.

*Ski rental* has two states. An idle accelerator costs one unit of energy a step, and waking it up
costs B (``wake``), which is also the break-even time in steps.

Source: Borodin, Linial and Saks (1992); Blum and Burch (2000); Karlin, Manasse, McGeoch and
Owicki (1994); Irani, Shukla and Gupta (2003).
"""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray as Array
from scipy.optimize import linprog

from greenai_nb.checks import finite, non_negative, positive, whole
from greenai_nb.theory.transport import check_metric

PerState = Float[Array, " states"]
Service = Float[Array, "rounds states"]
Metric = Float[Array, "states states"]
Path = Int[Array, " rounds"]


def work_function(service: Service, distance: Metric, start: int) -> Float[Array, "rounds+1 states"]:
    """The work functions w_0, ..., w_T of some rounds, in the unit of the costs.

    Raises ``ValueError`` unless the costs are at least zero and ``distance`` is a metric.
    """
    _check(service, distance, start)
    work = [np.asarray(distance[start], float)]
    for losses in service:
        work.append(((work[-1] + losses)[:, None] + distance).min(0))
    return np.array(work)


def work_function_algorithm(service: Service, distance: Metric, start: int) -> Path:
    """The state that the work-function algorithm moves to after it has seen each round's costs."""
    state, path = start, []
    for work, losses in zip(work_function(service, distance, start), service, strict=False):
        state = int(np.argmin(work + losses + distance[state]))
        path.append(state)
    return np.array(path)


def offline_optimum(service: Service, distance: Metric, start: int) -> Path:
    """The path of least cost in hindsight: the state in which each round is served."""
    work = work_function(service, distance, start)
    state, path = int(work[-1].argmin()), []
    for before, losses in zip(work[-2::-1], service[::-1], strict=True):
        state = int(np.argmin(before + losses + distance[:, state]))
        path.append(state)
    return np.array(path[::-1])


def path_cost(path: Path, service: Service, distance: Metric, start: int) -> float:
    """Cost of going along a path from ``start`` and serving each round in its state."""
    come_from = np.concatenate([[start], path[:-1]]).astype(int)
    return float(service[np.arange(len(path)), path].sum() + distance[come_from, path].sum())


def total_variation(
    first: Float[Array, "*shape decisions"], second: Float[Array, "*shape decisions"]
) -> Float[Array, "*shape"]:
    """Half the sum of absolute differences: what it costs to move a distribution, at distance 1."""
    return np.abs(np.asarray(first) - second).sum(-1) / 2


def movement_bound(
    distribution: PerState, losses: PerState, inverse_temperature: float
) -> Float[Array, "*shape"]:
    """How far exponential weights move at most in a round: TV(rho_t, rho_{t+1}) <= lambda E_{rho_t} l_t.

    For losses of at least zero rho_{t+1} >= rho_t exp(-lambda l_t), because its divisor is at most 1. So
    TV = sum (rho_t - rho_{t+1})_+ <= E_{rho_t} (1 - exp(-lambda l_t)), and 1 - exp(-x) <= x.
    """
    positive(inverse_temperature=inverse_temperature)
    _at_least_zero("losses", losses)
    return inverse_temperature * (np.asarray(distribution) * losses).sum(-1)


def idle_energy(
    gap: Float[Array, "*shape"], threshold: Float[Array, "*shape"], wake: float
) -> Float[Array, "*shape"]:
    """Energy of a gap for an accelerator that is switched off after ``threshold`` steps without work.

    It costs the gap if that is no longer than the threshold, and threshold + wake otherwise.
    """
    positive(wake=wake)
    _at_least_zero("gap", gap)
    _at_least_zero("threshold", threshold)
    return np.where(np.asarray(gap) <= threshold, gap, np.asarray(threshold) + wake)


def competitive_ratio(threshold: float, wake: float) -> float:
    """Energy over the least energy min(gap, wake), on a threshold's worst gap: 1 + max(B / s, s / B).

    The worst gap ends just after the accelerator was switched off. The ratio is least, 2, at s = B.
    """
    positive(threshold=threshold, wake=wake)
    return 1 + max(wake / threshold, threshold / wake)


def best_mixture(wake: int) -> tuple[Float[Array, " thresholds"], float]:
    """Chances of the thresholds 0, ..., wake - 1 with the least ratio on the worst gap, and that ratio.

    Gaps last whole steps. A linear programme: minimise r, subject to E energy <= r min(gap, wake) for
    every gap; longer ones than ``wake`` cost what that one costs.
    """
    whole(wake=wake)
    gaps, thresholds = np.arange(1, wake + 1)[:, None], np.arange(wake)
    ratios = idle_energy(gaps, thresholds, wake) / gaps
    solved = linprog(
        np.append(np.zeros(wake), 1),
        A_ub=np.hstack([ratios, -np.ones((wake, 1))]),
        b_ub=np.zeros(wake),
        A_eq=[np.append(np.ones(wake), 0)],
        b_eq=[1],
    )
    return solved.x[:-1], float(solved.fun)


def randomised_ratio(wake: int) -> float:
    """The ratio of the best mixture in closed form, 1 / (1 - (1 - 1/B)^B); it tends to e / (e - 1)."""
    whole(wake=wake)
    return 1 / (1 - (1 - 1 / wake) ** wake)


def _check(service: Service, distance: Metric, start: int) -> None:
    _at_least_zero("service", service)
    states = np.shape(service)[-1]
    check_metric(distance, states)
    if not 0 <= start < states:
        raise ValueError(f"start must be a state in 0, ..., {states - 1}, got {start!r}")


def _at_least_zero(name: str, values: Float[Array, "*shape"]) -> None:
    non_negative(**{name: float(finite(name, values).min())})
