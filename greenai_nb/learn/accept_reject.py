"""The accept-reject algorithm of the slides (Metropolis-Hastings) on the weights of any network.

| the pseudo-code of the slides                                            | here                |
|--------------------------------------------------------------------------|---------------------|
| init: lambda > 0, sparsity prior pi                                      | arguments of        |
| 1. draw w_1 from pi                                                      | ``steps``, the net  |
| 2. repeat for k = 1, ..., K                                              | ``steps``           |
|    generate a proposal w' around w_k                                     | ``Move``            |
|    rho_j = exp(-lambda l(w', B_j)) pi(w') / exp(-lambda l(w, B_j)) pi(w) | ``log_ratio``       |
|    w_{k+1} = w' with probability rho_j, w_k otherwise                    | ``Decision``        |

The slide's rho_j may exceed one, and is clipped: min(1, rho_j). A proposal that is not symmetric adds
Hastings' factor q(w | w') / q(w' | w). The chain is then reversible for the Gibbs distribution

    rho(w)  ~  exp(-inverse_temperature L(w)) pi(w) ,      L(w) = summed cross-entropy of the images.

This is the plain reference, for any network; ``greenai_nb.learn.fast`` makes the same decisions for
networks with one hidden layer, some thousand times faster.

Source: the slides, *Accept-Reject algorithm*; Metropolis et al. (1953); Hastings (1970).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray as Array
from torch import nn

from greenai_nb.checks import finite, non_negative
from greenai_nb.learn.cached_forward import CachedForward, Images, Labels, summed_loss
from greenai_nb.learn.moves import Asymmetric, Move, Parameters, Proposal, Selection, Values, named
from greenai_nb.nets.weights import check_shapes, device_of
from greenai_nb.theory.prior import Prior

SAME_LOSS = 1e-6


@dataclass(frozen=True)
class LogRatio:
    """The four parts, in nats, of log rho = data + prior + backward - forward.

    data = -inverse_temperature (L(w') - L(w)), prior = log pi(w') - log pi(w), backward = log q(w | w')
    and forward = log q(w' | w), both zero if the proposal is symmetric.
    Source: Hastings (1970), section 2.
    """

    data: float
    prior: float
    backward: float
    forward: float

    @property
    def total(self) -> float:
        """Log rho in nats; NaN where the loss overflowed, in which case no log U is below it."""
        return self.data + self.prior + self.backward - self.forward


@dataclass(frozen=True)
class Decision:
    """A proposal and what became of it: it is accepted iff log U < log rho.

    ``index`` are positions in the flattened parameter ``name``, ``old`` and ``new`` the values there.
    """

    move: Move
    name: str
    index: Int64[Array, " selected"]
    old: Values
    new: Values
    log_ratio: LogRatio
    log_uniform: float
    accepted: bool


def log_ratio(
    proposal: Proposal,
    prior: Prior | None,
    old: Values,
    new: Values,
    loss_change: float,
    inverse_temperature: float,
) -> LogRatio:
    """The parts of log rho for a change of the selected weights; the prior of all others cancels.

    ``loss_change`` is L(w') - L(w) in nats. Without a prior the ratio of priors is one.
    """
    data = -inverse_temperature * loss_change if inverse_temperature else 0.0
    change = float((prior.log_density(new) - prior.log_density(old)).sum()) if prior else 0.0
    if proposal.symmetric:
        return LogRatio(data, change, 0.0, 0.0)
    log_q = cast(Asymmetric, proposal).log_density
    return LogRatio(data, change, log_q(old, new), log_q(new, old))


def steps(
    net: nn.Module,
    images: Images,
    labels: Labels,
    *,
    moves: Sequence[Move],
    priors: Mapping[str, Prior],
    inverse_temperature: float,
    generator: np.random.Generator,
    batch_size: int | None = None,
) -> Iterator[Decision]:
    """Run the chain on the network in place, without end, and yield every decision.

    ``inverse_temperature`` is lambda per image: 1 is the posterior, more is colder. ``priors`` maps
    parameters to the prior of each of their weights; the others have a flat one. The network is put in
    eval mode, and must not be changed from outside while the chain runs. It runs on its own device.

    With ``batch_size`` the change of the loss is that on a fresh batch for every proposal, times
    images / batch_size. Such a chain is biased, and effectively hotter: noise in log rho accepts what a
    smaller lambda would. The penalty of Ceperley and Dewing (1999) is not applied.

    Raises ``ValueError``, before the first proposal, for a number out of its range, an unknown
    parameter, images that are not finite, labels that are not classes, a start without a finite loss or
    prior density, and a network that gives two losses for the same weights.
    """
    check_shapes(net)
    weights = {name: weight.detach() for name, weight in net.named_parameters()}
    check_target(weights, [move.selection for move in moves], priors, inverse_temperature)
    images, labels = images.to(device := device_of(net)), labels.to(device)
    check_data(net.eval(), images, labels, batch_size)
    forward = CachedForward(net, images[:batch_size], labels[:batch_size])
    check_repeats(forward, {move.selection.parameter for move in moves})
    frequency = np.array([move.frequency for move in moves])
    times = len(labels) / (batch_size or len(labels))

    def walk() -> Iterator[Decision]:
        while True:
            move = moves[generator.choice(len(moves), p=frequency / frequency.sum())]
            name, index = move.selection.draw(weights, generator)
            weight, where = weights[name], torch.from_numpy(index).to(device)
            saved = weight.take(where)
            old = saved.double().numpy(force=True)
            proposed = torch.from_numpy(move.proposal.draw(old, generator)).to(weight)
            new = proposed.double().numpy(force=True)
            log_uniform, accepted = math.log(1 - generator.random()), False
            if batch_size:
                batch = torch.from_numpy(generator.choice(len(labels), batch_size, replace=False))
                forward.load(images[batch], labels[batch])
            try:
                weight.put_(where, proposed)
                change = times * (forward.loss_after(name) - forward.loss)
                ratio = log_ratio(move.proposal, priors.get(name), old, new, change, inverse_temperature)
                accepted = log_uniform < ratio.total
            finally:
                if not accepted:
                    weight.put_(where, saved)
            if accepted:
                forward.commit()
            yield Decision(move, name, index, old, new, ratio, log_uniform, accepted)

    return walk()


def check_target(
    weights: Parameters,
    selections: Sequence[Selection],
    priors: Mapping[str, Prior],
    inverse_temperature: float,
) -> None:
    """Raise ``ValueError`` unless there is a move, and a start with prior density pi(w_1) > 0."""
    non_negative(inverse_temperature=inverse_temperature)
    if not selections:
        raise ValueError("moves is empty, at least one Move is expected")
    for selection in selections:
        selection.check(weights)
    for name, prior in priors.items():
        density = prior.log_density(named(name, weights).flatten().double().numpy(force=True))
        if not np.isfinite(density).all():
            raise ValueError(f"{name} starts where its prior {prior} has no density: start inside it")


def check_data(net: nn.Module, images: Images, labels: Labels, batch_size: int | None) -> None:
    """Raise ``ValueError`` unless images are finite, labels are classes and L(w_1) is a number."""
    if batch_size is not None and not 1 <= batch_size <= len(labels):
        raise ValueError(f"batch_size must lie in [1, {len(labels)}] images, got {batch_size!r}")
    finite("images", images.numpy(force=True))
    with torch.inference_mode():
        check_labels(labels, net(images[:1]).shape[1])
    loss = summed_loss(net, images, labels)
    if not math.isfinite(loss):
        raise ValueError(f"the loss at the start is {loss}, a finite one is expected: check the weights")


def check_labels(labels: Labels, classes: int, name: str = "labels") -> None:
    """Raise ``ValueError`` unless every label is a class."""
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"{name} must lie in [0, {classes - 1}], got {labels.min()} to {labels.max()}")


def check_repeats(forward: CachedForward, names: Iterable[str]) -> None:
    """Raise ``ValueError`` where the same weights have two losses: no chain has such a target."""
    for name in names:
        again = forward.loss_after(name)
        if not math.isclose(again, forward.loss, rel_tol=SAME_LOSS):
            varies = f"the same weights have the losses {forward.loss} and {again}"
            raise ValueError(f"{varies}: the network draws at random, or writes into its input")
