"""Gradients of a recurrent spiking network: by going back in time, and by e-prop's eligibility traces.

Back-propagation through time keeps the activity of all T rows and walks back through it. e-prop keeps a
trace for each connection i -> j instead, which only goes forward. With the slope psi_j of the surrogate,

    epsilon_i^t = leak epsilon_i^{t-1} + (x_i^t, or z_i^{t-1} for a recurrent connection) ,
    e_ji^t = psi_j^t epsilon_i^t ,            ebar_ji^t = readout_leak ebar_ji^{t-1} + e_ji^t ,
    dL/dW_ji = sum_t L_j^t ebar_ji^t ,        L_j^t = sum_k B_kj (p_k^t - 1[k is the class]) ,

where p is the softmax of the logits, over the judged rows, and B = W_out (symmetric) or a fixed random
matrix. This is the gradient without all paths through W_rec z: what a spike does to other units later is
left out. So e-prop is exact where nothing comes back.

In a batch, the code filters L backward in time instead of e forward, which is the same sum in another
order and needs no trace for each connection and image. A chip that learns while it reads filters e.

Source: Bellec et al., *A solution to the learning dilemma for recurrent networks of spiking neurons*
(2020), equations 1, 4 and 5; random feedback from Lillicrap et al. (2016).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from greenai_nb.checks import one_of, positive, whole
from greenai_nb.data.datasets import Dataset
from greenai_nb.learn.fit import Fit, accuracy, multiply_accumulates
from greenai_nb.learn.recurrent.network import (
    Images,
    Labels,
    RowReader,
    filtered,
    first_judged,
    loss_of,
    rows_of,
)
from greenai_nb.learn.sgd import descend
from greenai_nb.learn.store import remembered
from greenai_nb.nets.spiking import SHARPNESS, THRESHOLD, surrogate_slope
from greenai_nb.nets.weights import copied

BPTT_COST, EPROP_COST = 3, 2  # passes that a step is worth: e-prop has no pass back through the units
GRADIENTS = ("bptt", "e-prop", "random feedback", "readout")
Gradients = tuple[Float[Tensor, ""], list[Tensor]]  # the loss; one for each parameter, in their order


def back_in_time(net: RowReader, images: Images, labels: Labels, *, cut: bool = False) -> Gradients:
    """The mean loss and its gradients by back-propagation through time.

    With ``cut``, without the paths through recurrent spikes: what e-prop must give.
    """
    loss = loss_of(net.read(images, cut=cut).logits, labels)
    return loss.detach(), [*torch.autograd.grad(loss, [*net.parameters()])]


@torch.no_grad()
def eprop(
    net: RowReader,
    images: Images,
    labels: Labels,
    feedback: Float[Tensor, "classes units"] | None = None,
) -> Gradients:
    """The mean loss and its gradients by e-prop; ``feedback`` stands in for the output weights."""
    membranes, spikes, logits = net.read(images)
    errors = logits.softmax(2) - functional.one_hot(labels, logits.shape[2])[:, None]
    start = first_judged(logits)
    errors[:, :start] = 0
    errors /= len(images) * (errors.shape[1] - start)
    errors_ahead = filtered(errors.flip(1), net.readout_leak).flip(1)
    signals = errors_ahead @ (net.out.weight if feedback is None else feedback)
    signals = signals * surrogate_slope(membranes - THRESHOLD, SHARPNESS)
    before = functional.pad(spikes, (0, 0, 1, -1))  # spikes of the row before
    gradients = {
        net.into.weight: _summed(signals, filtered(rows_of(images, net.into.in_features), net.leak)),
        net.back.weight: _summed(signals, filtered(before, net.leak)),
        net.out.weight: _summed(errors_ahead, spikes),
    }
    return loss_of(logits, labels), [gradients[weight] for weight in net.parameters()]


def _summed(
    signals: Float[Tensor, "batch rows outputs"], traces: Float[Tensor, "batch rows inputs"]
) -> Float[Tensor, "outputs inputs"]:
    return signals.flatten(0, 1).T @ traces.flatten(0, 1)


def random_feedback(net: RowReader, generator: torch.Generator) -> Float[Tensor, "classes units"]:
    """Random numbers in place of the output weights, as large as these are at first."""
    classes, units = net.out.weight.shape
    return torch.randn(classes, units, generator=generator).to(net.out.weight) / math.sqrt(units)


@remembered
def fit_recurrent(
    net: RowReader,
    data: Dataset,
    gradients: str = "e-prop",
    *,
    epochs: int,
    learning_rate: float = 0.1,
    batch_size: int = 64,
    seed: int = 0,
) -> Fit:
    """Train a copy of a network by stochastic gradient descent with one of ``GRADIENTS``.

    ``readout`` trains the output weights alone. The learning rate falls linearly to zero; ``seed``
    orders the images and draws the random feedback. Raises ``ValueError`` for gradients that are not
    known, settings out of range, images whose rows the network does not read, and what ``copied``
    raises.
    """
    one_of(GRADIENTS, gradients=gradients)
    whole(epochs=epochs, batch_size=batch_size)
    positive(learning_rate=learning_rate)
    net = copied(net)
    generator = torch.Generator().manual_seed(seed)
    take: Callable[..., Gradients] = back_in_time if gradients == "bptt" else eprop
    if gradients == "random feedback":
        take = partial(eprop, feedback=random_feedback(net, generator))
    passes = BPTT_COST if gradients == "bptt" else EPROP_COST

    def step(images: Images, labels: Labels, rate: float) -> float:
        loss, slopes = take(net, images, labels)
        with torch.no_grad():
            for weight, slope in zip(net.parameters(), slopes, strict=True):
                if weight is net.out.weight or gradients != "readout":
                    weight.sub_(slope, alpha=rate)
        return float(loss)

    settings: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate}
    settings |= {"batch_size": batch_size}
    trace, interrupted = descend(
        net,
        step,
        partial(accuracy, net, data.validation),
        data,
        **settings,
        operations=multiply_accumulates(net, torch.zeros(1, *data.shape)) * passes,
        generator=generator,
    )
    about = {"trainer": gradients, "seed": seed} | settings
    return Fit(net.eval(), trace, about, interrupted=interrupted)
