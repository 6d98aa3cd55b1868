"""Training without gradients: propose one weight, accept or reject it.

The chain aims at the Gibbs law of the theorem,

    rho(w)  ~  exp(-lambda l(w)) pi(w) ,        l(w) = mean cross-entropy of the training images,

with the sparsity prior pi. A step proposes w' and accepts it with probability min(1, rho_j), in
logarithms: accept iff  log U < -lambda (l(w') - l(w)) + log pi(w') - log pi(w).

Only one weight changes, so only one hidden unit changes, and every logit by a multiple of it: the
loss change is a rank-1 update of cached logits instead of a forward pass.

Source: the slides, *Accept-Reject algorithm*; Metropolis et al. (1953); Hastings (1970).
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from greenai_nb.data.datasets import Dataset
from greenai_nb.learn.fit import Fit, accuracy
from greenai_nb.nets.architectures import mlp
from greenai_nb.theory import prior

START_OUTPUT_WEIGHT = 0.5
STEP_DECADES = 1.0
REFRESH_EVERY = 2000
HIDDEN, OUTPUT = 0, 1


@dataclass(frozen=True)
class Settings:
    """The law that the chain aims at, and how it proposes.

    ``temper`` is lambda per training image: 1 is the posterior of the theorem with lambda = N,
    more is colder. ``scale`` is the prior's tau. ``step_*`` is the middle size of a proposal, one
    for each layer. A share ``output_share`` of the moves goes to the output layer; a share
    ``redraw_share`` redraws the weight from its prior, which is what brings weights back to zero.
    """

    temper: float = 30.0
    scale: float = 1e-3
    step_hidden: float = 0.05
    step_output: float = 0.1
    output_share: float = 0.1
    redraw_share: float = 0.1


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


LossChange = Callable[[State, Move], tuple[float, Patch]]


def weights(net: nn.Sequential) -> tuple[Tensor, Tensor]:
    """The two weight matrices of ``mlp``, hidden and output, sharing memory with the network."""
    hidden, output = (layer for layer in net if isinstance(layer, nn.Linear))
    return hidden.weight.data, output.weight.data


def start_sparse(net: nn.Sequential) -> None:
    """Set the weights of ``mlp`` to a sparse start, in place.

    Hidden weights are zero; hidden unit h feeds class h mod 10 alone, with the signs of every
    second ten units turned. A draw from the prior, as on the slides, has the same limit law, but a
    network of near-zero weights passes no signal on and takes far longer to leave.
    """
    hidden, output = weights(net)
    hidden.zero_()
    output.zero_()
    units = torch.arange(output.shape[1])
    sign = torch.where(units // len(output) % 2 == 0, 1.0, -1.0)
    output[units % len(output), units] = START_OUTPUT_WEIGHT * sign


def init(net: nn.Sequential, images: Float[Tensor, "images pixels"], labels: Tensor) -> State:
    """Cache the network ``mlp`` on the training images; its weights are changed in place."""
    rows = [images[:, pixel].nonzero().squeeze(1) for pixel in range(images.shape[1])]
    spread = images.std(0).double().numpy()
    empty = torch.empty(0)
    hidden, output = weights(net)
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


def propose(state: State, settings: Settings, generator: np.random.Generator) -> Move:
    """Draw a move: which weight, and its new value.

    Hidden weights are chosen in proportion to the spread of their pixel, which does not depend on
    the weights. The step is normal with a size spread over two decades, hence symmetric; a redraw
    comes from the prior itself, whose ratio then cancels against the prior's.
    """
    to_output = generator.random() < settings.output_share
    unit = int(generator.integers(state.hidden.shape[0]))
    if to_output:
        layer, row, column = OUTPUT, int(generator.integers(state.output.shape[0])), unit
        step, weight = settings.step_output, state.output[row, unit]
    else:
        pixel = int(np.searchsorted(state.pixel_law, generator.random()))
        layer, row, column = HIDDEN, unit, pixel
        step, weight = settings.step_hidden, state.hidden[unit, pixel]
    old = float(weight)
    if generator.random() < settings.redraw_share:
        new = np.float32(prior.sample((), settings.scale, generator))
        return Move(layer, row, column, float(new), float(new) - old, 0.0)
    size = step * 10 ** generator.uniform(-STEP_DECADES, STEP_DECADES)
    new = np.float32(old + size * generator.standard_normal())
    ratio = prior.log_density(float(new), settings.scale) - prior.log_density(old, settings.scale)
    return Move(layer, row, column, float(new), float(new) - old, float(ratio))


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


@torch.inference_mode()
def fit_accept_reject(
    data: Dataset,
    *,
    hidden: int = 128,
    proposals: int,
    settings: Settings | None = None,
    seed: int = 0,
    start: nn.Sequential | None = None,
    looks: int = 10,
    change: LossChange = loss_change,
) -> Fit:
    """Train the one-hidden-layer network ``mlp`` by accept-reject, without any gradient.

    The chain runs for ``proposals`` steps from ``start`` (a copy is trained) or from the sparse
    start, looks at itself ``looks`` times for the trace, and returns its last state. ``change`` is
    how the loss change is found; every way gives the same decisions.
    """
    if proposals < looks:
        raise ValueError(f"{looks} looks need at least as many proposals, got {proposals}")
    settings = settings or Settings()
    images = data.train.flat()
    net = mlp(images.shape[1], hidden, len(data.class_names))
    if start is None:
        start_sparse(net)
    else:
        net.load_state_dict(start.state_dict())
    generator = np.random.default_rng(seed)
    state = init(net, images, data.train.labels)
    tried, accepted = np.zeros(2, int), np.zeros(2, int)
    visited = [torch.zeros_like(state.hidden), torch.zeros_like(state.output)]
    operations, rows = 0, []
    clock = time.process_time()
    look_at = {round(proposals * look / looks) for look in range(1, looks + 1)}
    for step in range(1, proposals + 1):
        move = propose(state, settings, generator)
        threshold = np.log(generator.random())
        difference, patch = change(state, move)
        tried[move.layer] += 1
        visited[move.layer][move.row, move.column] = 1
        operations += multiply_accumulates(state, move)
        if threshold < -settings.temper * difference + move.log_prior_ratio:
            accepted[move.layer] += 1
            commit(state, move, patch)
        if step % REFRESH_EVERY == 0:
            refresh(state)
        if step in look_at:
            share = accepted / np.maximum(tried, 1)
            rows.append(
                {
                    "step": step,
                    "loss": float(state.losses.mean()),
                    "accuracy": accuracy(net, data.validation),
                    "acceptance_hidden": share[HIDDEN],
                    "acceptance_output": share[OUTPUT],
                    "visited": torch.cat([part.flatten() for part in visited]).mean().item(),
                    "seconds": time.process_time() - clock,
                    "operations": operations,
                }
            )
    net.eval()
    law = {
        "trainer": "accept-reject",
        "hidden": hidden,
        "proposals": proposals,
        "seed": seed,
        **asdict(settings),
    }
    return Fit(net, pd.DataFrame(rows), law)
