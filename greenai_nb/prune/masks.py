"""Masks: which weights of a network stay, exactly how many, and how many of them lie on a live path.

A kept weight is dead if the unit before it receives nothing, or if nothing leaves the unit behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from greenai_nb.nets.weights import copied, prunable_weights

Weight = Float[Tensor, "outputs inputs"]


@dataclass(frozen=True)
class Mask:
    """For each weight of each layer, in the order of ``prunable_weights``, whether it is kept."""

    layers: tuple[Bool[Tensor, "*shape"], ...]

    @property
    def kept(self) -> int:
        """The number of kept weights."""
        return sum(int(layer.sum()) for layer in self.layers)

    @property
    def live(self) -> int:
        """Kept weights on a path of kept weights from an input to an output, layers being in a row."""
        inputs, outputs = torch.ones(self.layers[0].shape[1]), torch.ones(len(self.layers[-1]))
        reached = [*accumulate(self.layers, _reached, initial=inputs.bool())]
        backwards = [layer.T for layer in reversed(self.layers)]
        leads_on = [*accumulate(backwards, _reached, initial=outputs.bool())]
        around = zip(self.layers, reached, reversed(leads_on[:-1]), strict=False)
        return sum(int((layer & before & behind[:, None]).sum()) for layer, before, behind in around)

    def applied(self, net: nn.Module) -> nn.Module:
        """A copy of a network whose other weights are zero."""
        pruned = copied(net)
        for weight, layer in zip(prunable_weights(pruned), self.layers, strict=True):
            weight.mul_(layer)
        return pruned


def _reached(units: Bool[Tensor, " inputs"], layer: Bool[Tensor, "outputs inputs"]) -> Tensor:
    return (layer & units).any(1)


def count_kept(weights: Sequence[Tensor], kept_fraction: float) -> int:
    """How many weights a fraction keeps, at least one. Raises ``ValueError`` outside (0, 1]."""
    if not 0 < kept_fraction <= 1:
        raise ValueError(f"kept_fraction must lie in (0, 1], got {kept_fraction!r}")
    return max(1, round(kept_fraction * sum(weight.numel() for weight in weights)))


def largest(scores: Sequence[Float[Tensor, "*shape"]], kept: int) -> Mask:
    """The mask of the largest scores of all layers together; of equal ones, those that come last."""
    flat = torch.cat([torch.empty(0), *(score.flatten() for score in scores)])
    mask, pruned = torch.ones(len(flat), dtype=torch.bool), len(flat) - kept
    if pruned:
        threshold = flat.kthvalue(pruned).values
        below, ties = flat < threshold, (flat == threshold).nonzero().flatten()
        mask[below] = False
        mask[ties[: pruned - int(below.sum())]] = False
    parts = mask.split([score.numel() for score in scores])
    return Mask(tuple(part.view_as(score) for part, score in zip(parts, scores, strict=True)))


def even_counts(weights: Sequence[Weight], kept: int) -> list[int]:
    """How many of the kept weights each layer gets if all are equally dense, but for roundings."""
    sizes = [weight.numel() for weight in weights]
    counts = [round(kept * size / sum(sizes)) for size in sizes]
    counts[sizes.index(max(sizes))] += kept - sum(counts)
    return counts


def erdos_renyi_counts(weights: Sequence[Weight], kept: int) -> list[int]:
    """How many of the kept weights each layer gets if small layers are denser.

    A layer's density is proportional to (inputs + outputs) / (inputs x outputs) and at most 1; what
    exceeds a full layer goes to the others. Source: Mocanu et al., *SET* (2018), equation 3.
    """
    full = set[int]()
    while True:
        rest = kept - sum(weights[n].numel() for n in full)
        open_ = [n for n in range(len(weights)) if n not in full]
        shares = {n: sum(weights[n].shape) for n in open_}
        wanted = {n: rest * shares[n] / sum(shares.values()) for n in open_}
        over = {n for n in open_ if wanted[n] > weights[n].numel()}
        if not over:
            break
        full |= over
    counts = [weights[n].numel() if n in full else round(wanted[n]) for n in range(len(weights))]
    counts[max(open_, key=lambda n: weights[n].numel(), default=0)] += kept - sum(counts)
    return counts


def at_random(weights: Sequence[Weight], counts: Sequence[int], generator: torch.Generator) -> Mask:
    """Any ``counts`` weights of each layer."""
    layers = []
    for weight, kept in zip(weights, counts, strict=True):
        chosen = torch.randperm(weight.numel(), generator=generator)[:kept]
        layer = torch.zeros(weight.numel(), dtype=torch.bool)
        layer[chosen] = True
        layers.append(layer.view_as(weight))
    return Mask(tuple(layers))


def on_few_units(weights: Sequence[Weight], kept: int, units: int, generator: torch.Generator) -> Mask:
    """Random connections of a few random hidden units, with all weights out of these: a control.

    Raises ``ValueError`` where the weights out of the units alone are too many, or those of the units
    too few.
    """
    hidden, output = weights
    into = kept - units * len(output)
    if not 0 < into <= units * hidden.shape[1]:
        least, most = units * len(output) + 1, units * (len(output) + hidden.shape[1])
        raise ValueError(f"{units} units have {least} to {most} weights to keep, got {kept}")
    chosen = torch.randperm(len(hidden), generator=generator)[:units]
    rows = torch.zeros(units * hidden.shape[1], dtype=torch.bool)
    rows[torch.randperm(len(rows), generator=generator)[:into]] = True
    masks = [torch.zeros(weight.shape, dtype=torch.bool) for weight in weights]
    masks[0][chosen] = rows.view(units, -1)
    masks[1][:, chosen] = True
    return Mask(tuple(masks))


def shuffled(mask: Mask, generator: torch.Generator) -> Mask:
    """The mask with the places of each layer's kept weights drawn anew."""
    weights = [layer.float() for layer in mask.layers]
    return at_random(weights, [int(layer.sum()) for layer in mask.layers], generator)
