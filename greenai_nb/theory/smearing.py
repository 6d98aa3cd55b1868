"""What it costs to smear a network by the prior: omega_t(w) = E_{s ~ pi} l_t(u + s) - l_t(u).

A single network has no mass under the prior, so the bounds compare with the prior moved to it. Each
row below bounds omega by a number Omega under one assumption on how the loss depends on the real
weights; the remainder of the bound then contains T Omega, and a smaller tau makes it small.

The rows need a loss that is continuous in the weights. In an XNOR network this holds for the layers
after the last sign alone; below a sign there is ``margin`` or omega itself.

Source: derived for the sparsity prior, E|s| = tau / 2 and E s^2 = tau^2.
"""

import math
from collections.abc import Callable

from jaxtyping import Float
from numpy import ndarray as Array
from scipy.optimize import brentq

from greenai_nb.checks import finite, non_negative, positive
from greenai_nb.theory.prior import HeavyTail

SEARCHED_LOG_SCALES = (-200.0, 50.0)


def lipschitz_l1(constant: float, weights: int, scale: float) -> float:
    """A loss that is L-Lipschitz in the l1 norm: L p tau / 2."""
    positive(constant=constant, weights=weights, scale=scale)
    return constant * weights * scale / 2


def lipschitz_l2(constant: float, weights: int, scale: float) -> float:
    """A loss that is L-Lipschitz in the l2 norm: L tau sqrt(p)."""
    positive(constant=constant, weights=weights, scale=scale)
    return constant * scale * math.sqrt(weights)


def smooth_l2(constant: float, weights: int, scale: float) -> float:
    """A loss whose gradient is beta-Lipschitz in the l2 norm: beta p tau^2 / 2.

    The term of first order vanishes, since the prior is symmetric.
    """
    positive(constant=constant, weights=weights, scale=scale)
    return constant * weights * scale**2 / 2


def softmax_layer(classes: int, input_norm: float, scale: float) -> float:
    """A linear layer of K classes under soft-max and cross-entropy: K tau^2 ||x||^2 / 4.

    ``input_norm`` is ||x||_2; it comes from the Hessian form Var_p(z) <= ||z||^2 / 2.
    """
    positive(classes=classes, input_norm=input_norm, scale=scale)
    return classes * scale**2 * input_norm**2 / 4


def logistic(units: int, scale: float) -> float:
    """Two classes, logit sum_k a_k h_k of H units with h_k = -1 or +1: H tau^2 / 8."""
    positive(units=units, scale=scale)
    return units * scale**2 / 8


def clipped_logistic(units: int, scale: float) -> float:
    """The same with a clipped logit, whose kink leaves only the Lipschitz row: H tau / 2."""
    positive(units=units, scale=scale)
    return units * scale / 2


def flip_probability(margin: Float[Array, "*shape"] | float, scale: float) -> Float[Array, "*shape"]:
    """Probability that the noise of one weight pushes a unit across its sign.

    (1 + gamma / tau)^-3 / 2, where ``margin`` gamma > 0 is how far the weight may move before the
    sign of its unit turns.
    """
    margins = finite("margin", margin)
    non_negative(margin=float(margins.min()))
    return HeavyTail(scale).tail(margins) / 2


def margin(margins: Float[Array, " units"], loss_range: float, scale: float) -> float:
    """A loss that changes only where a unit flips: M sum_i P(flip_i), for weights below a sign."""
    positive(loss_range=loss_range)
    return float(loss_range * flip_probability(margins, scale).sum())


def scale_for(omega: Callable[[float], float], rounds: int, total: float = 0.5) -> float:
    """The tau at which smearing costs ``total`` nats over the game, T Omega(tau) = total.

    ``omega`` is one of the rows as a function of the scale. Raises ``ValueError`` where no scale
    does it.
    """
    positive(rounds=rounds, total=total)

    def excess(log_scale: float) -> float:
        return rounds * omega(math.exp(log_scale)) - total

    if not excess(SEARCHED_LOG_SCALES[0]) < 0 < excess(SEARCHED_LOG_SCALES[1]):
        raise ValueError(f"total must be a cost that smearing can reach over the game, got {total!r}")
    return math.exp(brentq(excess, *SEARCHED_LOG_SCALES, xtol=1e-13))
