"""Where a chain of flips may start: with units that compare two images, without any label."""

import numpy as np
import torch
from jaxtyping import UInt8
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from greenai_nb.learn.bits.state import layers

BLUR = 1.5  # pixels
LEAST_DIFFERENCE = 5  # of 255; below it a sign is drawn
OUTPUT_WEIGHT = 0.2


@torch.no_grad()
def start_from_differences(
    net: nn.Sequential, images: UInt8[Tensor, "images channels height width"], seed: int = 0
) -> nn.Sequential:
    """Set the signs of ``sign_mlp`` to those of differences of two blurred images, in place.

    The images are drawn without their labels; where both are alike the signs are random. Hidden unit h
    feeds class h mod 10 alone, with opposite signs in every second ten units. Returns the network.
    """
    _, hidden, _, output = layers(net)
    generator, (classes, units) = np.random.default_rng(seed), output.weight.shape
    first, second = images[torch.from_numpy(generator.integers(0, len(images), (2, units)))].numpy()
    difference = gaussian_filter(first - second.astype(float), BLUR, axes=(-2, -1))
    alike = np.abs(difference) < LEAST_DIFFERENCE
    signs = np.where(alike, generator.choice([-1, 1], alike.shape), np.sign(difference))
    hidden.weight.copy_(torch.from_numpy(signs).flatten(1))
    output.weight.zero_()
    output.bias.zero_()
    unit = torch.arange(units)
    signs_out = torch.where(unit // classes % 2 == 0, 1.0, -1.0)
    output.weight[unit % classes, unit] = OUTPUT_WEIGHT * signs_out
    return net
