"""The Pareto front: the choices that no other dominates in cost and value."""

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray as Array


def on_front(cost: Float[Array, " choices"], value: Float[Array, " choices"]) -> Bool[Array, " choices"]:
    """Which choices no other dominates, by cost (less is better) and value (more is better).

    i is dominated by j where  cost_j <= cost_i,  value_j >= value_i,  and one of them is strict.
    Equal choices do not dominate each other. Raises ``ValueError`` unless both are vectors of one length
    without NaN.
    """
    cost, value = np.asarray(cost, float), np.asarray(value, float)
    if cost.ndim != 1 or cost.shape != value.shape:
        raise ValueError(f"one cost and one value for each choice, got {cost.shape} and {value.shape}")
    if np.isnan(cost).any() or np.isnan(value).any():
        raise ValueError("cost or value is NaN: leave out what was not obtained")
    order = np.lexsort((-value, cost))
    front, best_value, its_cost = np.zeros(len(cost), bool), -np.inf, np.nan
    for i in order:
        if value[i] > best_value or (value[i] == best_value and cost[i] == its_cost):
            front[i], best_value, its_cost = True, value[i], cost[i]
    return front
