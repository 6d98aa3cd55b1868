"""Training without gradients: propose one weight, accept or reject it.

The chain aims at the Gibbs law of the theorem,

    rho(w)  ~  exp(-lambda l(w)) pi(w) ,        l(w) = mean cross-entropy of the training images,

with the sparsity prior pi. A step proposes w' and accepts it with probability min(1, rho_j), in
logarithms: accept iff  log U < -lambda (l(w') - l(w)) + log pi(w') - log pi(w).

Source: the slides, *Accept-Reject algorithm*; Metropolis et al. (1953); Hastings (1970).
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from greenai_nb.data.datasets import Dataset
from greenai_nb.learn import rank_one
from greenai_nb.learn.fit import Fit, accuracy
from greenai_nb.learn.rank_one import HIDDEN, OUTPUT, Move, Patch, State
from greenai_nb.nets.architectures import mlp, mlp_weights
from greenai_nb.theory.arguments import not_negative, positive
from greenai_nb.theory.prior import HeavyTail

START_OUTPUT_WEIGHT = 0.5
STEP_DECADES = 1.0
REFRESH_EVERY = 2000

LossChange = Callable[[State, Move], tuple[float, Patch]]


@dataclass(frozen=True)
class Settings:
    """The law that the chain aims at, and how it proposes.

    ``temper`` is lambda per training image: 1 is the posterior of the theorem with lambda = N,
    more is colder. ``scale`` is the prior's tau for hidden weights, ``scale_output`` for output
    weights; ``step_*`` is the middle size of a proposal in each layer. A share ``output_share`` of the
    moves goes to the output layer; a share ``redraw_share`` redraws the weight from its prior, which
    is what brings weights back to zero.
    """

    temper: float = 30.0
    scale: float = 1e-3
    scale_output: float = 1e-3
    step_hidden: float = 0.05
    step_output: float = 0.1
    output_share: float = 0.1
    redraw_share: float = 0.1

    def __post_init__(self) -> None:
        not_negative(temper=self.temper, redraw_share=self.redraw_share, output_share=self.output_share)
        positive(scale=self.scale, scale_output=self.scale_output)
        positive(step_hidden=self.step_hidden, step_output=self.step_output)


def start_sparse(net: nn.Sequential) -> None:
    """Set the weights of ``mlp`` to a sparse start, in place.

    Hidden weights are zero; hidden unit h feeds class h mod 10 alone, with the signs of every
    second ten units turned. A draw from the prior, as on the slides, has the same limit law, but a
    network of near-zero weights passes no signal on and takes far longer to leave.
    """
    hidden, output = mlp_weights(net)
    hidden.zero_()
    output.zero_()
    units = torch.arange(output.shape[1])
    sign = torch.where(units // len(output) % 2 == 0, 1.0, -1.0)
    output[units % len(output), units] = START_OUTPUT_WEIGHT * sign


def started(data: Dataset, hidden: int, start: nn.Sequential | None) -> nn.Sequential:
    """The network ``mlp`` for a data set: a copy of ``start``, or the sparse start."""
    net = mlp(data.train.flat().shape[1], hidden, len(data.class_names))
    if start is None:
        start_sparse(net)
    else:
        net.load_state_dict(start.state_dict())
    return net


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
        step, scale, weight = settings.step_output, settings.scale_output, state.output[row, unit]
    else:
        pixel = int(np.searchsorted(state.pixel_law, generator.random()))
        layer, row, column = HIDDEN, unit, pixel
        step, scale, weight = settings.step_hidden, settings.scale, state.hidden[unit, pixel]
    old, prior = float(weight), HeavyTail(scale)
    if generator.random() < settings.redraw_share:
        new = np.float32(prior.sample((), generator))
        return Move(layer, row, column, float(new), float(new) - old, 0.0)
    size = step * 10 ** generator.uniform(-STEP_DECADES, STEP_DECADES)
    new = np.float32(old + size * generator.standard_normal())
    ratio = prior.log_density(float(new)) - prior.log_density(old)
    return Move(layer, row, column, float(new), float(new) - old, float(ratio))


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
    change: LossChange = rank_one.loss_change,
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
    net = started(data, hidden, start)
    generator = np.random.default_rng(seed)
    state = rank_one.init(net, images, data.train.labels)
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
        operations += rank_one.multiply_accumulates(state, move)
        if threshold < -settings.temper * difference + move.log_prior_ratio:
            accepted[move.layer] += 1
            rank_one.commit(state, move, patch)
        if step % REFRESH_EVERY == 0:
            rank_one.refresh(state)
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
