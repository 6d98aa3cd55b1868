"""A chain over the weights of ``mlp`` that decides tens of thousands of proposals a second.

It draws a unit and stays with it for a block of moves, either of the weights into the unit or of those
out of it. Which unit, pixel and class are drawn without a look at the weights, so every block leaves the
Gibbs law of ``greenai_nb.learn.accept_reject`` as it is,

    rho(w)  ~  exp(-lambda l(w)) pi(w) .

Weights and probabilities are in single precision and made anew every ``BLOCKS_AT_ONCE`` blocks; the loss
is tracked in double precision. Every decision comes back as a ``MOVE`` record.
"""

import time
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from numpy import ndarray as Array
from torch import nn

from greenai_nb.data.datasets import Dataset
from greenai_nb.learn import unit_moves
from greenai_nb.learn.accept_reject import Settings, started
from greenai_nb.learn.fit import Fit, accuracy
from greenai_nb.learn.softmax_updates import LEAST_MASS
from greenai_nb.learn.unit_moves import BLOCK, HIDDEN, MOVE, OUTPUT, WHITE
from greenai_nb.nets.architectures import mlp_weights

BLOCKS_AT_ONCE = 2000
IMAGES_AT_ONCE = 8192


@dataclass(frozen=True)
class Chain:
    """Weights, and what is cached of the network on the training images; arrays change in place.

    ``outgoing[h]`` are the output weights of unit h. ``mass`` and ``inverse`` hold the probabilities
    as ``softmax_updates`` reads them.
    """

    hidden: Float32[Array, "hidden pixels"]
    outgoing: Float32[Array, "hidden classes"]
    pixels: UInt8[Array, "pixels images"]
    labels: Int64[Array, " images"]
    pixel_law: Float64[Array, " pixels"]
    activations: Float32[Array, "hidden images"]
    mass: Float32[Array, "classes images"]
    inverse: Float32[Array, " images"]


def chain_at(
    hidden: Float32[Array, "hidden pixels"],
    output: Float32[Array, "classes hidden"],
    images: UInt8[Array, "images pixels"],
    labels: Int64[Array, " images"],
) -> Chain:
    """A chain at these weights, which are copied. Pixels are drawn in proportion to their spread."""
    spread = images.std(0, dtype=np.float64)
    law = np.cumsum(spread / spread.sum())
    law[law.argmax() :] = 1.0
    count = len(labels)
    chain = Chain(
        np.array(hidden, np.float32),
        np.array(output.T, np.float32, order="C"),
        np.array(images.T, order="C"),
        labels,
        law,
        np.empty((len(hidden), count), np.float32),
        np.empty((len(output), count), np.float32),
        np.empty(count, np.float32),
    )
    refresh(chain)
    return chain


def refresh(chain: Chain) -> float:
    """Compute the caches from the weights, to undo the rounding of many moves; gives the summed loss."""
    for first in range(0, len(chain.labels), IMAGES_AT_ONCE):
        some = slice(first, first + IMAGES_AT_ONCE)
        chain.activations[:, some] = chain.hidden @ (chain.pixels[:, some] / WHITE)
    logits = chain.outgoing.T @ np.maximum(chain.activations, 0)
    logits -= logits.max(0)
    chain.mass[:] = np.exp(logits)
    total = chain.mass.sum(0)
    chain.inverse[:] = 1 / total
    np.maximum(chain.mass, LEAST_MASS, out=chain.mass)
    right = logits[chain.labels, np.arange(len(chain.labels))]
    return float((np.log(total) - right).sum(dtype=np.float64))


def sweep(chain: Chain, blocks: int, settings: Settings, generator: np.random.Generator) -> Array:
    """Move the chain by blocks of ``BLOCK`` proposals; gives a ``MOVE`` record of each."""
    moves = np.zeros(blocks * BLOCK, MOVE)
    unit_moves.sweep(
        chain.hidden, chain.outgoing, chain.pixels, chain.labels, chain.pixel_law, chain.activations,
        chain.mass, chain.inverse, settings.temper, settings.scale, settings.scale_output,
        settings.step_hidden, settings.step_output, settings.output_share, settings.redraw_share,
        generator, moves,
    )  # fmt: skip
    return moves


@torch.inference_mode()
def fit_unit_chain(
    data: Dataset,
    *,
    hidden: int = 128,
    proposals: int,
    settings: Settings | None = None,
    seed: int = 0,
    start: nn.Sequential | None = None,
    looks: int = 10,
) -> Fit:
    """Train the one-hidden-layer network ``mlp`` by accept-reject, without any gradient.

    The chain runs for ``proposals`` moves, rounded up to whole blocks, from ``start`` (a copy is
    trained) or from the sparse start, looks at itself ``looks`` times for the trace, and returns its
    last state. A seed gives the same chain, however often one looks.
    """
    blocks = -(-proposals // BLOCK)
    if blocks < looks:
        raise ValueError(f"{looks} looks need {looks * BLOCK} proposals at least, got {proposals}")
    settings = settings or Settings()
    images, labels = data.train.images.flatten(1).numpy(), data.train.labels.numpy()
    classes = len(data.class_names)
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must lie in [0, {classes - 1}], got {labels.min()} to {labels.max()}")
    net = started(data, hidden, start)
    weights = mlp_weights(net)
    chain = chain_at(weights[0].numpy(), weights[1].numpy(), images, labels)
    generator, clock, loss = np.random.default_rng(seed), time.process_time(), refresh(chain)
    counts, rows = _Counts(chain), list[dict[str, float]]()
    for until in np.rint(blocks * np.arange(1, looks + 1) / looks).astype(int):
        while counts.blocks < until:
            fresh = BLOCKS_AT_ONCE - counts.blocks % BLOCKS_AT_ONCE
            moves = sweep(chain, min(fresh, until - counts.blocks), settings, generator)
            counts.add(moves)
            loss += moves["loss_change"][moves["accepted"]].sum()
            if counts.blocks % BLOCKS_AT_ONCE == 0:
                loss = refresh(chain)
        for weight, found in zip(weights, (chain.hidden, chain.outgoing.T), strict=True):
            weight.copy_(torch.from_numpy(found))
        look = {
            "step": until * BLOCK,
            "loss": loss / len(labels),
            "accuracy": accuracy(net, data.validation),
            "seconds": time.process_time() - clock,
        }
        rows.append(look | counts.row())
    net.eval()
    law = {"trainer": "accept-reject", "hidden": hidden, "proposals": blocks * BLOCK, "seed": seed}
    return Fit(net, pd.DataFrame(rows), law | asdict(settings))


class _Counts:
    """What the records of all blocks so far add up to."""

    def __init__(self, chain: Chain) -> None:
        self.blocks = self.operations = self.early = 0
        self.tried, self.accepted = np.zeros(2, int), np.zeros(2, int)
        self.visited = [np.zeros_like(chain.hidden, bool), np.zeros_like(chain.outgoing, bool)]

    def add(self, moves: Array) -> None:
        self.blocks += len(moves) // BLOCK
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
        return {
            "acceptance_hidden": share[HIDDEN],
            "acceptance_output": share[OUTPUT],
            "refused_early": self.early / self.tried.sum(),
            "visited": seen / all_weights,
            "operations": self.operations,
        }
