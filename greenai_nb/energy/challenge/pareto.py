"""What is worth having when one wants much and pays little.

A choice is *dominated* where another is at most as dear and at least as good, and better in one of the
two. What nobody dominates is the Pareto front.
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray as Array


def on_front(cost: Float[Array, " choices"], value: Float[Array, " choices"]) -> Bool[Array, " choices"]:
    """Which choices no other dominates, by cost (less is better) and value (more is better).

    i is dominated by j where  cost_j <= cost_i,  value_j >= value_i,  and one of both is strict.
    Equal choices do not dominate each other. Raises ``ValueError`` unless both are vectors of one length
    without NaN.
    """
    cost, value = np.asarray(cost, float), np.asarray(value, float)
    if cost.ndim != 1 or cost.shape != value.shape:
        raise ValueError(f"one cost and one value for each choice, got {cost.shape} and {value.shape}")
    if np.isnan(cost).any() or np.isnan(value).any():
        raise ValueError("cost or value is NaN: leave out what was not obtained")
    order = np.lexsort((-value, cost))
    found, best, dearest = np.zeros(len(cost), bool), -np.inf, np.nan
    for at in order:
        if value[at] > best or (value[at] == best and cost[at] == dearest):
            found[at], best, dearest = True, value[at], cost[at]
    return found
