"""Networks with noise from a prior added to their real weights: the bound compares with their loss."""

import copy

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray as Array
from torch import Tensor, nn

from greenai_nb.data.datasets import Split
from greenai_nb.learn.cached_forward import summed_loss
from greenai_nb.nets.scaling import LearnedScale, NoScale, scale
from greenai_nb.nets.weights import binary_layers, device_of, weights_by_kind
from greenai_nb.theory.prior import Prior


@torch.no_grad()
def smear(net: nn.Module, prior: Prior, generator: np.random.Generator) -> nn.Module:
    """A copy of a network with a draw from the prior added to each real weight and each scale.

    Signs stay, unless the noise makes a unit's scale negative, which flips all of its signs.
    """

    def noise(like: Tensor) -> Tensor:
        return torch.from_numpy(prior.sample(tuple(like.shape), generator)).to(like)

    moved = copy.deepcopy(net)
    for weight in weights_by_kind(moved).real:
        weight += noise(weight)
    for layer in binary_layers(moved):
        if isinstance(layer.scaling, LearnedScale):
            for factor in layer.scaling.factors:
                factor += noise(factor)
        elif not isinstance(layer.scaling, NoScale):
            alpha = scale(layer.weight)
            times = 1 + noise(alpha) / alpha
            layer.weight *= times.view(-1, *[1] * (layer.weight.ndim - 1))
    return moved


def smeared_losses(
    net: nn.Module, prior: Prior, split: Split, draws: int, generator: np.random.Generator
) -> Float[Array, " draws"]:
    """Mean cross-entropy of a split's images under each of several draws of the noise, in nats.

    Its expectation over the noise is L_T(w) / T plus the mean omega_t(w).
    """
    images, labels = (there := split.to(device_of(net))).scaled(), there.labels
    moved = (smear(net, prior, generator) for _ in range(draws))
    return np.array([summed_loss(each, images, labels) / len(labels) for each in moved])
