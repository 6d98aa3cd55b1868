"""Pruning during training: the number of connections of a layer is fixed, and their places move.

| method | removes | adds as many |
|---|---|---|
| DEEP R | weights that have changed their sign, at each step | at random, with almost no weight |
| SET | the smallest weights, at intervals | at random, with weight zero |
| RigL | the smallest weights, at intervals | where the dense gradient is largest, with weight zero |

A step of DEEP R moves an active weight w = s theta of fixed sign s by

    theta <- theta - eta dL/dtheta - eta alpha + sqrt(2 eta T) nu ,    nu standard normal,

and a connection with theta < 0 becomes dormant. In soft DEEP R dormant connections move by the noise
alone, down to a floor, and become active when theta > 0, so that their number varies.

Source: Bellec et al., *Deep rewiring* (2018), algorithms 1 and 2; Mocanu et al., *SET* (2018); Evci et
al., *RigL* (2020), algorithm 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from greenai_nb.checks import non_negative, positive, whole
from greenai_nb.learn.stack import AfterStep, Layer

NEARLY_ZERO = 1e-12  # weight of a new connection, of the right sign
OVERSHOOT = 0.5826  # -zeta(1/2) / sqrt(2 pi), of a random walk stopped at a floor


@dataclass(frozen=True)
class DeepR:
    """DEEP R with the L1 pull ``alpha`` and the temperature T of its noise."""

    alpha: float = 1e-4
    temperature: float = 0.0

    def __post_init__(self) -> None:
        non_negative(alpha=self.alpha, temperature=self.temperature)

    def begin(self, layers: Sequence[Layer], generator: torch.Generator) -> AfterStep:
        """Signs of active connections are those of their weights; dormant ones get theirs at random."""
        signs = [_signs(layer, generator) for layer in layers]
        active = [each * layer.mask for each, layer in zip(signs, layers, strict=True)]

        def rewire(gradients: Sequence[Tensor], progress: float, rate: float) -> None:
            for layer, sign, now in zip(layers, signs, active, strict=True):
                layer.weight.sub_(now, alpha=rate * self.alpha)
                if self.temperature:
                    noise = torch.randn(now.shape, generator=generator).to(now)
                    layer.weight.add_(noise * layer.mask, alpha=math.sqrt(2 * rate * self.temperature))
                dead = (layer.weight * now < 0).flatten().nonzero().flatten()
                new = _dormant(layer, len(dead), generator)
                dead = dead[: len(new)]  # a nearly full layer has too few to exchange
                for tensor, gone, come in (
                    (layer.mask, False, True),
                    (layer.weight, 0.0, NEARLY_ZERO * sign.flatten()[new]),
                    (now, 0.0, sign.flatten()[new]),
                ):
                    tensor.view(-1)[dead] = gone
                    tensor.view(-1)[new] = come

        return rewire


@dataclass(frozen=True)
class SoftDeepR:
    """Soft DEEP R: all connections move, dormant ones by noise down to ``floor``, which is negative."""

    alpha: float
    temperature: float
    floor: float

    def __post_init__(self) -> None:
        positive(alpha=self.alpha, temperature=self.temperature, minus_floor=-self.floor)

    def begin(self, layers: Sequence[Layer], generator: torch.Generator) -> AfterStep:
        """Dormant connections start anywhere between the floor and zero."""
        signs = [_signs(layer, generator) for layer in layers]
        thetas = [
            torch.where(
                layer.mask,
                layer.weight.abs(),
                self.floor * torch.rand(sign.shape, generator=generator).to(sign),
            )
            for layer, sign in zip(layers, signs, strict=True)
        ]

        def rewire(gradients: Sequence[Tensor], progress: float, rate: float) -> None:
            for layer, sign, theta in zip(layers, signs, thetas, strict=True):
                stepped = layer.weight * sign - rate * self.alpha
                theta.copy_(torch.where(layer.mask, stepped, theta))
                noise = torch.randn(theta.shape, generator=generator).to(theta)
                theta.add_(noise, alpha=math.sqrt(2 * rate * self.temperature)).clamp_(min=self.floor)
                layer.mask.copy_(theta > 0)
                layer.weight.copy_(sign * theta.clamp(min=0))

        return rewire

    def active_probability(self, rate: float) -> float:
        """Share of active connections in the long run if the loss is flat, at a constant rate.

        b / (b + abs(floor) + 0.5826 sqrt(2 eta T)) with b = T / alpha; the last term, for the overshoot
        of a step, vanishes with the rate. Without it this is the authors' rule of thumb.
        """
        scale = self.temperature / self.alpha
        step = math.sqrt(2 * rate * self.temperature)
        return scale / (scale - self.floor + OVERSHOOT * step)


@dataclass(frozen=True)
class SparseEvolution:
    """SET: exchange a share of the smallest weights for random connections, every few steps.

    The share falls from ``share`` to zero as a cosine until ``until`` of the training is done.
    """

    share: float = 0.3
    every: int = 50
    until: float = 0.75

    def __post_init__(self) -> None:
        whole(every=self.every)
        for name, value in (("share", self.share), ("until", self.until)):
            if not 0 < value <= 1:
                raise ValueError(f"{name} must lie in (0, 1], got {value!r}")

    def begin(self, layers: Sequence[Layer], generator: torch.Generator) -> AfterStep:
        """Counts the steps."""
        steps = 0

        def rewire(gradients: Sequence[Tensor], progress: float, rate: float) -> None:
            nonlocal steps
            steps += 1
            if steps % self.every or progress > self.until:
                return
            share = self.share / 2 * (1 + math.cos(math.pi * progress / self.until))
            for layer, gradient in zip(layers, gradients, strict=True):
                active = int(layer.mask.sum())
                _exchange(
                    layer,
                    min(int(share * active), layer.mask.numel() - active),
                    self._wish(gradient, generator),
                )

        return rewire

    def _wish(self, gradient: Tensor, generator: torch.Generator) -> Tensor:
        return torch.rand(gradient.shape, generator=generator).to(gradient)


@dataclass(frozen=True)
class RigL(SparseEvolution):
    """RigL: the same exchange, with new connections where the dense gradient is largest."""

    share: float = 0.5

    def _wish(self, gradient: Tensor, generator: torch.Generator) -> Tensor:
        return gradient.abs()


def _exchange(layer: Layer, number: int, wish: Tensor) -> None:
    """Remove the smallest weights, and add as many where the wish is largest, removed ones included."""
    weight, mask, wish = layer.weight.view(-1), layer.mask.view(-1), wish.flatten().clone()
    sizes = torch.where(mask, weight.abs(), torch.inf)
    mask[sizes.topk(number, largest=False).indices] = False
    wish[mask] = -1
    mask[wish.topk(number).indices] = True
    weight.mul_(mask)


def _signs(layer: Layer, generator: torch.Generator) -> Tensor:
    drawn = torch.randint(0, 2, layer.weight.shape, generator=generator).to(layer.weight) * 2 - 1
    return torch.where(layer.weight == 0, drawn, layer.weight.sign())


def _dormant(layer: Layer, number: int, generator: torch.Generator) -> Tensor:
    """Up to this many dormant connections, drawn at random."""
    mask = layer.mask.view(-1)
    drawn = torch.randint(len(mask), (4 * number + 50,), generator=generator).unique().to(mask.device)
    free = drawn[~mask[drawn]]
    if len(free) < number:
        free = (~mask).nonzero().flatten()
    return free[torch.randperm(len(free), generator=generator)[:number]]
