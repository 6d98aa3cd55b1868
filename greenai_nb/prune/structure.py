"""Pruning of whole units and filters, after which the network is smaller, and dense again.

Source: Mozer and Smolensky, *Skeletonization* (1988), for units; Li et al., *Pruning filters for
efficient ConvNets* (2017), for filters by their L1 norm.
"""

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from greenai_nb.learn.fast.state import layers
from greenai_nb.nets.weights import copied, prunable_weights
from greenai_nb.prune.masks import Mask, count_kept


def unit_norms(net: nn.Sequential) -> Float[Tensor, " units"]:
    """For each hidden unit of ``mlp`` the norm of the weights into it times that of those out of it."""
    into, out = prunable_weights(net)
    return into.norm(dim=1) * out.norm(dim=0)


def unit_mask(net: nn.Sequential, scores: Float[Tensor, " units"], kept_fraction: float) -> Mask:
    """The mask of all weights of the hidden units with the largest scores."""
    chosen = torch.zeros(len(scores), dtype=torch.bool)
    chosen[scores.topk(count_kept([scores], kept_fraction)).indices] = True
    into, out = prunable_weights(net)
    return Mask((chosen[:, None].expand_as(into), chosen.expand_as(out)))


@torch.no_grad()
def without_dead_units(net: nn.Sequential) -> nn.Sequential:
    """The same function as ``mlp`` or ``shallow_cnn`` with only those units that do something.

    A unit, or filter, stays if it has weights in and out; a bias above zero counts as a weight in.
    Raises ``TypeError`` for a network of another kind, and ``ValueError`` where no unit would stay.
    """
    smaller = copied(net)
    first, output = layers(smaller)
    outgoing = output.weight.unflatten(1, (len(first.weight), -1))
    into = first.weight.flatten(1).any(1)
    if first.bias is not None:
        into |= first.bias > 0
    live = into & outgoing.any(2).any(0)
    if not live.any():
        raise ValueError("no unit has weights in and out: the network answers alike for all images")
    first.weight, output.weight = (
        nn.Parameter(first.weight[live]),
        nn.Parameter(outgoing[:, live].flatten(1)),
    )
    if first.bias is not None:
        first.bias = nn.Parameter(first.bias[live])
    if isinstance(first, nn.Conv2d):
        first.out_channels = len(first.weight)
    else:
        first.out_features = len(first.weight)
    output.in_features = output.weight.shape[1]
    return smaller


def with_largest_filters(net: nn.Sequential, kept_fraction: float) -> nn.Sequential:
    """A smaller copy of ``cnn``, in which each convolution keeps its filters of largest L1 norm.

    Batch norms and the next layer lose what belonged to the others. A network in which those filters
    are masked *before* their batch norm would keep their constant shift, and is another one.
    """
    smaller = copied(net)
    layers: list[Any] = [*smaller]
    kept = torch.arange(layers[0].in_channels)
    for place, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            number = count_kept([layer.weight[:, 0, 0, 0]], kept_fraction)
            chosen = layer.weight.detach().abs().sum((1, 2, 3)).topk(number).indices.sort().values
            cut = copy.deepcopy(layer)
            cut.in_channels, cut.out_channels = len(kept), number
            cut.weight = nn.Parameter(layer.weight.detach()[chosen][:, kept])
            kept = chosen
            smaller[place] = cut
        elif isinstance(layer, nn.BatchNorm2d):
            norm = nn.BatchNorm2d(len(kept)).train(layer.training)
            state = layer.state_dict().items()
            norm.load_state_dict({name: value[kept] if value.ndim else value for name, value in state})
            smaller[place] = norm
        elif isinstance(layer, nn.Linear):
            weight = layer.weight.detach().unflatten(1, (layers[place - 3].num_features, -1))[:, kept]
            linear = nn.Linear(weight[0].numel(), len(weight))
            linear.weight.data, linear.bias.data = weight.flatten(1), layer.bias.detach().clone()
            smaller[place] = linear
    return smaller
