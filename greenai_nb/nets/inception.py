"""Inception-v3: a large network of dense convolutions in parallel branches.

Each block feeds its input to several branches and concatenates their channels. Large filters are
factorized: one of 5 x 5 into two of 3 x 3, for 18/25 of its cost, and one of 7 x 7 into
1 x 7 and 7 x 1, for 2/7.

Source: Szegedy et al., *Rethinking the inception architecture for computer vision* (2016), table 1 and
figures 5 to 7 and 10; branch widths and batch norm's eps as in the authors' release.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch import cat as concatenate

# Filters, kernel and, for a convolution without padding, its stride.
Step = tuple[int, int | tuple[int, int]] | tuple[int, int, int]

ROW, COLUMN = (1, 7), (7, 1)
EPS, DROPOUT = 1e-3, 0.5


def inception_v3(classes: int = 1000) -> nn.Sequential:
    """Inception-v3 for images of 3 x 299 x 299, untrained and without the auxiliary classifier.

    It has 5,713,216,096 multiply-accumulates in convolutions and the linear layer, and 23,834,568
    weights. He initialization preserves the scale of the activations.
    """
    front = (_stem(), _narrow(192, 32), _narrow(256, 64), _narrow(288, 64), _halve(288, 384))
    middle = [_separable(inner) for inner in (128, 160, 160, 192)]
    back = (_halve_separable(), _wide(1280), _wide(2048), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*front, *middle, *back, nn.Dropout(DROPOUT), nn.Linear(2048, classes))


class Branches(nn.Module):
    """Several networks on one input, with their channels concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch filters rows columns"]:
        return concatenate([branch(x) for branch in self.branches], 1)


def _stem() -> nn.Sequential:
    return nn.Sequential(
        _chain(3, (32, 3, 2), (32, 3, 1), (64, 3)),
        nn.MaxPool2d(3, 2),
        _chain(64, (80, 1), (192, 3, 1)),
        nn.MaxPool2d(3, 2),
    )


def _narrow(channels: int, pooled: int) -> Branches:
    """Figure 5, at 35 x 35; its second branch keeps one filter of 5 x 5, as released."""
    return Branches(
        _chain(channels, (64, 1)),
        _chain(channels, (48, 1), (64, 5)),
        _chain(channels, (64, 1), (96, 3), (96, 3)),
        _pooling(channels, pooled),
    )


def _halve(channels: int, width: int) -> Branches:
    """Figure 10: from 35 x 35 to 17 x 17."""
    return Branches(
        _chain(channels, (width, 3, 2)),
        _chain(channels, (64, 1), (96, 3), (96, 3, 2)),
        nn.MaxPool2d(3, 2),
    )


def _separable(inner: int) -> Branches:
    """Figure 6, at 17 x 17: filters of 1 x 7 and 7 x 1."""
    return Branches(
        _chain(768, (192, 1)),
        _chain(768, (inner, 1), (inner, ROW), (192, COLUMN)),
        _chain(768, (inner, 1), (inner, COLUMN), (inner, ROW), (inner, COLUMN), (192, ROW)),
        _pooling(768, 192),
    )


def _halve_separable() -> Branches:
    """From 17 x 17 to 8 x 8."""
    return Branches(
        _chain(768, (192, 1), (320, 3, 2)),
        _chain(768, (192, 1), (192, ROW), (192, COLUMN), (192, 3, 2)),
        nn.MaxPool2d(3, 2),
    )


def _wide(channels: int) -> Branches:
    """Figure 7, at 8 x 8: two branches end in a fork of 1 x 3 and 3 x 1."""
    return Branches(
        _chain(channels, (320, 1)),
        _chain(channels, (384, 1)).append(_fork()),
        _chain(channels, (448, 1), (384, 3)).append(_fork()),
        _pooling(channels, 192),
    )


def _fork() -> Branches:
    return Branches(_chain(384, (384, (1, 3))), _chain(384, (384, (3, 1))))


def _pooling(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.AvgPool2d(3, 1, 1), _chain(channels, (width, 1)))


def _chain(channels: int, *steps: Step) -> nn.Sequential:
    """Convolutions one after the other, each with batch norm and ReLU; padded ones keep their size."""
    layers: list[nn.Module] = []
    for filters, kernel, *stride in steps:
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = 0 if stride else (sides[0] // 2, sides[1] // 2)
        conv = nn.Conv2d(channels, filters, sides, stride[0] if stride else 1, padding, bias=False)
        nn.init.kaiming_normal_(conv.weight)
        layers += [conv, nn.BatchNorm2d(filters, EPS), nn.ReLU()]
        channels = filters
    return nn.Sequential(*layers)
