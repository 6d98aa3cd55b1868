"""Pruning by saliency: what removing a weight or a unit would change, to first order.

A weight w is multiplied by a gate c, which is 1, or by the gate of its unit. The derivative of the loss
with respect to a weight's gate is w dL/dw.

| method | score of what is kept |
|---|---|
| SNIP | abs(w dL/dw), once, before training |
| FORCE | the same w, with dL/dw at the pruned network, in steps; all weights may come back |
| iterative SNIP | the same, but what is pruned stays pruned |
| GraSP | w (H g), with the Hessian H: the flow of gradients g should not weaken |
| SynFlow | abs(w dR/dw) with R the sum of outputs for an input of ones and weights abs(w); no data |
| Skeletonization | -dE/da of a unit's gate a, E = sum abs(target - output), after training |

In steps, the number of kept weights falls geometrically, k_t = m (k / m)^(t / T).

Source: Lee et al., *SNIP* (2019); de Jorge et al., *FORCE* (2021); Wang et al., *GraSP* (2020); Tanaka
et al., *SynFlow* (2020); Mozer and Smolensky, *Skeletonization* (1988).
"""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from greenai_nb.nets.weights import copied
from greenai_nb.prune.masks import Mask, largest

TEMPERATURE = 200.0  # of GraSP's logits, as in its authors' code
PRUNED = -1.0  # below every score

Images = Float[Tensor, "batch *shape"]
Labels = Int64[Tensor, " batch"]


def snip(net: nn.Module, images: Images, labels: Labels, kept: int) -> Mask:
    """The mask of the largest connection sensitivities, abs(w dL/dw)."""
    names, weights = _matrices(net)
    gradients = _gradients(net, names, weights, images, labels)
    return largest([(w * g).abs() for w, g in zip(weights, gradients, strict=True)], kept)


def force(
    net: nn.Module, batches: Sequence[tuple[Images, Labels]], kept: int, *, nested: bool = False
) -> Mask:
    """FORCE's mask, a step for each batch, or with ``nested`` that of iterative SNIP."""
    names, weights = _matrices(net)
    whole = sum(weight.numel() for weight in weights)
    mask = Mask(tuple(torch.ones_like(weight, dtype=torch.bool) for weight in weights))
    for step, (images, labels) in enumerate(batches, 1):
        pruned = [weight * layer for weight, layer in zip(weights, mask.layers, strict=True)]
        gradients = _gradients(net, names, pruned, images, labels)
        scores = [(w * g).abs() for w, g in zip(weights, gradients, strict=True)]
        if nested:
            scores = _without_pruned(scores, mask)
        mask = largest(scores, round(whole * (kept / whole) ** (step / len(batches))))
    return mask


def grasp(net: nn.Module, images: Images, labels: Labels, kept: int) -> Mask:
    """GraSP's mask: the authors remove the largest -w (H g), so the largest w (H g) are kept."""
    names, weights = _matrices(net)
    weights = [weight.requires_grad_() for weight in weights]
    logits = functional_call(net, dict(zip(names, weights, strict=True)), (images,)) / TEMPERATURE
    gradients = torch.autograd.grad(functional.cross_entropy(logits, labels), weights, create_graph=True)
    flow = torch.stack([(g * g.detach()).sum() for g in gradients]).sum()
    products = torch.autograd.grad(flow, weights)
    return largest([(w * h).detach() for w, h in zip(weights, products, strict=True)], kept)


def synflow(net: nn.Module, shape: Iterable[int], kept: int, steps: int = 100) -> Mask:
    """SynFlow's mask, from one image of ones of the given shape."""
    positive = copied(net).double()
    for weight in positive.parameters():
        weight.data.abs_()
    names, weights = _matrices(positive)
    whole, ones = sum(weight.numel() for weight in weights), torch.ones(1, *shape).double()
    mask = Mask(tuple(torch.ones_like(weight, dtype=torch.bool) for weight in weights))
    for step in range(1, steps + 1):
        pruned = [(w * layer).requires_grad_() for w, layer in zip(weights, mask.layers, strict=True)]
        flow = functional_call(positive, dict(zip(names, pruned, strict=True)), (ones,)).sum()
        gradients = torch.autograd.grad(flow, pruned)
        scores = [(w * g).detach() for w, g in zip(pruned, gradients, strict=True)]
        mask = largest(_without_pruned(scores, mask), round(whole * (kept / whole) ** (step / steps)))
    return mask


def relevance(
    net: nn.Sequential, images: Images, labels: Labels, *, linear: bool = True
) -> Float[Tensor, " units"]:
    """Skeletonization's relevance: about how much the error rises without each hidden unit of ``mlp``.

    The error is ``linear``, sum abs(target - output) with softmax outputs, or the cross-entropy, whose
    derivative vanishes where the network is sure.
    """
    hidden = net[:-1](images).detach().requires_grad_()
    logits = net[-1](hidden)
    if linear:
        targets = functional.one_hot(labels, logits.shape[1])
        error = (targets - logits.softmax(1)).abs().sum(1).mean()
    else:
        error = functional.cross_entropy(logits, labels)
    (gradient,) = torch.autograd.grad(error, hidden)
    return -(gradient * hidden).sum(0).detach()


def _matrices(net: nn.Module) -> tuple[list[str], list[Tensor]]:
    """Names and values of the weights that can be pruned."""
    named = [(name, weight.detach()) for name, weight in net.named_parameters() if weight.ndim > 1]
    return [name for name, _ in named], [weight for _, weight in named]


def _gradients(
    net: nn.Module, names: Sequence[str], weights: Sequence[Tensor], images: Images, labels: Labels
) -> Sequence[Tensor]:
    """Gradients of the mean cross-entropy at other weights."""
    weights = [weight.clone().requires_grad_() for weight in weights]
    logits = functional_call(net, dict(zip(names, weights, strict=True)), (images,))
    return torch.autograd.grad(functional.cross_entropy(logits, labels), weights)


def _without_pruned(scores: Sequence[Tensor], mask: Mask) -> list[Tensor]:
    return [torch.where(layer, score, PRUNED) for score, layer in zip(scores, mask.layers, strict=True)]
