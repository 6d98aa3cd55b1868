"""How fast the compute of training runs doubles, and how much that depends on which runs count.

The data: training compute of 48 models from 1950 to 2024, a selection from Epoch AI's *Notable AI
Models*. A table of notable models is itself a selection.

Source: Amodei and Hernandez, *AI and Compute* (2018); Sevilla et al., *Compute trends across three
eras of machine learning* (2022).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray as Array
from pandas import DataFrame

from greenai_nb.checks import one_of, whole
from greenai_nb.energy.carbon import read_table
from greenai_nb.intervals import bootstrap_interval

DAYS_PER_YEAR = 365.2425
MIN_DATES = 3


@dataclass(frozen=True)
class Trend:
    """A line through log2(compute) against time: doublings per year, with the ends of its interval.

    ``middle_flop`` is the line's compute in FLOP at ``middle_year``, the mean date of its points.
    """

    doublings_per_year: float
    low: float
    high: float
    count: int
    middle_year: float
    middle_flop: float

    @property
    def months(self) -> float:
        """Doubling time in months; infinite where compute does not grow."""
        return doubling_months(self.doublings_per_year)

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the 95 % interval of the doubling time, in months; the upper may be infinite."""
        return doubling_months(self.high), doubling_months(self.low)

    def at(self, years: Float[Array, "n"]) -> Float[Array, "n"]:
        """Compute in FLOP on the line at decimal years."""
        return self.middle_flop * 2 ** (self.doublings_per_year * (np.asarray(years) - self.middle_year))

    def __str__(self) -> str:
        return "{:.1f} months [{:.1f}, {:.1f}], n = {}".format(self.months, *self.interval, self.count)


def doubling_months(doublings_per_year: float) -> float:
    """Months a doubling takes; infinite without growth."""
    return 12 / doublings_per_year if doublings_per_year > 0 else math.inf


def load_points() -> DataFrame:
    """The table of training runs in order of date, with ``year`` as a decimal number."""
    points = read_table("training_compute_points")
    points["date"] = pd.to_datetime(points["date"])
    days = (points["date"] - pd.Timestamp("2000-01-01")).dt.days
    points.insert(2, "year", 2000 + days / DAYS_PER_YEAR)
    return points.sort_values(["year", "training_compute_flop"], ignore_index=True)


def record_setters(points: DataFrame) -> DataFrame:
    """The models that took more compute than every model before them; on one day, the largest."""
    order = points.sort_values(["year", "training_compute_flop"], ascending=[True, False])
    flop = order["training_compute_flop"].astype(float)
    return order[flop > flop.cummax().shift(fill_value=-math.inf)]


RULES: dict[str, Callable[[DataFrame], DataFrame]] = {
    "all models": lambda points: points,
    "record setters": record_setters,
    # Models that learn to play games make their training data by playing.
    "no games": lambda points: points[points["domain"] != "Games"],
}


def select(points: DataFrame, rule: str, start: float = -math.inf, end: float = math.inf) -> DataFrame:
    """The models from ``start`` to before ``end``, in decimal years, that a rule includes.

    The window applies first: a record setter exceeds the earlier models of the window. Raises
    ``ValueError`` for an unknown rule and an empty window.
    """
    one_of(RULES, rule=rule)
    if not start < end:
        raise ValueError(f"the window ends at {end:g}, before it starts at {start:g}")
    return RULES[rule](points[(points["year"] >= start) & (points["year"] < end)])


def fit_trend(points: DataFrame, resamples: int = 2000, seed: int = 0) -> Trend:
    """Least squares of log2(compute) on time, with a bootstrap interval of ``resamples`` draws.

    slope = sum (t - mean t)(log2 c - mean log2 c) / sum (t - mean t)^2, in doublings per year. Draws of
    models that all have one date are left out. Raises ``ValueError`` for fewer than three
    dates, and compute that is not positive. Source: Efron and Tibshirani (1993), section 9.5.
    """
    whole(resamples=resamples)
    years = points["year"].to_numpy(float)
    flop = points["training_compute_flop"].to_numpy(float)
    if (dates := len(np.unique(years))) < MIN_DATES:
        few = f"{len(points)} models at {dates} dates are too few, expected {MIN_DATES} dates or more"
        raise ValueError(f"{few}: widen the window or let more models count")
    if not (np.isfinite(flop) & (flop > 0)).all():
        raise ValueError("training compute must be positive and finite to have a logarithm")
    doublings = np.log2(flop)
    count, generator = len(years), np.random.default_rng(seed)
    low, high = bootstrap_interval(
        lambda drawn: _slopes(years[drawn], doublings[drawn]), count, resamples, generator
    )
    slope, middle = float(_slopes(years, doublings)), float(2 ** doublings.mean())
    return Trend(slope, low, high, count, float(years.mean()), middle)


def _slopes(x: Float[Array, "*draws n"], y: Float[Array, "*draws n"]) -> Float[Array, "*draws"]:
    """Slope of the least squares line along the last axis; NaN where x is constant."""
    centred = x - x.mean(-1, keepdims=True)
    spread = (centred**2).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.ptp(x, axis=-1) > 0, (centred * y).sum(-1) / spread, np.nan)
