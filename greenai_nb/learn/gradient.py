"""Training by gradients: minimise the loss over the weights, min_theta l(theta)."""

import time

import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from greenai_nb.data.datasets import Dataset
from greenai_nb.learn.fit import Fit, accuracy
from greenai_nb.nets.binary import clip_latent_weights
from greenai_nb.nets.kinds import real_matrices

BACKWARD_COST = 2


def fit_sgd(
    net: nn.Module,
    data: Dataset,
    *,
    epochs: int,
    learning_rate: float = 0.1,
    batch_size: int = 64,
    l1: float = 0.0,
    seed: int = 0,
) -> Fit:
    """Train a network in place by stochastic gradient descent on the cross-entropy.

    The learning rate falls linearly to zero. With ``l1`` each step is followed by the proximal
    step of l1 |w|_1, which moves every real weight matrix towards zero by learning_rate * l1 and stops
    at zero: w <- sign(w) max(|w| - eta l1, 0). Latent weights of binary layers are clipped.

    ``seed`` orders the images; the start is the network as given.
    Source: Robbins and Monro (1951); Parikh and Boyd, *Proximal algorithms* (2014), section 4.2.
    """
    generator = torch.Generator().manual_seed(seed)
    images, labels = data.train.scaled(), data.train.labels
    batches = -(-len(labels) // batch_size)
    optimizer = torch.optim.SGD(net.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, epochs * batches)
    per_image = multiply_accumulates(net, images[:1])
    rows: list[dict[str, float]] = []
    start = time.process_time()
    net.train()
    for epoch in range(1, epochs + 1):
        total = 0.0
        for chosen in torch.randperm(len(labels), generator=generator).split(batch_size):
            optimizer.zero_grad()
            loss = functional.cross_entropy(net(images[chosen]), labels[chosen])
            loss.backward()
            rate = optimizer.param_groups[0]["lr"]
            optimizer.step()
            schedule.step()
            if l1:
                _shrink(net, rate * l1)
            clip_latent_weights(net)
            total += loss.item() * len(chosen)
        rows.append(
            {
                "step": epoch * batches,
                "loss": total / len(labels),
                "accuracy": accuracy(net, data.validation),
                "seconds": time.process_time() - start,
                "operations": epoch * len(labels) * per_image * (1 + BACKWARD_COST),
            }
        )
    net.eval()
    law = {
        "trainer": "SGD" if l1 == 0 else "SGD with L1",
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "l1": l1,
        "seed": seed,
    }
    return Fit(net, pd.DataFrame(rows), law)


def multiply_accumulates(net: nn.Module, images: torch.Tensor) -> int:
    """Multiply-accumulates of one forward pass over some images, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    was_training = net.training
    net.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(images)
    net.train(was_training)
    return counter.get_total_flops() // 2


def _shrink(net: nn.Module, amount: float) -> None:
    with torch.no_grad():
        for weight in real_matrices(net):
            weight.copy_(functional.softshrink(weight, amount))
