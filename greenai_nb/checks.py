"""Checks of arguments, whose errors say what was given, what was expected and what to do."""

import difflib
import math
from collections.abc import Iterable
from numbers import Integral

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array
from numpy.typing import ArrayLike

ROUNDING = 1e-6
MAX_LISTED = 40  # names in a sentence
PROVENANCES = ("measured", "estimated", "counted", "derived", "quoted", "replayed")


class UsageError(ValueError):
    """A request that cannot be carried out as it stands; the command line exits with 2."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests the nearest known name, or lists all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"Did you mean {near[0]!r}?"
    if not known:
        return "There are none."
    more = f" and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else ""
    return f"There are: {', '.join(known[:MAX_LISTED])}{more}."


def one_of(choices: Iterable[str], **values: str) -> None:
    """Raise ``ValueError`` unless every value is one of the choices."""
    choices = list(choices)
    for name, value in values.items():
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def positive(**values: float) -> None:
    """Raise ``ValueError`` unless every value is a positive finite number."""
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a number in (0, inf), got {value!r}")


def non_negative(**values: float) -> None:
    """Raise ``ValueError`` unless every value is a finite number, zero or more."""
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a number in [0, inf), got {value!r}")


def whole(**values: int) -> None:
    """Raise ``ValueError`` unless every value is a whole number, 1 or more."""
    for name, value in values.items():
        if not (isinstance(value, Integral) and value >= 1):
            raise ValueError(f"{name} must be a whole number, 1 or more, got {value!r}")


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
        raise ValueError(f"{name} must be logs of masses in [0, 1] that sum to 1; they sum to {total!r}")
    return array


def spread(name: str, losses: Float[Array, "outcomes decisions"], loss_range: float) -> None:
    """Raise ``ValueError`` where the losses of one outcome spread over more than ``loss_range``."""
    widest = float(np.ptp(losses, axis=-1).max())
    if widest > loss_range * (1 + ROUNDING):
        raise ValueError(f"{name} of one outcome may spread over {loss_range!r}, got {widest!r}")
