"""Training by gradients, the opponent of accept-reject: minimise the loss, min_theta l(theta).

A network with binary layers is trained by BinaryConnect: the gradient g is taken at the signs and moves
the latent weights, which are clipped,

    g = dl/dw^bin at w^bin = sign(w) ,        w <- clip(w - eta g, -1, 1) .

Source: Robbins and Monro (1951); Courbariaux et al., *BinaryConnect* (2015), algorithm 1.
"""

import copy
import math
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.checks import finite, non_negative, positive, whole
from greenai_nb.data.datasets import Dataset, Split
from greenai_nb.learn.accept_reject import check_labels
from greenai_nb.learn.fit import Fit, accuracy, multiply_accumulates
from greenai_nb.learn.store import remembered
from greenai_nb.nets.sign import CLIP
from greenai_nb.nets.weights import binary_layers, copied, device_of, prunable_weights

BACKWARD_COST = 2


@remembered
def fit_sgd(
    net: nn.Module,
    data: Dataset,
    *,
    epochs: int,
    learning_rate: float = 0.1,
    batch_size: int = 64,
    l1: float = 0.0,
    patience: int | None = None,
    seed: int = 0,
) -> Fit:
    """Train a copy of a network, on its device, by stochastic gradient descent on the cross-entropy.

    The learning rate falls linearly to zero. With ``l1`` each step is followed by the proximal
    step of l1 |w|_1, which moves every real weight matrix towards zero by learning_rate * l1 and stops
    at zero: w <- sign(w) max(|w| - eta l1, 0). Latent weights of binary layers are clipped.

    With ``patience`` training stops once the validation accuracy has not risen for that many epochs,
    and the network is that of its best epoch. The rate still falls to zero at ``epochs``, so a run that
    stops early has not seen the small rates of the end.

    ``seed`` orders the images; the start is the network as given. A keyboard interrupt after the first
    epoch returns the result of the finished epochs. Warns of hidden units that start as copies, which
    gradients keep identical, and of a loss that is no longer a number. Raises ``ValueError`` before any
    training for a setting out of range, a label that is not a class, and images or a start with NaN or
    infinity, for a network without weights to train, and what ``copied`` raises.
    Source: Robbins and Monro (1951); Parikh and Boyd, *Proximal algorithms* (2014), section 4.2.
    """
    whole(epochs=epochs, batch_size=batch_size, patience=epochs if patience is None else patience)
    positive(learning_rate=learning_rate)
    non_negative(l1=l1)
    net = copied(net)
    _check(net, data)
    _warn_of_copies(net)
    settings: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate}
    settings |= {"batch_size": batch_size, "patience": patience}
    trace, interrupted = descend(
        net.train(),
        _Descent(net, l1).step,
        lambda: accuracy(net, data.validation),
        data,
        **settings,
        operations=multiply_accumulates(net, torch.zeros(1, *data.shape)) * (1 + BACKWARD_COST),
        generator=torch.Generator().manual_seed(seed),
    )
    settings |= {"trainer": "SGD with L1" if l1 else "SGD", "l1": l1, "seed": seed}
    return Fit(net.eval(), trace, settings, interrupted=interrupted)


