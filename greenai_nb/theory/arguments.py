"""What every formula asks of its arguments, said by name before anything is computed."""

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array
from numpy.typing import ArrayLike

ROUNDING = 1e-6


def positive(**values: float) -> None:
    """Raise ``ValueError`` unless every value is a positive finite number."""
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a number in (0, inf), got {value!r}")


def not_negative(**values: float) -> None:
    """Raise ``ValueError`` unless every value is a finite number, zero or more."""
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a number in [0, inf), got {value!r}")


def finite(name: str, values: ArrayLike) -> Float[Array, "*shape"]:
    """The values as an array of floats; ``ValueError`` where it is empty, NaN or infinite."""
    array = np.asarray(values)
    array = array if array.dtype.kind == "f" else array.astype(float)
    if not array.size:
        raise ValueError(f"{name} is empty, at least one number is expected")
    if not np.isfinite(array.sum(dtype=float)):
        bad = array[~np.isfinite(array)]
        raise ValueError(f"{name} must be finite numbers in (-inf, inf), got {[*bad[:3].tolist()]}")
    return array


def probabilities(name: str, log_mass: ArrayLike) -> Float[Array, " decisions"]:
    """The log masses as an array; ``ValueError`` unless their masses sum to one."""
    array = np.asarray(log_mass, float)
    total = float(np.exp(array).sum())
    if not abs(total - 1) <= ROUNDING:
        raise ValueError(f"{name} must be logs of masses in [0, 1] that sum to 1, they sum to {total!r}")
    return array


def spread(name: str, losses: Float[Array, "outcomes decisions"], loss_range: float) -> None:
    """Raise ``ValueError`` where the losses of one outcome spread over more than ``loss_range``."""
    widest = float(np.ptp(losses, axis=-1).max())
    if widest > loss_range * (1 + ROUNDING):
        raise ValueError(
            f"{name} of one outcome must lie in an interval of length {loss_range!r}, "
            f"they spread over {widest!r}"
        )
