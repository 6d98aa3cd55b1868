"""Whether chains have mixed, and how much their draws are worth: thin wrappers around ArviZ.

The draws of a quantity are an array of chains by draws: a weight, a loss or an accuracy, recorded at
every evaluation of several chains that differ in seed and, better, in start.

Source: Vehtari et al., *Rank-normalization, folding, and localization: an improved R-hat*, Bayesian
Analysis 16 (2021); Geyer, *Practical Markov chain Monte Carlo* (1992), section 3.3.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray as Array

from greenai_nb.checks import finite

FEWEST_DRAWS = 4
TAIL = (0.05, 0.95)


def summary(draws: Mapping[str, Float[Array, "chains draws"]]) -> pd.DataFrame:
    """Mean, sd, and what several chains say about their error, one row per quantity.

    ``mcse`` is the Monte Carlo standard error of the mean, sd / sqrt(ESS); ``ess_bulk`` and ``ess_tail``
    are the numbers of independent draws that would estimate the middle, and the 5 and 95 percent
    quantiles, as well; ``r_hat`` compares halves of chains, sqrt(var+ / W) with W the variance within
    and var+ that of all draws together, and is near 1 (below 1.01) where the chains agree.

    Raises ``ValueError`` for fewer than two chains or four draws, chains of unequal length, NaN or
    infinity, and a quantity that moves in no chain. Source: Vehtari et al. (2021), sections 3 and 4.
    """
    from arviz_stats.base.array import array_stats

    if not draws:
        raise ValueError("draws names no quantity, at least one is expected")
    rows = {}
    for name, chains in draws.items():
        array = _chains(name, chains)
        if not np.ptp(array, axis=1).any():
            stuck = f"{name} moves in none of its {len(array)} chains"
            raise ValueError(f"{stuck}: take another quantity, or longer chains")
        rows[name] = {
            "mean": array.mean(),
            "sd": array.std(ddof=1),
            "mcse": float(array_stats.mcse(array)),
            "ess_bulk": float(array_stats.ess(array, method="bulk")),
            "ess_tail": float(array_stats.ess(array, method="tail", prob=TAIL)),
            "r_hat": float(array_stats.rhat(array)),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _chains(name: str, draws: Float[Array, "chains draws"]) -> Float[Array, "chains draws"]:
    """The draws in double precision, once checked to be finite chains of one length."""
    lengths = sorted({len(np.atleast_1d(chain)) for chain in draws})
    if len(lengths) > 1:
        unequal = f"{name} must be chains of one length, got lengths {lengths}"
        raise ValueError(f"{unequal}: cut all to {lengths[0]}")
    array = finite(name, draws).astype(float)
    if array.ndim != 2:
        raise ValueError(f"{name} must have two axes, chains and draws, got the shape {array.shape}")
    if len(array) < 2:
        lone = f"{name} has 1 chain, 2 or more are expected: R-hat compares chains"
        raise ValueError(f"{lone}; run another seed, from another start")
    if array.shape[1] < FEWEST_DRAWS:
        short = f"{name} has {array.shape[1]} draws a chain, {FEWEST_DRAWS} or more are expected"
        raise ValueError(f"{short}: each half of a chain needs two for a variance")
    return array
