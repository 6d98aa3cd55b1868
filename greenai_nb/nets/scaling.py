"""Scales that restore the magnitude of a product of signs: none, computed from the weights, or learned.

A scaling is a module called with the product y, the latent weights and the layer's input before its
sign; it returns the scaled product.

Source: Rastegari et al., *XNOR-Net* (2016), sections 3.1 and 3.2; Bulat and Tzimiropoulos, *XNOR-Net++*
(2019), section 4.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def scale(weight: Float[Tensor, "units *fan_in"]) -> Float[Tensor, " units"]:
    """Scale that makes ``scale * sign(weight)`` closest to the weight, alpha = mean |W|.

    It minimises ||W - alpha sign(W)||^2 unit by unit; the residual is ||W||_2^2 - ||W||_1^2 / n.
    Source: XNOR-Net, equation 6.
    """
    return weight.abs().flatten(1).mean(1)


class NoScale(nn.Module):
    """The product as it is, an integer."""

    def forward(self, y: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        return y


class MeanScale(nn.Module):
    """XNOR-Net's scale of each unit, alpha = mean |W|."""

    def forward(self, y: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        return y * by_unit(scale(weight), y)


class MeanScaleWithInputMap(nn.Module):
    """XNOR-Net's alpha times K, the mean magnitude of the input under each position of the filter.

    A(i, j) = mean over channels of |x|, and K is A convolved with a filter of equal entries that sum
    to one, with the stride and padding of the layer. The authors' released code leaves K out.
    Source: XNOR-Net, equation 11.
    """

    def __init__(self, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def forward(self, y: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        size = x.abs().mean(1, keepdim=True)
        box = torch.full((1, 1, self.kernel, self.kernel), 1 / self.kernel**2).to(x)
        spread = functional.conv2d(size, box, None, self.stride, self.padding)
        return y * by_unit(scale(weight), y) * spread


class LearnedScale(nn.Module):
    """XNOR-Net++'s scale: a product of learned factors that broadcast over the output of the layer.

    The four choices of the paper for an output of o x h x w are the ``shapes``

        (o, 1, 1)                           a scale for each channel
        (o, h, w)                           one for each entry
        (o, 1, 1), (1, h, w)                channel times position
        (o, 1, 1), (1, h, 1), (1, 1, w)     channel times row times column.
    """

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        super().__init__()
        if not shapes:
            raise ValueError("a learned scale needs a shape for each factor, such as (64, 1, 1)")
        self.factors = nn.ParameterList(torch.ones(shape) for shape in shapes)

    def forward(self, y: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        for factor in self.factors:
            y = y * factor
        return y


def by_unit(numbers: Float[Tensor, " units"], y: Tensor) -> Tensor:
    """One number per unit, shaped to broadcast over a layer's output."""
    return numbers.view(-1, *[1] * (y.ndim - 2))
