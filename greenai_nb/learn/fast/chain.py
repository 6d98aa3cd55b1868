"""Accept-reject at tens of thousands of proposals a second, for networks with one hidden layer.

The chain's target is the Gibbs distribution of the theorem,

    rho(w)  ~  exp(-lambda l(w)) pi(w) ,        l(w) = mean cross-entropy of the training images,

with the sparsity prior pi, and the uniform distribution for filters of signs. It draws a filter, or a
hidden unit and the weights out of it, and stays there for a block of moves. This draw does not
depend on the weights, so every block leaves the target invariant.

Weights and probabilities are in single precision, and caches are recomputed every ``REFRESH_EVERY``
proposals; the loss is tracked in double precision. Every decision comes back as a ``MOVE`` record.

Source: the slides, *Accept-Reject algorithm*; Metropolis et al. (1953); Hastings (1970).
"""

import time
import warnings
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy import ndarray as Array
from torch import nn

from greenai_nb.checks import non_negative, positive
from greenai_nb.data.datasets import Dataset
from greenai_nb.learn.accept_reject import check_labels
from greenai_nb.learn.fast import kernels
from greenai_nb.learn.fast.kernels import HIDDEN, MOVE, OUTPUT, Steps
from greenai_nb.learn.fast.state import Chain, chain_at, layers, refresh, write
from greenai_nb.learn.fit import MOVES, Fit, accuracy
from greenai_nb.learn.store import remembered
from greenai_nb.nets.weights import copied

REFRESH_EVERY = 64_000
BIAS_SCALE = 1.0
LAYERS = {"hidden": HIDDEN, "output": OUTPUT}


@dataclass(frozen=True)
class ChainSettings:
    """The target of a chain, and how it proposes.

    ``inverse_temperature`` is lambda per training image: 1 is the posterior of the theorem with
    lambda = N, more is colder. ``scale`` is the prior's tau for hidden weights, ``scale_output`` for
    output weights; biases have scale 1. ``step_*`` is the middle size of a proposal in each layer. A
    block, of ``block`` moves, goes to the output layer with probability ``output_prob``; a move redraws
    the weight from its prior with probability ``redraw_prob``, which brings weights back to zero.
    """

    inverse_temperature: float = 30.0
    scale: float = 1e-3
    scale_output: float = 1e-3
    step_hidden: float = 0.05
    step_output: float = 0.1
    output_prob: float = 0.1
    redraw_prob: float = 0.1
    block: int = 32

    def __post_init__(self) -> None:
        non_negative(inverse_temperature=self.inverse_temperature)
        non_negative(redraw_prob=self.redraw_prob, output_prob=self.output_prob)
        positive(scale=self.scale, scale_output=self.scale_output, block=self.block)
        positive(step_hidden=self.step_hidden, step_output=self.step_output)


def sweep(chain: Chain, blocks: int, settings: ChainSettings, generator: np.random.Generator) -> Array:
    """Move the chain by blocks of proposals; returns a ``MOVE`` record of each proposal."""
    moves = np.zeros(blocks * settings.block, MOVE)
    scales = np.full(chain.filters.shape[1], float(settings.scale))
    scales_out = np.full(len(chain.outgoing), float(settings.scale_output))
    scales[-1], scales_out[chain.hidden_units :] = BIAS_SCALE, BIAS_SCALE
    sizes = settings.inverse_temperature, settings.step_hidden, settings.step_output
    chances = settings.output_prob, settings.redraw_prob
    steps = Steps(scales, scales_out, *map(float, sizes + chances))
    kernels.sweep(chain, steps, settings.block, generator, moves)
    return moves


