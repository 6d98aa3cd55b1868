"""Signs with a gradient: three ways to train through a step.

In the forward pass all give -1 or +1, and +1 at zero. The step has no useful gradient, so the
backward pass uses that of another function. For a latent weight or an activation x and the
gradient g of the loss with respect to the sign:

| estimator            | forward                          | backward                      |
|----------------------|----------------------------------|-------------------------------|
| ``ste_sign``         | sign(x)                          | g where abs(x) <= 1, else 0   |
| ``approx_sign``      | sign(x)                          | g (2 - 2 abs(x)) there, else 0 |
| ``identity_sign``    | sign(x)                          | g                             |

Source: Hubara et al., *Binarized Neural Networks* (2016); Liu et al., *Bi-Real Net* (2018), section
3.3; Courbariaux et al., *BinaryConnect* (2015), algorithm 1.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

CLIP = 1.0

Estimator = Callable[[Tensor], Tensor]


def plain_sign(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """-1 where x < 0 and +1 elsewhere, zero of either sign included; its gradient is zero."""
    # Writes 0 or 1 directly: torch.where on two numbers takes fifteen times as long.
    return torch.ge(x.detach(), 0, out=torch.empty_like(x)).mul_(2).sub_(1)


class _Sign(torch.autograd.Function):
    """Forward the sign; backward the gradient times ``slope`` of x, as if the step had that slope."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Callable[[Tensor], Tensor] | None) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        return plain_sign(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradients[0] * ctx.slope(x) if ctx.slope else gradients[0], None


def _clipped(x: Tensor) -> Tensor:
    return torch.le(x.abs(), CLIP, out=torch.empty_like(x))


def ste_sign(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Sign with the clipped straight-through gradient: 1 where |x| <= 1, 0 elsewhere."""
    return _Sign.apply(x, _clipped)


def approx_sign(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Sign with the gradient of a piecewise parabola, 2 - 2 |x| where |x| <= 1, 0 elsewhere."""
    return _Sign.apply(x, lambda x: (2 - 2 * x.abs()).clamp(min=0))


def identity_sign(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Sign with the gradient of the identity, as BinaryConnect passes it to its latent weights."""
    return _Sign.apply(x, None)
