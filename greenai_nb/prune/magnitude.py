"""Pruning by magnitude: set the smallest weights to zero, after training or little by little during it.

Two rules with very different results: the smallest weights of each layer, as in the authors'
code, or the smallest of the whole network under one threshold.

Source: the slides, *Robustness to pruning*; Han et al., *Learning both weights and connections for
efficient neural networks* (2015); Zhu and Gupta, *To prune, or not to prune* (2017), equation 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from greenai_nb.checks import whole
from greenai_nb.data.datasets import Split
from greenai_nb.learn.fit import Fit, accuracy
from greenai_nb.learn.stack import AfterStep, Layer
from greenai_nb.learn.store import remembered
from greenai_nb.nets.weights import prunable_weights
from greenai_nb.prune.masks import Mask, count_kept, largest

Rule = Callable[[nn.Module, float], nn.Module]
Weight = Float[Tensor, "*shape"]


def by_layer(net: nn.Module, pruned_fraction: float) -> nn.Module:
    """A copy of the network with the given fraction of each matrix's smallest entries set to zero."""
    return layer_mask(net, pruned_fraction).applied(net)


def by_network(net: nn.Module, pruned_fraction: float) -> nn.Module:
    """A copy of the network with the given fraction of its smallest weights set to zero."""
    return _without_smallest(prunable_weights(net), pruned_fraction).applied(net)


def layer_mask(net: nn.Module, pruned_fraction: float) -> Mask:
    """The mask of all but the given fraction of each matrix's smallest entries."""
    each = [_without_smallest([weight], pruned_fraction) for weight in prunable_weights(net)]
    return Mask(tuple(mask.layers[0] for mask in each))


@remembered
def accuracy_after(fit: Fit, split: Split, fractions: Sequence[float], rule: Rule) -> pd.DataFrame:
    """Accuracy of a fit's network by pruned fraction: columns ``pruned_fraction``, ``accuracy``."""
    found = [accuracy(rule(fit.net, fraction), split) for fraction in fractions]
    return pd.DataFrame({"pruned_fraction": fractions, "accuracy": found})


@dataclass(frozen=True)
class Gradual:
    """Prune a network under one threshold while it trains, down to ``kept_fraction``.

    Of the share s of the way from ``start`` to ``end`` of the training, f + (1 - f) (1 - s)^3 is kept.
    What is pruned does not come back.
    """

    kept_fraction: float
    start: float = 0.1
    end: float = 0.7
    every: int = 50

    def __post_init__(self) -> None:
        whole(every=self.every)
        if not 0 <= self.start < self.end <= 1:
            raise ValueError(f"0 <= start < end <= 1 is expected, got {self.start!r} and {self.end!r}")

    def begin(self, layers: Sequence[Layer], generator: torch.Generator) -> AfterStep:
        """Counts the steps."""
        weights, _ = zip(*layers, strict=True)
        least = count_kept(weights, self.kept_fraction)
        steps, share = 0, 0.0

        def rewire(gradients: Sequence[Tensor], progress: float, rate: float) -> None:
            nonlocal steps, share
            steps += 1
            due = min(max((progress - self.start) / (self.end - self.start), 0.0), 1.0)
            if due == share or (steps % self.every and due < 1):
                return
            share, all_of_them = due, sum(weight.numel() for weight in weights)
            kept = round(least + (all_of_them - least) * (1 - due) ** 3)
            masks = largest([weight.abs() for weight in weights], kept).layers
            for layer, mask in zip(layers, masks, strict=True):
                layer.mask.copy_(mask)
                layer.weight.mul_(mask)

        return rewire


def _without_smallest(weights: Sequence[Weight], pruned_fraction: float) -> Mask:
    if not 0 <= pruned_fraction <= 1:
        raise ValueError(f"pruned_fraction must lie in [0, 1], got {pruned_fraction}")
    number = sum(weight.numel() for weight in weights)
    return largest([weight.abs() for weight in weights], number - round(pruned_fraction * number))
