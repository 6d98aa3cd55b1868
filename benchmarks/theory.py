"""How fast the theory runs: a forecaster on the toy, and the penalty of ten million weights."""

import math
import statistics
import time

import numpy as np
from _report import Row, report

from greenai_nb.theory import game
from greenai_nb.theory.penalty import penalty
from greenai_nb.theory.prior import HeavyTail
from greenai_nb.theory.space import nodes
from greenai_nb.theory.toy import DECADES, PANELS_PER_DECADE, Toy, toy

TURNS, LAMBDA, SCALE = 300, 0.3, 0.05
WEIGHTS, ROUNDS = 10_000_000, 5
GAME_GOAL_S, PENALTY_GOAL_S = 1.0, 0.2


def forecast(small: Toy, outcomes: np.ndarray) -> float:
    """Cumulative loss of the Gibbs forecaster, by the package."""
    opponent = game.fixed(outcomes)
    return float(game.play(small.losses, small.space.log_mass, opponent, TURNS, LAMBDA, 4.0).gibbs[-1])


def forecast_from_scratch(small: Toy, outcomes: np.ndarray) -> float:
    """The same, with each distribution computed anew from the counts of outcomes so far."""
    ours, counts = 0.0, np.zeros(len(small.losses))
    for outcome in outcomes:
        log_law = small.space.log_mass - LAMBDA * (counts @ small.losses)
        law = np.exp(log_law - log_law.max())
        ours += law @ small.losses[outcome] / law.sum()
        counts[outcome] += 1
    return float(ours)


def penalty_by_formula(weights: np.ndarray) -> float:
    """The slide's formula, word by word."""
    active = weights[weights != 0].astype(float)
    return 4 * len(active) * math.log(1 + np.abs(active).sum() / (SCALE * len(active)))


def cpu_seconds(call, *arguments) -> float:
    """CPU time of one call."""
    start = time.process_time()
    call(*arguments)
    return time.process_time() - start


def main() -> None:
    """Time the game and the penalty, each in both ways, in turn."""
    generator = np.random.default_rng(0)
    # Both signs of each scale: the same game as with positive ones alone, at four times the decisions.
    both_signs = nodes(HeavyTail(SCALE), DECADES, PANELS_PER_DECADE)
    small, outcomes = (
        toy(SCALE, one_scale=both_signs),
        generator.choice(4, TURNS, p=[0.1, 0.2, 0.3, 0.4]),
    )
    weights = generator.standard_normal(WEIGHTS).astype(np.float32)
    weights[generator.random(WEIGHTS) < 0.5] = 0
    assert math.isclose(forecast(small, outcomes), forecast_from_scratch(small, outcomes), rel_tol=1e-9)
    assert math.isclose(penalty([weights], SCALE), penalty_by_formula(weights), rel_tol=1e-6)
    played, scratch, priced, formula = [], [], [], []
    for _ in range(ROUNDS):
        played.append(cpu_seconds(forecast, small, outcomes))
        scratch.append(cpu_seconds(forecast_from_scratch, small, outcomes))
        priced.append(cpu_seconds(penalty, [weights], SCALE))
        formula.append(cpu_seconds(penalty_by_formula, weights))
    game_s, price_s = statistics.median(played), statistics.median(priced)
    size = f"{TURNS} rounds x {len(small.price):,} decisions"
    rows = [
        Row(f"a game of {size}", game_s, "s", f"under {GAME_GOAL_S:g}", game_s < GAME_GOAL_S),
        Row("laws from scratch, same game", statistics.median(scratch), "s", "recorded", True),
        Row(
            f"penalty of {WEIGHTS:,} weights",
            price_s,
            "s",
            f"under {PENALTY_GOAL_S:g}",
            price_s < PENALTY_GOAL_S,
        ),
        Row("formula word by word, same weights", statistics.median(formula), "s", "recorded", True),
    ]
    report(__file__, rows)


if __name__ == "__main__":
    main()