@remembered
def fit_accept_reject(
    net: nn.Module,
    data: Dataset,
    *,
    proposals: int,
    settings: ChainSettings | None = None,
    seed: int = 0,
    evaluations: int = 10,
) -> Fit:
    """Train a copy of a network with one hidden layer by accept-reject, without any gradient.

    The chain starts at the weights of ``net`` and runs for ``proposals`` moves, rounded up to whole
    blocks. It is evaluated ``evaluations`` times for the trace, and the last state is returned. A seed
    gives the same chain, however often it is evaluated. Chains may run in threads, side by side on
    several cores; ``seconds`` are those of its own thread. An interrupt returns the fit so far, with a
    warning. Raises ``TypeError`` for a network of another kind, ``ValueError`` for labels that are not
    classes, a start without a finite loss, and more evaluations than blocks, and what ``copied`` raises.
    """
    settings = settings or ChainSettings()
    blocks = -(-proposals // settings.block)
    if blocks < evaluations:
        least = evaluations * settings.block
        raise ValueError(f"{evaluations} evaluations need {least} proposals at least, got {proposals}")
    labels = data.train.labels
    net = copied(net).eval()
    check_labels(labels, layers(net)[1].out_features)
    clock = time.thread_time()
    chain, generator = chain_at(net, data.train.images, labels), np.random.default_rng(seed)
    every, counts, loss = -(-REFRESH_EVERY // settings.block), _Counts(chain), refresh(chain)
    if not np.isfinite(loss):
        raise ValueError(f"the chain must start at weights with a finite loss, got {loss}")
    rows, interrupted = [], False

    def evaluate() -> None:
        write(chain, net)
        step = counts.blocks * settings.block
        seen = {"step": step, "loss": loss / len(labels), "accuracy": accuracy(net, data.validation)}
        rows.append(
            seen | {"seconds": time.thread_time() - clock, "operations": float(counts.operations)}
        )
        counts.close(step)

    try:
        for until in np.rint(blocks * np.arange(1, evaluations + 1) / evaluations).astype(int):
            while counts.blocks < until:
                some = min(every - counts.blocks % every, until - counts.blocks)
                moves = sweep(chain, some, settings, generator)
                counts.add(moves, some)
                loss += moves["loss_change"][moves["accepted"]].sum()
                if counts.blocks % every == 0:
                    loss = refresh(chain)
            evaluate()
    except KeyboardInterrupt:
        loss = refresh(chain)
        evaluate()
        interrupted = True
        warnings.warn(f"interrupted after {rows[-1]['step']} proposals; they are kept", stacklevel=3)
    asked = {"trainer": "accept-reject", "proposals": proposals, "seed": seed}
    asked |= {"evaluations": evaluations, **asdict(settings)}
    return Fit(net, pd.DataFrame(rows), asked, pd.DataFrame(counts.rows, columns=MOVES), interrupted)


class _Counts:
    """Totals over the records of blocks, turned into rows of ``Fit.moves`` at each evaluation."""

    def __init__(self, chain: Chain) -> None:
        self.blocks = self.operations = 0
        hidden, output = np.zeros_like(chain.filters, bool), np.zeros_like(chain.outgoing, bool)
        self.visited = {HIDDEN: hidden, OUTPUT: output}
        self.weights = {HIDDEN: hidden[:, :-1], OUTPUT: output[: chain.hidden_units]}  # no biases
        self.proposal = {HIDDEN: "sign flip" if chain.binary else "step or redraw"}
        self.proposal[OUTPUT] = "step or redraw"
        self.rows: list[tuple[object, ...]] = []
        self._start_anew()

    def _start_anew(self) -> None:
        self.tried, self.accepted, self.early = (np.zeros(2, int) for _ in range(3))

    def add(self, moves: Array, blocks: int) -> None:
        self.blocks += blocks
        self.operations += int(moves["operations"].sum())
        for layer in LAYERS.values():
            of_layer = moves[moves["layer"] == layer]
            self.tried[layer] += len(of_layer)
            self.accepted[layer] += of_layer["accepted"].sum()
            self.early[layer] += np.isnan(of_layer["loss_change"]).sum()
            self.visited[layer][of_layer["unit"], of_layer["column"]] = True

    def close(self, step: int) -> None:
        for name, layer in LAYERS.items():
            counts = (int(each[layer]) for each in (self.tried, self.accepted, self.early))
            visited = float(self.weights[layer].mean())
            self.rows.append((step, name, self.proposal[layer], *counts, visited))
        self._start_anew()
