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
from collections.abc import Sequence
from itertools import pairwise

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.checks import finite, non_negative, positive, whole
from greenai_nb.data.datasets import Dataset
from greenai_nb.learn.fit import Fit, accuracy, multiply_accumulates
from greenai_nb.learn.store import remembered
from greenai_nb.nets.sign import CLIP
from greenai_nb.nets.weights import binary_layers, copied, prunable_weights

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
    """Train a copy of a network by stochastic gradient descent on the cross-entropy.

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
    settings: dict[str, object] = {"trainer": "SGD with L1" if l1 else "SGD", "epochs": epochs}
    settings |= {"learning_rate": learning_rate, "batch_size": batch_size, "l1": l1}
    settings |= {"patience": patience, "seed": seed}
    generator = torch.Generator().manual_seed(seed)
    images, labels = data.train.scaled(), data.train.labels
    batches, per_image = -(-len(labels) // batch_size), multiply_accumulates(net, images[:1])
    descent, rows = _Descent(net, l1), list[dict[str, float]]()
    best_state, best_epoch, best, interrupted = copy.deepcopy(net.state_dict()), 0, -1.0, False
    start = time.process_time()
    net.train()
    try:
        for epoch in range(1, epochs + 1):
            order = torch.randperm(len(labels), generator=generator).split(batch_size)
            done = (epoch - 1) * batches
            rates = [learning_rate * (1 - n / (epochs * batches)) for n in range(done, done + batches)]
            row = {
                "step": epoch * batches,
                "loss": descent.epoch(images, labels, order, rates),
                "accuracy": accuracy(net, data.validation),
                "seconds": time.process_time() - start,
                "operations": float(epoch * len(labels) * per_image * (1 + BACKWARD_COST)),
            }
            if patience is None or row["accuracy"] > best:
                best_state, best_epoch, best = copy.deepcopy(net.state_dict()), epoch, row["accuracy"]
            rows.append(row)
            if patience is not None and epoch - best_epoch >= patience:
                break
    except KeyboardInterrupt:
        if not rows:
            raise
        interrupted, left = True, f"the network is as it was after epoch {best_epoch}"
        warnings.warn(f"interrupted in epoch {len(rows) + 1} of {epochs}: {left}", stacklevel=3)
    if not math.isfinite(loss := rows[-1]["loss"]):
        diverges = f"learning_rate={learning_rate:g} diverges: take a smaller one"
        warnings.warn(f"the loss is {loss} after epoch {len(rows)}: {diverges}", stacklevel=3)
    net.load_state_dict(best_state)
    return Fit(net.eval(), pd.DataFrame(rows), settings, interrupted=interrupted)


class _Descent:
    """Steps w <- w - eta g: torch's own SGD does the same, but first loads a compiler of 70 MB."""

    def __init__(self, net: nn.Module, l1: float) -> None:
        self.net, self.l1 = net, l1
        self.weights = [weight for weight in net.parameters() if weight.requires_grad]
        self.latent = [layer.weight for layer in binary_layers(net)]
        self.shrunk = prunable_weights(net) if l1 else []

    def epoch(
        self, images: Tensor, labels: Tensor, order: Sequence[Tensor], rates: Sequence[float]
    ) -> float:
        """Take one step per batch, in order; returns the mean loss along the way."""
        losses = []
        for chosen, rate in zip(order, rates, strict=True):
            loss = functional.cross_entropy(self.net(images[chosen]), labels[chosen])
            gradients = torch.autograd.grad(loss, self.weights, allow_unused=True)
            self.step(gradients, rate)
            losses.append(loss.detach())
        sizes = map(len, order)
        means = zip(torch.stack(losses).tolist(), sizes, strict=True)
        return sum(mean * size for mean, size in means) / len(labels)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None], rate: float) -> None:
        """Move against the gradient, then shrink by L1, then clip latent weights."""
        for weight, gradient in zip(self.weights, gradients, strict=True):
            if gradient is not None:
                weight.sub_(gradient, alpha=rate)
        for matrix in self.shrunk:
            matrix.copy_(functional.softshrink(matrix, rate * self.l1))
        for latent in self.latent:
            latent.clamp_(-CLIP, CLIP)


def _check(net: nn.Module, data: Dataset) -> None:
    if not any(weight.requires_grad for weight in net.parameters()):
        raise ValueError("no weight of the network requires a gradient: call net.requires_grad_() first")
    classes = len(data.class_names)
    numbers = {f"the network's {name}": weight for name, weight in net.state_dict().items()}
    for part, split in (("train", data.train), ("validation", data.validation)):
        if not len(split):
            raise ValueError(f"{part} images: none are there, at least one is expected")
        if ((split.labels < 0) | (split.labels >= classes)).any():
            given = f"got {split.labels.min()} to {split.labels.max()}"
            raise ValueError(
                f"{part} labels must lie in [0, {classes - 1}], one for each class, {given}"
            )
        numbers[f"{part} images"] = split.images
    for name, values in numbers.items():
        if values.is_floating_point():
            finite(name, values)


def _warn_of_copies(net: nn.Module) -> None:
    """Warn where units of a linear layer have equal weights into them and out of them."""
    linear = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    for layer, following in pairwise(linear):
        if following.in_features == layer.out_features:
            biases = [] if layer.bias is None else [layer.bias[:, None]]
            around = torch.cat([layer.weight, *biases, following.weight.T], 1).detach()
            if (distinct := len(torch.unique(around, dim=0))) < len(around):
                differ = (
                    f"{distinct} of {len(around)} hidden units differ at the start, others are copies"
                )
                warnings.warn(f"{differ}, which gradients keep alike: add noise to it", stacklevel=4)
