"""What one move of one weight does to a network with one hidden layer, without a forward pass.

A hidden weight on pixel j moves the activation of its unit in the images where that pixel is not
blank, and every logit by a multiple of that; an output weight moves the logits of its class:

    z' = z + (relu(a + d x_j) - relu(a)) v ,         a the activation, v the unit's output weights.

So the change of the loss is a rank-1 update of cached logits.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from greenai_nb.nets.architectures import mlp_weights

HIDDEN, OUTPUT = 0, 1


@dataclass(frozen=True)
class Move:
    """A proposed value for one weight; ``row`` and ``column`` index its layer's matrix."""

    layer: int
    row: int
    column: int
    value: float
    change: float
    log_prior_ratio: float


@dataclass
class State:
    """The weights and what is cached of the network on the training images.

    ``pixel_rows[j]`` are the images in which pixel j is not blank, the only ones that a weight on
    pixel j can change, and ``pixel_values[j]`` its values there.
    """

    hidden: Float[Tensor, "hidden pixels"]
    output: Float[Tensor, "classes hidden"]
    images: Float[Tensor, "images pixels"]
    labels: Int64[Tensor, " images"]
    pixel_rows: list[Int64[Tensor, " rows"]]
    pixel_values: list[Float[Tensor, " rows"]]
    pixel_law: Float[np.ndarray, " pixels"]
    activations: Float[Tensor, "hidden images"]
    logits: Float[Tensor, "images classes"]
    losses: Float[Tensor, " images"]


@dataclass(frozen=True)
class Patch:
    """What an accepted move writes into the caches."""

    rows: Int64[Tensor, " rows"] | slice
    activations: Float[Tensor, " rows"] | None
    logits: Float[Tensor, "rows classes"]
    losses: Float[Tensor, " rows"]


def init(net: nn.Sequential, images: Float[Tensor, "images pixels"], labels: Tensor) -> State:
    """Cache the network ``mlp`` on the training images; its weights are changed in place."""
    rows = [images[:, pixel].nonzero().squeeze(1) for pixel in range(images.shape[1])]
    spread = images.std(0).double().numpy()
    empty = torch.empty(0)
    hidden, output = mlp_weights(net)
    state = State(
        hidden=hidden,
        output=output,
        images=images,
        labels=labels,
        pixel_rows=rows,
        pixel_values=[images[where, pixel] for pixel, where in enumerate(rows)],
        pixel_law=np.cumsum(spread / spread.sum()),
        activations=empty,
        logits=empty,
        losses=empty,
    )
    refresh(state)
    return state


def refresh(state: State) -> None:
    """Compute the caches from the weights, to undo the rounding of many updates."""
    state.activations = state.hidden @ state.images.T
    state.logits = (state.output @ state.activations.relu()).T.contiguous()
    state.losses = cross_entropy(state.logits, state.labels)


def cross_entropy(
    logits: Float[Tensor, "images classes"], labels: Int64[Tensor, " images"]
) -> Float[Tensor, " images"]:
    """Cross-entropy of each image, log sum_c exp(z_c) - z_y: torch's own is four times slower here."""
    return logits.logsumexp(1) - logits.gather(1, labels[:, None]).squeeze(1)


def loss_change(state: State, move: Move) -> tuple[float, Patch]:
    """Change of the summed cross-entropy under a move, by a rank-1 update of the cached logits."""
    if move.layer == OUTPUT:
        logits = state.logits.clone()
        logits[:, move.row] += move.change * state.activations[move.column].relu()
        losses = cross_entropy(logits, state.labels)
        return _total(losses - state.losses), Patch(slice(None), None, logits, losses)
    rows = state.pixel_rows[move.column]
    before = state.activations[move.row].index_select(0, rows)
    after = before + move.change * state.pixel_values[move.column]
    moved = (after.relu() - before.relu())[:, None] * state.output[:, move.row]
    logits = state.logits.index_select(0, rows) + moved
    losses = cross_entropy(logits, state.labels.index_select(0, rows))
    return _total(losses - state.losses.index_select(0, rows)), Patch(rows, after, logits, losses)


def loss_change_by_forward(state: State, move: Move) -> tuple[float, Patch]:
    """The same change by a forward pass of the whole network: the plain way, for comparison."""
    hidden, output = state.hidden.clone(), state.output.clone()
    (output if move.layer == OUTPUT else hidden)[move.row, move.column] = move.value
    activations = hidden @ state.images.T
    logits = (output @ activations.relu()).T.contiguous()
    losses = cross_entropy(logits, state.labels)
    changed = None if move.layer == OUTPUT else activations[move.row]
    return _total(losses - state.losses), Patch(slice(None), changed, logits, losses)


def _total(differences: Float[Tensor, " images"]) -> float:
    """Sum in double precision: many small changes of both signs nearly cancel."""
    return float(differences.sum(dtype=torch.float64))


def commit(state: State, move: Move, patch: Patch) -> None:
    """Write an accepted move into the weights and the caches."""
    (state.output if move.layer == OUTPUT else state.hidden)[move.row, move.column] = move.value
    state.logits[patch.rows] = patch.logits
    state.losses[patch.rows] = patch.losses
    if patch.activations is not None:
        state.activations[move.row, patch.rows] = patch.activations


def multiply_accumulates(state: State, move: Move) -> int:
    """Multiply-accumulates of one rank-1 update."""
    if move.layer == OUTPUT:
        return len(state.labels)
    return len(state.pixel_rows[move.column]) * (1 + state.output.shape[0])
