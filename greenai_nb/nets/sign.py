"""Signs with a gradient: five ways to train through a step.

Forward they all give -1 or +1, and +1 at zero. The step has no useful gradient, so backward each
pretends that it was something else. For a latent weight or an activation x and a gradient g of the
loss by the sign:

| estimator            | forward                          | backward                      |
|----------------------|----------------------------------|-------------------------------|
| ``ste_sign``         | sign(x)                          | g where abs(x) <= 1, else 0   |
| ``approx_sign``      | sign(x)                          | g (2 - 2 abs(x)) there, else 0 |
| ``identity_sign``    | sign(x)                          | g                             |
| ``stochastic_sign``  | +1 with probability (x + 1) / 2  | g                             |
| ``dorefa_sign``      | sign(x) mean abs(x)              | g                             |

Source: Hubara et al., *Binarized Neural Networks* (2016); Liu et al., *Bi-Real Net* (2018), section
3.3; Courbariaux et al., *BinaryConnect* (2015), algorithm 1 and section 2.3; Zhou et al., *DoReFa-Net*
(2016), equations 7 and 8.
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
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


class _SteSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return plain_sign(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * (x.abs() <= CLIP)


class _ApproxSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return plain_sign(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * (2 - 2 * x.abs()).clamp(min=0)


def ste_sign(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Sign with the clipped straight-through gradient: 1 where |x| <= 1 and 0 else."""
    return _SteSign.apply(x)


def approx_sign(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Sign with the gradient of a piecewise parabola, 2 - 2 |x| where |x| <= 1 and 0 else."""
    return _ApproxSign.apply(x)


def identity_sign(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Sign with the gradient of the identity, as BinaryConnect passes it to its latent weights."""
    return _straight_through(x, plain_sign(x))


def stochastic_sign(
    x: Float[Tensor, "*shape"], generator: torch.Generator | None = None
) -> Float[Tensor, "*shape"]:
    """A random sign whose mean is x on [-1, 1], with the gradient of the identity.

    P(+1) = min(1, max(0, (x + 1) / 2)). ``generator`` is torch's own unless given.
    """
    chance = ((x + 1) / 2).clamp(0, 1)
    return _straight_through(x, plain_sign(chance - torch.rand(x.shape, generator=generator)))


def dorefa_sign(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Sign times the mean size of the whole tensor, with the gradient of the identity."""
    return _straight_through(x, plain_sign(x) * x.abs().mean())


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor) -> Tensor:
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def _straight_through(x: Tensor, value: Tensor) -> Tensor:
    return _StraightThrough.apply(x, value.detach())
