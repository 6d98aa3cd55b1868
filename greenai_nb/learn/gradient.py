"""Training by gradients: minimise the loss over the weights, min_theta l(theta).

One loop serves SGD, its L1 proximal version and Adam. A network with binary layers is trained by
BinaryConnect: the gradient g is taken at the signs and moves the latent weights, which are clipped,

    g = dl/dw^bin at w^bin = sign(w) ,        w <- clip(w - eta g, -1, 1) .

Source: Robbins and Monro (1951); Courbariaux et al., *BinaryConnect* (2015), algorithm 1.
"""

import copy
import time
import warnings
from collections.abc import Callable, Sequence
from numbers import Integral

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.data.datasets import Dataset
from greenai_nb.learn.fit import Fit, accuracy
from greenai_nb.learn.operations import multiply_accumulates
from greenai_nb.nets.binary import clip_latent_weights
from greenai_nb.nets.kinds import binary_layers, real_matrices
from greenai_nb.theory.arguments import finite, not_negative, positive

BACKWARD_COST = 2

Step = Callable[[float], None]


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
    """Train a network in place by stochastic gradient descent on the cross-entropy.

    The learning rate falls linearly to zero. With ``l1`` each step is followed by the proximal
    step of l1 |w|_1, which moves every real weight matrix towards zero by learning_rate * l1 and stops
    at zero: w <- sign(w) max(|w| - eta l1, 0). Latent weights of binary layers are clipped.

    With ``patience`` training stops once the validation accuracy has not risen for so many epochs,
    and the network returns to its best epoch; ``law`` says which as ``kept_epoch``. The rate still
    falls to zero at ``epochs``, so a run that stops early has not seen the small rates of the end.

    ``seed`` orders the images; the start is the network as given. A keyboard interrupt after the first
    epoch returns what the finished epochs gave. Raises ``ValueError`` before any training for a
    setting out of range, a label that is no class, and images or a start with NaN or infinity.
    Source: Robbins and Monro (1951); Parikh and Boyd, *Proximal algorithms* (2014), section 4.2.
    """
    return _fit(
        net,
        data,
        _descent,
        "SGD with L1" if l1 else "SGD",
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        l1=l1,
        patience=patience,
        seed=seed,
    )


def fit_adam(
    net: nn.Module,
    data: Dataset,
    *,
    epochs: int,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    patience: int | None = None,
    seed: int = 0,
) -> Fit:
    """Train a network in place by Adam, which measures each step by the gradient's own size.

    With b1 = 0.9, b2 = 0.999 and e = 1e-8, step t along the gradient g is

        m <- b1 m + (1 - b1) g ,        v <- b2 v + (1 - b2) g^2 ,
        w <- w - eta (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + e) .

    All else is as in ``fit_sgd``, except that there is no ``l1``: its proximal step would have to
    shrink each weight by its own rate.
    Source: Kingma and Ba, *Adam* (2015), algorithm 1.
    """
    return _fit(
        net,
        data,
        _adam,
        "Adam",
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        l1=0.0,
        patience=patience,
        seed=seed,
    )


def _fit(
    net: nn.Module,
    data: Dataset,
    method: Callable[[Sequence[nn.Parameter]], Step],
    trainer: str,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    l1: float,
    patience: int | None,
    seed: int,
) -> Fit:
    _whole(epochs=epochs, batch_size=batch_size, patience=epochs if patience is None else patience)
    positive(learning_rate=learning_rate)
    not_negative(l1=l1)
    _check(net, data)
    generator = torch.Generator().manual_seed(seed)
    images, labels = data.train.scaled(), data.train.labels
    batches = -(-len(labels) // batch_size)
    step, steps = method(list(net.parameters())), epochs * batches
    per_image = multiply_accumulates(net, images[:1])
    rows: list[dict[str, float]] = []
    kept, kept_epoch, best, interrupted = copy.deepcopy(net.state_dict()), 0, -1.0, False
    start = time.process_time()
    net.train()
    try:
        for epoch in range(1, epochs + 1):
            order = torch.randperm(len(labels), generator=generator).split(batch_size)
            done = (epoch - 1) * batches
            rates = [learning_rate * (1 - at / steps) for at in range(done, done + batches)]
            row = {
                "step": epoch * batches,
                "loss": _pass(net, images, labels, order, step, rates, l1),
                "accuracy": accuracy(net, data.validation),
                "seconds": time.process_time() - start,
                "operations": epoch * len(labels) * per_image * (1 + BACKWARD_COST),
            }
            if patience is None or row["accuracy"] > best:
                kept, kept_epoch, best = copy.deepcopy(net.state_dict()), epoch, row["accuracy"]
            rows.append(row)
            if patience is not None and epoch - kept_epoch >= patience:
                break
    except KeyboardInterrupt:
        if not rows:
            raise
        interrupted = True
        warnings.warn(
            f"interrupted in epoch {len(rows) + 1} of {epochs}: "
            f"the network is as it was after epoch {kept_epoch}",
            stacklevel=3,
        )
    finally:
        net.load_state_dict(kept)
        net.eval()
    law = {
        "trainer": trainer,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "l1": l1,
        "patience": patience,
        "seed": seed,
        "latent_weights": sum(layer.weight.numel() for layer in binary_layers(net)),
        "kept_epoch": kept_epoch,
        "interrupted": interrupted,
    }
    return Fit(net, pd.DataFrame(rows), law)


def _pass(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    order: Sequence[Tensor],
    step: Step,
    rates: Sequence[float],
    l1: float,
) -> float:
    """One step for each batch, in order; the mean loss on the way."""
    total = 0.0
    for chosen, rate in zip(order, rates, strict=True):
        net.zero_grad()
        loss = functional.cross_entropy(net(images[chosen]), labels[chosen])
        loss.backward()
        step(rate)
        if l1:
            _shrink(net, rate * l1)
        clip_latent_weights(net)
        total += loss.item() * len(chosen)
    return total / len(labels)


def _descent(weights: Sequence[nn.Parameter]) -> Step:
    """w <- w - eta g: torch's own SGD does the same, and loads a compiler of 70 MB first."""

    @torch.no_grad()
    def step(rate: float) -> None:
        for weight in weights:
            if weight.grad is not None:
                weight.sub_(weight.grad, alpha=rate)

    return step


def _adam(weights: Sequence[nn.Parameter]) -> Step:
    optimizer = torch.optim.Adam(weights)

    def step(rate: float) -> None:
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()

    return step


def _shrink(net: nn.Module, amount: float) -> None:
    with torch.no_grad():
        for weight in real_matrices(net):
            weight.copy_(functional.softshrink(weight, amount))


def _whole(**values: int) -> None:
    for name, value in values.items():
        if not (isinstance(value, Integral) and value >= 1):
            raise ValueError(f"{name} must be a whole number, 1 or more, got {value!r}")


def _check(net: nn.Module, data: Dataset) -> None:
    classes = len(data.class_names)
    numbers = {f"the network's {name}": weight for name, weight in net.state_dict().items()}
    for part, split in (("train", data.train), ("validation", data.validation)):
        if not len(split):
            raise ValueError(f"{part} images: none are there, at least one is expected")
        bad = split.labels[(split.labels < 0) | (split.labels >= classes)]
        if len(bad):
            raise ValueError(
                f"{part} labels must be in [0, {classes}), one for each class name, "
                f"got {bad[:3].tolist()}"
            )
        numbers[f"{part} images"] = split.images
    for name, values in numbers.items():
        if values.is_floating_point():
            finite(name, values)
