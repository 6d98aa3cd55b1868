"""The loop around a chain: move, refresh, count and evaluate, and keep what was done if interrupted."""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy import ndarray as Array
from numpy.typing import ArrayLike
from torch import nn

from greenai_nb.data.datasets import Dataset
from greenai_nb.learn.accept_reject import check_labels
from greenai_nb.learn.fast import state
from greenai_nb.learn.fast.kernels import HIDDEN, OUTPUT
from greenai_nb.learn.fit import MOVES, Fit, accuracy
from greenai_nb.nets.weights import copied

LAYERS = {"hidden": HIDDEN, "output": OUTPUT}


class Counts:
    """Totals over proposals, turned into rows of ``Fit.moves`` at each evaluation.

    ``proposal`` names what is proposed in each layer; ``operations`` are multiply-accumulates.
    """

    def __init__(self, chain: Any, proposal: Mapping[int, str]) -> None:
        self.operations, self.proposal = 0, proposal
        hidden, output = np.zeros_like(chain.filters, bool), np.zeros_like(chain.outgoing, bool)
        self.visited = {HIDDEN: hidden, OUTPUT: output}
        self.weights = {HIDDEN: hidden[:, :-1], OUTPUT: output[: chain.hidden_units]}  # no biases
        self.rows: list[tuple[object, ...]] = []
        self._start_anew()

    def _start_anew(self) -> None:
        self.tried, self.accepted, self.early = (np.zeros(2, int) for _ in range(3))

    def add(self, layer: int, at: Any, accepted: ArrayLike, refused_early: ArrayLike) -> None:
        """Count proposals to a layer: the weights ``at`` which they were, and their fate."""
        self.tried[layer] += np.size(accepted)
        self.accepted[layer] += np.sum(accepted)
        self.early[layer] += np.sum(refused_early)
        self.visited[layer][at] = True

    def add_moves(self, moves: Array) -> float:
        """Count ``MOVE`` records; returns the change of the summed loss by those that were accepted."""
        self.operations += int(moves["operations"].sum())
        for layer in self.visited:
            some = moves[moves["layer"] == layer]
            early = np.isnan(some["loss_change"])
            self.add(layer, (some["unit"], some["column"]), some["accepted"], early)
        return float(moves["loss_change"][moves["accepted"]].sum())

    def close(self, step: int) -> None:
        """Add a row for each layer, and count anew."""
        for name, layer in LAYERS.items():
            if self.weights[layer].size:
                counts = (int(each[layer]) for each in (self.tried, self.accepted, self.early))
                visited = float(self.weights[layer].mean())
                self.rows.append((step, name, self.proposal[layer], *counts, visited))
        self._start_anew()


class Mover(Protocol):
    """What moves a chain: ``advance`` makes blocks of proposals, and returns the change of the loss."""

    counts: Counts

    @property
    def between_refreshes(self) -> int: ...
    def advance(self, blocks: int) -> float: ...


def run(
    net: nn.Module,
    data: Dataset,
    trainer: str,
    settings: Any,
    make: Callable[[Any, Any, np.random.Generator], Mover],
    *,
    proposals: int,
    seed: int,
    evaluations: int,
    block: int = 1,
    layout: Any = state,
) -> Fit:
    """Train a copy of a network by the mover that ``make`` gives, in blocks of ``block`` proposals.

    ``trainer`` names the algorithm in the fit; ``settings`` is the data class of its settings. A network
    becomes a chain of arrays, and back, by the functions of ``layout``, a module like ``state``.
    """
    asked = {"trainer": trainer, "proposals": proposals, "seed": seed}
    asked |= {"evaluations": evaluations, **asdict(settings)}
    blocks, done = -(-proposals // block), 0
    if blocks < evaluations:
        least = evaluations * block
        raise ValueError(f"{evaluations} evaluations need {least} proposals at least, got {proposals}")
    labels, net = data.train.labels, copied(net).eval()
    check_labels(labels, layout.output_layer(net).out_features)
    clock = time.thread_time()
    chain, rows, interrupted = layout.chain_at(net, data.train.images, labels), [], False
    mover, loss = make(settings, chain, np.random.default_rng(seed)), layout.refresh(chain)
    every, counts = -(-mover.between_refreshes // block), mover.counts
    if not np.isfinite(loss):
        raise ValueError(f"the chain must start at weights with a finite loss, got {loss}")

    def evaluate() -> None:
        layout.write(chain, net)
        row = {"step": done * block, "loss": loss / len(labels)}
        row |= {"accuracy": accuracy(net, data.validation), "seconds": time.thread_time() - clock}
        rows.append(row | {"operations": float(counts.operations)})
        counts.close(done * block)

    try:
        for until in np.rint(blocks * np.arange(1, evaluations + 1) / evaluations).astype(int):
            while done < until:
                some = int(min(every - done % every, until - done))
                loss += mover.advance(some)
                done += some
                if done % every == 0 or done == blocks:
                    loss = layout.refresh(chain)
            evaluate()
    except KeyboardInterrupt:
        loss = layout.refresh(chain)
        evaluate()
        interrupted = True
        warnings.warn(f"interrupted after {done * block} proposals; they are kept", stacklevel=4)
    return Fit(net, pd.DataFrame(rows), asked, pd.DataFrame(counts.rows, columns=MOVES), interrupted)
