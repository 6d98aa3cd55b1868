"""Accept-reject at tens of thousands of proposals a second, for networks with one layer of filters.

The chain aims at the Gibbs law of the theorem,

    rho(w)  ~  exp(-lambda l(w)) pi(w) ,        l(w) = mean cross-entropy of the training images,

with the sparsity prior pi, and for filters of signs with the uniform law. It draws a filter, or a
hidden unit and the weights out of it, and stays there for a block of moves. What is drawn does not
depend on the weights, so every block leaves the law as it is.

Weights and probabilities are in single precision and made anew every ``REFRESH_EVERY`` proposals; the
loss is tracked in double precision. Every decision comes back as a ``MOVE`` record.

Source: the slides, *Accept-Reject algorithm*; Metropolis et al. (1953); Hastings (1970).
"""

import copy
import time
import warnings
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy import ndarray as Array
from torch import nn

from greenai_nb.data.datasets import Dataset
from greenai_nb.learn import filter_moves
from greenai_nb.learn.chain_checks import check_labels
from greenai_nb.learn.filter_moves import HIDDEN, MOVE, OUTPUT
from greenai_nb.learn.filter_state import Chain, chain_at, layers, refresh, write
from greenai_nb.learn.fit import Fit, accuracy
from greenai_nb.theory.arguments import not_negative, positive

REFRESH_EVERY = 64_000
BIAS_SCALE = 1.0


@dataclass(frozen=True)
class Settings:
    """The law that the chain aims at, and how it proposes.

    ``temper`` is lambda per training image: 1 is the posterior of the theorem with lambda = N,
    more is colder. ``scale`` is the prior's tau for hidden weights, ``scale_output`` for output
    weights; biases have scale 1. ``step_*`` is the middle size of a proposal in each layer. A share
    ``output_share`` of the blocks goes to the output layer; a share ``redraw_share`` of the moves
    redraws the weight from its prior, which is what brings weights back to zero. A block has ``block``
    moves.
    """

    temper: float = 30.0
    scale: float = 1e-3
    scale_output: float = 1e-3
    step_hidden: float = 0.05
    step_output: float = 0.1
    output_share: float = 0.1
    redraw_share: float = 0.1
    block: int = 32

    def __post_init__(self) -> None:
        not_negative(temper=self.temper, redraw_share=self.redraw_share, output_share=self.output_share)
        positive(scale=self.scale, scale_output=self.scale_output, block=self.block)
        positive(step_hidden=self.step_hidden, step_output=self.step_output)


def sweep(chain: Chain, blocks: int, settings: Settings, generator: np.random.Generator) -> Array:
    """Move the chain by blocks of proposals; gives a ``MOVE`` record of each proposal."""
    moves = np.zeros(blocks * settings.block, MOVE)
    scales = np.full(chain.filters.shape[1], float(settings.scale))
    scales_out = np.full(len(chain.outgoing), float(settings.scale_output))
    scales[-1], scales_out[chain.hidden_units :] = BIAS_SCALE, BIAS_SCALE
    filter_moves.sweep(
        chain.filters, scales, chain.binary, chain.outgoing, scales_out, chain.pixels, chain.places,
        chain.weight_law, chain.ends, chain.activations, chain.mass, chain.inverse,
        float(settings.temper), float(settings.step_hidden), float(settings.step_output),
        float(settings.output_share), float(settings.redraw_share), settings.block, generator, moves,
    )  # fmt: skip
    return moves


def fit_filter_chain(
    net: nn.Module,
    data: Dataset,
    *,
    proposals: int,
    settings: Settings | None = None,
    seed: int = 0,
    looks: int = 10,
) -> Fit:
    """Train a copy of a network with one layer of filters by accept-reject, without any gradient.

    The chain starts at the weights of ``net`` and runs for ``proposals`` moves, rounded up to whole
    blocks; it looks at itself ``looks`` times for the trace, and returns its last state. A seed gives
    the same chain, however often one looks. Chains may run in threads, side by side on several
    cores; ``seconds`` are those of the own thread. An interrupt returns the fit so far, with a
    warning. Raises ``TypeError`` for a network of another kind, ``ValueError`` for labels that are no
    class, a start without a finite loss, and more looks than blocks.
    """
    settings = settings or Settings()
    blocks = -(-proposals // settings.block)
    if blocks < looks:
        least = looks * settings.block
        raise ValueError(f"{looks} looks need {least} proposals at least, got {proposals}")
    labels = data.train.labels
    check_labels(labels, layers(net)[1].out_features)
    net = copy.deepcopy(net).eval()
    clock = time.thread_time()
    chain, generator = chain_at(net, data.train.images, labels), np.random.default_rng(seed)
    every, counts, loss = -(-REFRESH_EVERY // settings.block), _Counts(chain), refresh(chain)
    if not np.isfinite(loss):
        raise ValueError(f"the chain must start at weights with a finite loss, got {loss}")
    rows, interrupted = [], False

    def look() -> None:
        write(chain, net)
        seen = {"step": counts.blocks * settings.block, "loss": loss / len(labels)}
        seen |= {"accuracy": accuracy(net, data.validation), "seconds": time.thread_time() - clock}
        rows.append(seen | counts.row())

    try:
        for until in np.rint(blocks * np.arange(1, looks + 1) / looks).astype(int):
            while counts.blocks < until:
                some = min(every - counts.blocks % every, until - counts.blocks)
                moves = sweep(chain, some, settings, generator)
                counts.add(moves, some)
                loss += moves["loss_change"][moves["accepted"]].sum()
                if counts.blocks % every == 0:
                    loss = refresh(chain)
            look()
    except KeyboardInterrupt:
        loss = refresh(chain)
        look()
        interrupted = True
        warnings.warn(f"interrupted after {rows[-1]['step']} proposals; they are kept", stacklevel=2)
    law = {"trainer": "accept-reject", "proposals": blocks * settings.block, "seed": seed}
    return Fit(net, pd.DataFrame(rows), law | asdict(settings) | {"interrupted": interrupted})


class _Counts:
    """What the records of blocks add up to: in all, and of decisions since the last look."""

    def __init__(self, chain: Chain) -> None:
        self.blocks = self.operations = 0
        self.visited = [np.zeros_like(chain.filters, bool), np.zeros_like(chain.outgoing, bool)]
        self._start_anew()

    def _start_anew(self) -> None:
        self.early, self.tried, self.accepted = 0, np.zeros(2, int), np.zeros(2, int)

    def add(self, moves: Array, blocks: int) -> None:
        self.blocks += blocks
        self.operations += int(moves["operations"].sum())
        self.early += int(np.isnan(moves["loss_change"]).sum())
        for layer in (HIDDEN, OUTPUT):
            of_layer = moves[moves["layer"] == layer]
            self.tried[layer] += len(of_layer)
            self.accepted[layer] += of_layer["accepted"].sum()
            self.visited[layer][of_layer["unit"], of_layer["column"]] = True

    def row(self) -> dict[str, float]:
        share = self.accepted / np.maximum(self.tried, 1)
        seen, all_weights = (sum(f(part) for part in self.visited) for f in (np.sum, np.size))
        early = self.early / max(self.tried.sum(), 1)
        self._start_anew()
        return {
            "acceptance_hidden": share[HIDDEN],
            "acceptance_output": share[OUTPUT],
            "refused_early": early,
            "visited": seen / all_weights,
            "operations": self.operations,
        }
