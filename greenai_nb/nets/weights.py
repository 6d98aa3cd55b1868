"""The weights of a network by kind: real, scale and binary, as the theorem counts them."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear
from greenai_nb.nets.scaling import LearnedScale, NoScale, scale


class WeightKinds(NamedTuple):
    """w^real, w^scale and w^bin of the slides; real weights and learned scales are the network's own."""

    real: list[Tensor]
    scale: list[Tensor]
    binary: list[Tensor]


def binary_layers(net: nn.Module) -> list[BinaryLinear | BinaryConv2d]:
    """The layers whose latent weights act through their signs, in order."""
    return [layer for layer in net.modules() if isinstance(layer, BinaryLinear | BinaryConv2d)]


def weights_by_kind(net: nn.Module) -> WeightKinds:
    """Every parameter under the kind by which it acts.

    A latent weight of a binary layer acts through its sign, which is binary, and through the scale
    of its unit. Learned scales are scales; all other parameters are real.
    """
    scales, binary, taken = [], [], []
    for layer in binary_layers(net):
        binary.append(layer.weight.data >= 0)
        taken.append(layer.weight)
        if isinstance(layer.scaling, LearnedScale):
            scales += [factor.data for factor in layer.scaling.factors]
            taken += layer.scaling.factors
        elif not isinstance(layer.scaling, NoScale):
            scales.append(scale(layer.weight.data))
    known = {id(weight) for weight in taken}
    real = [weight.data for weight in net.parameters() if id(weight) not in known]
    return WeightKinds(real, scales, binary)


def prunable_weights(net: nn.Module) -> list[Tensor]:
    """The real weights of two or more dimensions: what can be set to zero and be gone.

    Biases and batch norms are no matrices; a latent weight of zero would still act as +1.
    """
    return [weight for weight in weights_by_kind(net).real if weight.ndim > 1]


def fold_batch_norm(net: nn.Module) -> nn.Module:
    """A copy whose batch norms are plain maps x -> g x + c, computing what ``net`` does in use.

    g = gamma / sqrt(var + eps) and c = beta - g mean: the running statistics are then among the
    weights, and a loss of the network depends on nothing but its weights and the one input.
    """
    folded = copy.deepcopy(net).eval()
    for layer in folded.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            with torch.no_grad():
                layer.weight.div_(torch.sqrt(layer.running_var + layer.eps))
                layer.bias.sub_(layer.weight * layer.running_mean)
            layer.running_mean.zero_()
            layer.running_var.fill_(1)
            layer.eps = 0
    return folded
