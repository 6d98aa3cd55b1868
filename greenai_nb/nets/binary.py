"""Layers with binary weights on binary activations, trained through latent real weights.

The block of the slides, for k = 1, 2, ...

    x_k = (w_k^bin (+) sign(BNorm(x_{k-1}))) * w_k^scale ,

where (+) is a linear map or a convolution of numbers that are all -1 or +1. Here the scale is
XNOR-Net's: alpha = mean |W| of each output unit or channel.

Source: Rastegari et al., *XNOR-Net* (2016), section 3; Courbariaux et al., *BinaryConnect* (2015).
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

CLIP = 1.0


class _SteSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * (x.abs() <= CLIP)


def ste_sign(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Sign with the clipped straight-through gradient.

    sign(x) = +1 for x >= 0 and -1 else; its gradient is taken to be 1 where |x| <= 1 and 0 else.
    """
    return _SteSign.apply(x)


def scale(weight: Float[Tensor, "units *fan_in"]) -> Float[Tensor, " units"]:
    """Scale that makes ``scale * sign(weight)`` the nearest to the weight, alpha = mean |W|.

    It minimises ||W - alpha sign(W)||^2 unit by unit; what is left is ||W||_2^2 - ||W||_1^2 / n.
    Source: XNOR-Net, equation 6.
    """
    return weight.abs().flatten(1).mean(1)


class BinaryLinear(nn.Linear):
    """A linear map without bias whose latent weights act through their sign and scale."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__(inputs, units, bias=False)

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch units"]:
        return functional.linear(x, ste_sign(self.weight)) * scale(self.weight)


class BinaryConv2d(nn.Conv2d):
    """A convolution without bias whose latent weights act through their sign and scale."""

    def __init__(
        self, channels: int, filters: int, kernel: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(channels, filters, kernel, stride, padding, bias=False)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch filters rows columns"]:
        y = functional.conv2d(x, ste_sign(self.weight), None, self.stride, self.padding)
        return y * scale(self.weight)[:, None, None]


class Sign(nn.Module):
    """``ste_sign`` as a layer."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return ste_sign(x)


def clip_latent_weights(net: nn.Module) -> None:
    """Bring the latent weights of binary layers back to [-1, 1], in place, after a step.

    Beyond 1 the straight-through gradient vanishes and a weight could never turn its sign again.
    """
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, BinaryLinear | BinaryConv2d):
                layer.weight.clamp_(-CLIP, CLIP)