def descend(
    net: nn.Module,
    step: Callable[[Tensor, Tensor, float], float],
    validate: Callable[[], float],
    data: Dataset,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    operations: float,
    generator: torch.Generator,
    patience: int | None = None,
) -> tuple[pd.DataFrame, bool]:
    """Take a step for each batch, in random order; returns the trace, and whether it was interrupted.

    ``step(images, labels, rate)`` changes the network and returns the mean loss of its batch, at a rate
    that falls linearly to zero; ``validate()`` is the accuracy after an epoch, and ``operations`` are
    those of an image. Batches are moved to the network's device, but drawn in the same order on every
    one. The network is left as after the last whole epoch, or with ``patience`` the best.
    An interrupt in the first epoch is raised. Warns of a loss that is no longer a number.
    """
    images, labels, device = data.train.images, data.train.labels, device_of(net)
    steps, done, start = epochs * -(-len(labels) // batch_size), 0, time.process_time()
    rows, kept = list[dict[str, float]](), dict[str, Tensor]()
    kept_epoch, best, interrupted = 0, -1.0, False
    try:
        for epoch in range(1, epochs + 1):
            loss = 0.0
            for chosen in torch.randperm(len(labels), generator=generator).split(batch_size):
                rate = learning_rate * (1 - done / steps)
                batch = Split(images[chosen], labels[chosen]).to(device)
                loss += step(batch.scaled(), batch.labels, rate) * len(chosen)
                done += 1
            row = {"step": done, "loss": loss / len(labels), "accuracy": validate()}
            row["seconds"] = time.process_time() - start
            rows.append(row | {"operations": float(epoch * len(labels) * operations)})
            if patience is None or row["accuracy"] > best:
                kept, kept_epoch, best = copy.deepcopy(net.state_dict()), epoch, row["accuracy"]
            if patience is not None and epoch - kept_epoch >= patience:
                break
    except KeyboardInterrupt:
        if not rows:
            raise
        interrupted, where = True, f"interrupted in epoch {len(rows) + 1} of {epochs}"
        warnings.warn(f"{where}: the network is that of epoch {kept_epoch}", stacklevel=4)
    if not math.isfinite(loss := rows[-1]["loss"]):
        diverges = f"learning_rate={learning_rate:g} diverges: take a smaller one"
        warnings.warn(f"the loss is {loss} after epoch {len(rows)}: {diverges}", stacklevel=4)
    net.load_state_dict(kept)
    return pd.DataFrame(rows), interrupted


class _Descent:
    """Steps w <- w - eta g: torch's own SGD does the same, but first loads a compiler of 70 MB."""

    def __init__(self, net: nn.Module, l1: float) -> None:
        self.net, self.l1 = net, l1
        self.weights = [weight for weight in net.parameters() if weight.requires_grad]
        self.latent = [layer.weight for layer in binary_layers(net)]
        self.shrunk = prunable_weights(net) if l1 else []

    def step(self, images: Tensor, labels: Tensor, rate: float) -> float:
        """Move against the gradient, shrink, clip latent weights; returns the mean loss before."""
        loss = functional.cross_entropy(self.net(images), labels)
        gradients = torch.autograd.grad(loss, self.weights, allow_unused=True)
        with torch.no_grad():
            for weight, gradient in zip(self.weights, gradients, strict=True):
                if gradient is not None:
                    weight.sub_(gradient, alpha=rate)
            for matrix in self.shrunk:
                matrix.copy_(functional.softshrink(matrix, rate * self.l1))
            for latent in self.latent:
                latent.clamp_(-CLIP, CLIP)
        return loss.item()


def _check(net: nn.Module, data: Dataset) -> None:
    if not any(weight.requires_grad for weight in net.parameters()):
        raise ValueError("no weight of the network requires a gradient: call net.requires_grad_() first")
    classes, _ = len(data.class_names), device_of(net)
    numbers = {f"the network's {name}": weight for name, weight in net.state_dict().items()}
    for part, split in (("train", data.train), ("validation", data.validation)):
        if not len(split):
            raise ValueError(f"{part} images: none are there, at least one is expected")
        check_labels(split.labels, classes, f"{part} labels")
        numbers[f"{part} images"] = split.images
    for name, values in numbers.items():
        if values.is_floating_point():
            finite(name, values.numpy(force=True))


def _warn_of_copies(net: nn.Module) -> None:
    """Warn where units of a linear layer have equal weights into them and out of them."""
    linear = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    for layer, following in pairwise(linear):
        if following.in_features == layer.out_features:
            biases = [] if layer.bias is None else [layer.bias[:, None]]
            around = torch.cat([layer.weight, *biases, following.weight.T], 1).detach()
            if (distinct := len(torch.unique(around, dim=0))) < len(around):
                differ = f"{distinct} of {len(around)} hidden units differ at the start"
                copies = "others are copies, which gradients keep alike: add noise to it"
                warnings.warn(f"{differ}; {copies}", stacklevel=4)
