"""What an accept-reject chain asks of its start, said before the first proposal."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from greenai_nb.learn.cached_forward import CachedForward, summed_loss
from greenai_nb.learn.selections import Selection, named
from greenai_nb.theory.arguments import finite, not_negative
from greenai_nb.theory.prior import Prior

SAME_LOSS = 1e-6


def check_law(
    weights: Mapping[str, Tensor],
    selections: Iterable[Selection],
    priors: Mapping[str, Prior],
    temper: float,
) -> None:
    """Raise ``ValueError`` unless there is what to move, and a density pi(w_1) > 0 to move from."""
    not_negative(temper=temper)
    chosen = list(selections)
    if not chosen:
        raise ValueError("moves is empty, at least one Move is expected")
    for selection in chosen:
        selection.check(weights)
    for name, prior in priors.items():
        density = prior.log_density(named(name, weights).flatten().double().numpy())
        if not np.isfinite(density).all():
            raise ValueError(f"{name} starts where its prior {prior} has no density: start inside of it")


def check_data(
    net: nn.Module,
    images: Float[Tensor, "images *shape"],
    labels: Int64[Tensor, " images"],
    batch_size: int | None,
) -> None:
    """Raise ``ValueError`` unless images are finite, labels are classes and L(w_1) is a number."""
    if batch_size is not None and not 1 <= batch_size <= len(labels):
        raise ValueError(f"batch_size must lie in [1, {len(labels)}] images, got {batch_size!r}")
    finite("images", images.numpy())
    with torch.inference_mode():
        classes = net(images[:1]).shape[1]
    check_labels(labels, classes)
    loss = summed_loss(net, images, labels)
    if not math.isfinite(loss):
        raise ValueError(
            f"the loss at the start is {loss}, a finite one is expected: look at the weights"
        )


def check_labels(labels: Int64[Tensor, " images"], classes: int) -> None:
    """Raise ``ValueError`` unless every label is a class."""
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must lie in [0, {classes - 1}], got {labels.min()} to {labels.max()}")


def check_repeats(forward: CachedForward, names: Iterable[str]) -> None:
    """Raise ``ValueError`` where the same weights have two losses: the chain would have no fixed law."""
    for name in names:
        again = forward.loss_after(name)
        if not math.isclose(again, forward.loss, rel_tol=SAME_LOSS):
            raise ValueError(
                f"the same weights have the losses {forward.loss} and {again}: the network draws at "
                "random in its forward pass, or writes into its input; a chain needs a fixed loss"
            )
