"""Where a chain may start: sparse and silent, narrow, or with filters that are pieces of the images."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.checks import non_negative
from greenai_nb.learn.fast.state import layers
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear
from greenai_nb.theory.prior import Cauchy

OUTPUT_WEIGHT = 0.5
HIDDEN_BIAS = 0.1
PATCHES = 4000
LEAST_CONTRAST = 0.15


@torch.no_grad()
def start_sparse(net: nn.Sequential, noise: float = 0.0) -> nn.Sequential:
    """Set the weights of ``mlp`` to a sparse start, in place, and return the network.

    Hidden weights are zero; hidden unit h feeds class h mod 10 alone, with opposite signs in every
    second ten units. A start drawn from the prior, as on the slides, has the same limit distribution,
    but a network of near-zero weights passes no signal on, and leaving it takes far longer.

    Units h and h + 20 start as copies. Proposals to single weights separate them, gradients never do:
    a gradient trainer needs hidden weights with normal ``noise`` of this standard deviation.
    """
    non_negative(noise=noise)
    hidden, output = layers(net)
    for layer, bias in ((hidden, HIDDEN_BIAS), (output, 0.0)):
        layer.weight.zero_()
        if layer.bias is not None:
            layer.bias.fill_(bias)
    if noise:
        hidden.weight.normal_(std=noise)
    classes, units = output.weight.shape
    unit = torch.arange(units)
    sign = torch.where(unit // classes % 2 == 0, 1.0, -1.0)
    output.weight[unit % classes, unit] = OUTPUT_WEIGHT * sign
    return net


@torch.no_grad()
def start_cauchy(net: nn.Module, scale: float, seed: int = 0) -> nn.Module:
    """Draw the weights, not the biases, from a Cauchy distribution, in place, and return the network.

    Source: GreenAI-Uppa/deep_learning_mcmc, whose scale is 1e-4.
    """
    prior, generator = Cauchy(scale), np.random.default_rng(seed)
    for weight in net.parameters():
        if weight.ndim > 1:
            weight.copy_(torch.from_numpy(prior.sample(tuple(weight.shape), generator)))
    return net


@torch.no_grad()
def start_from_patches(
    net: nn.Sequential, images: Float[Tensor, "images channels height width"], seed: int = 0
) -> nn.Sequential:
    """Set the filters of ``shallow_cnn`` to k-means centres of patches, in place, and return it.

    Patches are drawn from the images, without their labels; those of low contrast are left out, and
    the others have mean zero and norm one, like the centres. A binary layer takes the signs of the
    centres times 1 / sqrt(fan-in), which keeps the norm. Biases and output weights are zero.
    Source: Coates and Ng, *Learning feature representations with k-means* (2012).
    """
    from sklearn.cluster import KMeans

    convolution, output = layers(net)
    if not isinstance(convolution, nn.Conv2d):
        raise TypeError(f"patches need a convolution first, got {type(convolution).__name__}")
    patches = images[:PATCHES]
    for side, size, step in zip((2, 3), convolution.kernel_size, convolution.stride, strict=True):
        patches = patches.unfold(side, size, step)
    rows, columns = patches.shape[2:4]
    generator = torch.Generator().manual_seed(seed)
    place = torch.randint(rows * columns, (len(patches),), generator=generator)
    drawn = patches[torch.arange(len(patches)), :, place // columns, place % columns].flatten(1)
    drawn = drawn[drawn.std(1) > LEAST_CONTRAST]
    drawn = functional.normalize(drawn - drawn.mean(1, keepdim=True))
    centres = KMeans(convolution.out_channels, n_init=1, random_state=seed).fit(drawn.numpy())
    found = functional.normalize(torch.from_numpy(centres.cluster_centers_))
    if isinstance(convolution, BinaryConv2d | BinaryLinear):
        found = torch.where(found >= 0, 1.0, -1.0) / found.shape[1] ** 0.5
    convolution.weight.copy_(found.view_as(convolution.weight))
    for silent in (convolution.bias, output.weight, output.bias):
        if silent is not None:
            silent.zero_()
    return net
