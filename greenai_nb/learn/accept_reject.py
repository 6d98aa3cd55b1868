"""Training any network by accept-reject: the plain reference, which decides by forward passes."""

import copy
import itertools
import math
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from torch import Tensor, nn

from greenai_nb.data.datasets import Dataset
from greenai_nb.learn.cached_forward import multiply_accumulates_after, summed_loss
from greenai_nb.learn.fit import Fit, accuracy
from greenai_nb.learn.metropolis import Decision, Move, steps
from greenai_nb.learn.operations import multiply_accumulates
from greenai_nb.theory.arguments import positive
from greenai_nb.theory.prior import Prior


def fit_accept_reject(
    net: nn.Module,
    data: Dataset,
    *,
    moves: Sequence[Move],
    priors: Mapping[str, Prior],
    temper: float,
    proposals: int,
    seed: int = 0,
    looks: int = 10,
    batch_size: int | None = None,
) -> Fit:
    """Train a copy of a network by accept-reject, without any gradient.

    The chain of ``steps`` makes ``proposals`` proposals from the network as given, and leaves its last
    state. The trace has a row for each of ``looks`` looks, with the ``acceptance`` of the proposals
    since the look before, over all and for each parameter and kind of proposal (NaN where there was
    none). An interrupt ends the training early, with a warning, and ``law["interrupted"]`` says so.
    Raises ``ValueError`` as ``steps``, and for more looks than proposals.
    """
    positive(looks=looks)
    if proposals < looks:
        raise ValueError(f"{looks} looks need at least as many proposals, got {proposals}")
    net, images, labels = copy.deepcopy(net), data.train.scaled(), data.train.labels
    chain = steps(
        net, images, labels, moves=moves, priors=priors, temper=temper,
        generator=np.random.default_rng(seed), batch_size=batch_size,
    )  # fmt: skip
    counts, rows = _Counts(net, images, moves, batch_size), list[dict[str, float]]()
    start = time.thread_time()

    def look() -> None:
        loss = summed_loss(net, images, labels) / len(labels)
        row = {"step": counts.decided, "loss": loss, "accuracy": accuracy(net, data.validation)}
        rows.append(row | counts.row() | {"seconds": time.thread_time() - start})

    look_at = {round(proposals * number / looks) for number in range(1, looks + 1)}
    interrupted = False
    try:
        for decision in itertools.islice(chain, proposals):
            counts.add(decision)
            if counts.decided in look_at:
                look()
    except KeyboardInterrupt:
        interrupted, done = True, counts.decided
        warnings.warn(f"interrupted after {done} of {proposals} proposals", stacklevel=2)
        if not rows or rows[-1]["step"] < done:
            look()
    law = {"trainer": "accept-reject", "proposals": proposals, "seed": seed, "temper": temper}
    law |= {"moves": tuple(moves), "priors": dict(priors), "batch_size": batch_size}
    return Fit(net, pd.DataFrame(rows), law | {"interrupted": interrupted})


def _label(move: Move) -> str:
    return f"{move.selection.layer} by {type(move.proposal).__name__}"


class _Counts:
    """What the decisions add up to: in all, and by layer and move since the last look."""

    def __init__(
        self, net: nn.Module, images: Tensor, moves: Sequence[Move], batch_size: int | None
    ) -> None:
        self.decided = self.operations = 0
        self.labels = list(dict.fromkeys(map(_label, moves)))
        names = [move.selection.layer for move in moves]
        self.visited = {name: np.zeros(net.get_parameter(name).numel(), bool) for name in names}
        before = multiply_accumulates(net, images[:1]) if batch_size else 0
        after = multiply_accumulates_after(net, images[:1])
        self.costs = {name: (batch_size or len(images)) * (before + after[name]) for name in names}
        self._start_anew()

    def _start_anew(self) -> None:
        self.tried, self.accepted = Counter[str](), Counter[str]()

    def add(self, decision: Decision) -> None:
        self.decided += 1
        self.tried[_label(decision.move)] += 1
        self.accepted[_label(decision.move)] += decision.accepted
        self.visited[decision.name][decision.index] = True
        self.operations += self.costs[decision.name]

    def row(self) -> dict[str, float]:
        share = {
            f"acceptance {label}": self.accepted[label] / self.tried[label]
            if self.tried[label]
            else math.nan
            for label in self.labels
        }
        accepted = self.accepted.total() / max(self.tried.total(), 1)
        self._start_anew()
        return {
            "acceptance": accepted,
            **share,
            "visited": float(np.concatenate([*self.visited.values()]).mean()),
            "operations": self.operations,
        }
