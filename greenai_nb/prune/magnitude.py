"""Pruning after training: set the smallest weights to zero, without training any further.

Two rules with very different results: the smallest weights of each layer, as in the authors'
code, or the smallest of the whole network under one threshold.

Source: the slides, *Robustness to pruning*; Han et al., *Learning both weights and connections for
efficient neural networks* (2015).
"""

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from greenai_nb.data.datasets import Split
from greenai_nb.learn.fit import Fit, accuracy
from greenai_nb.learn.store import remembered
from greenai_nb.nets.weights import copied, prunable_weights

Rule = Callable[[nn.Module, float], nn.Module]
Weight = Float[Tensor, "*shape"]


def by_layer(net: nn.Module, pruned_fraction: float) -> nn.Module:
    """A copy of the network with the given fraction of each matrix's smallest entries set to zero."""
    pruned = copied(net)
    for weight in prunable_weights(pruned):
        weight.mul_(_masks([weight], pruned_fraction)[0])
    return pruned


def by_network(net: nn.Module, pruned_fraction: float) -> nn.Module:
    """A copy of the network with the given fraction of its smallest weights set to zero."""
    pruned = copied(net)
    weights = prunable_weights(pruned)
    for weight, mask in zip(weights, _masks(weights, pruned_fraction), strict=True):
        weight.mul_(mask)
    return pruned


@remembered
def accuracy_after(
    fit: Fit, split: Split, pruned_fractions: Sequence[float], rule: Rule
) -> pd.DataFrame:
    """Accuracy of a fit's network by pruned fraction: columns ``pruned_fraction``, ``accuracy``."""
    rows = [
        {"pruned_fraction": fraction, "accuracy": accuracy(rule(fit.net, fraction), split)}
        for fraction in pruned_fractions
    ]
    return pd.DataFrame(rows)


def _masks(weights: Sequence[Weight], pruned_fraction: float) -> list[Weight]:
    """Masks that keep the largest entries; of equal ones, those that come last."""
    if not 0 <= pruned_fraction <= 1:
        raise ValueError(f"pruned_fraction must lie in [0, 1], got {pruned_fraction}")
    size = torch.cat([torch.empty(0), *(weight.abs().flatten() for weight in weights)])
    mask, pruned = torch.ones_like(size), round(pruned_fraction * len(size))
    if pruned:
        threshold = size.kthvalue(pruned).values
        below, ties = size < threshold, (size == threshold).nonzero().flatten()
        mask[below] = 0
        mask[ties[: pruned - int(below.sum())]] = 0
    parts = mask.split([weight.numel() for weight in weights])
    return [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]
