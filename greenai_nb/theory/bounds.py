"""Right-hand sides of Theorems 1 and 3, and what follows from them.

Every bound reads: loss of the forecaster <= loss of a comparator + price of the comparator + rest.
The comparator is a distribution rho, with complexity KL(rho, pi); or a network w smeared by the prior,
with complexity pen(w) and the loss L_T(w) + sum_t omega_t(w), where omega_t is what the noise adds to
the loss of round t.

The slides leave the remainder Delta_T to the paper; the remainders here are derived, from Hoeffding's
lemma and Donsker and Varadhan's formula. The right-hand side of Theorem 2 depends on the draws: a
played game computes it (``greenai_nb.theory.game``).

Source: Cesa-Bianchi and Lugosi (2006), chapters 2 and 9; Catoni (2007).
"""

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array
from scipy.stats import binom

from greenai_nb.checks import non_negative, positive

Numbers = float | Float[Array, "*shape"]


def hoeffding_remainder(rounds: Numbers, loss_range: float, inverse_temperature: float) -> Numbers:
    """lambda M^2 T / 8: the price of drawing one decision when losses spread over a range M."""
    positive(loss_range=loss_range, inverse_temperature=inverse_temperature)
    return inverse_temperature * loss_range**2 * rounds / 8


def gibbs_bound(
    comparator_loss: Numbers,
    complexity: Numbers,
    rounds: Numbers,
    loss_range: float,
    inverse_temperature: float,
) -> Numbers:
    """Theorem 1: the Gibbs forecaster loses at most L + complexity / lambda + lambda M^2 T / 8."""
    rest = hoeffding_remainder(rounds, loss_range, inverse_temperature)
    return comparator_loss + complexity / inverse_temperature + rest


def mixture_bound(comparator_loss: Numbers, complexity: Numbers) -> Numbers:
    """Theorem 3: the mixture's log-loss is at most L + complexity, without a remainder."""
    return comparator_loss + complexity


def tuned_inverse_temperature(complexity: float, loss_range: float, rounds: int) -> float:
    """The lambda that minimises complexity / lambda + lambda M^2 T / 8: sqrt(8 P / (M^2 T)).

    At this lambda the two terms are equal and sum to M sqrt(T P / 2). P has to be known in advance.
    """
    positive(complexity=complexity, loss_range=loss_range, rounds=rounds)
    return math.sqrt(8 * complexity / rounds) / loss_range


def two_weight_regret(rounds: int, inverse_temperature: float) -> float:
    """Regret of the Gibbs forecaster on two equally likely decisions, against its worst opponent.

    Losses are 0 and 1, and the opponent charges the 1 to the decision with more weight. Rounds
    alternate between (1/2, 1/2) and (sigma(lambda), 1 - sigma(lambda)), with logistic sigma; the best
    decision loses half of an even number of rounds. Regret is T / 4 tanh(lambda / 2), linear in
    T, and lambda M^2 T / 8 in the limit of small lambda.
    """
    non_negative(rounds=rounds)
    positive(inverse_temperature=inverse_temperature)
    behind = rounds // 2
    heavier = 1 / (1 + math.exp(-inverse_temperature))
    return (rounds - behind) / 2 + behind * heavier - behind


def coin_regret_beyond_price(rounds: int, binary_weights: int) -> float:
    """What any randomized forecaster loses beyond inf_w { L_T(w) + p log 2 } on coin flips.

    The 2^p decisions err independently with probability 1/2 on each round. Drawing decisions
    before the coins fall costs T / 2 on average, while the best decision loses
    E min_w L_T(w) = sum_{k >= 0} P(Binomial(T, 1/2) > k)^(2^p). With p log 2 = T KL(q, 1/2) and
    q = 1 / (1 + e) it grows like T log cosh(1/2) = 0.1201 T. So a bound with coefficient 1 before
    the penalty, for every p, needs a remainder of at least 0.1201 T; Theorem 1 has 0.125 T.
    """
    positive(rounds=rounds)
    non_negative(binary_weights=binary_weights)
    with np.errstate(divide="ignore", over="ignore"):
        log_hazard = np.log(-np.log1p(-binom.cdf(np.arange(rounds), rounds, 0.5)))
        best = np.exp(-np.exp(binary_weights * math.log(2) + log_hazard)).sum()
    return float(rounds / 2 - best - binary_weights * math.log(2))
