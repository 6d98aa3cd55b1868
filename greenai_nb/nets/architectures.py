"""Small networks of the walk; every call draws its weights from torch's current generator."""

import itertools
from collections.abc import Sequence

from torch import nn

from greenai_nb.nets.binary import BinaryConv2d, Sign

VGG_WIDTHS = (128, 128, 256, 256, 512, 512)


def mlp(inputs: int, hidden: int, classes: int = 10, bias: bool = False) -> nn.Sequential:
    """One hidden layer of ReLU units; without biases the weights are all there is to prune."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, hidden, bias=bias),
        nn.ReLU(),
        nn.Linear(hidden, classes, bias=bias),
    )


def shallow_cnn(filters: int, size: int = 8, stride: int = 4, classes: int = 10) -> nn.Sequential:
    """One convolution without padding, ReLU and a linear layer, for images of 28 x 28."""
    units = filters * ((28 - size) // stride + 1) ** 2
    return nn.Sequential(
        nn.Conv2d(1, filters, size, stride), nn.ReLU(), nn.Flatten(), nn.Linear(units, classes)
    )


def shallow_binary_cnn(filters: int, size: int = 8, stride: int = 4, classes: int = 10) -> nn.Sequential:
    """The hybrid twin of ``shallow_cnn``: filters of signs with XNOR-Net's scale, the rest in float."""
    units = filters * ((28 - size) // stride + 1) ** 2
    return nn.Sequential(
        BinaryConv2d(1, filters, size, stride), nn.ReLU(), nn.Flatten(), nn.Linear(units, classes)
    )


def cnn(filters: int, classes: int = 10) -> nn.Sequential:
    """Two convolutions of stride 2 and a linear layer, in float, for images of 28 x 28."""
    return nn.Sequential(
        nn.Conv2d(1, filters, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
        nn.Conv2d(filters, 2 * filters, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * filters),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * filters * 49, classes),
    )


def xnor_cnn(filters: int, classes: int = 10) -> nn.Sequential:
    """The twin of ``cnn`` with the XNOR block in the middle; first and last layer stay in float."""
    return nn.Sequential(
        nn.Conv2d(1, filters, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(filters),
        Sign(),
        BinaryConv2d(filters, 2 * filters, 3, stride=2, padding=1),
        nn.BatchNorm2d(2 * filters),
        Sign(),
        nn.Flatten(),
        nn.Linear(2 * filters * 49, classes),
    )


def vgg_small(channels: int = 3, classes: int = 10, widths: Sequence[int] = VGG_WIDTHS) -> nn.Sequential:
    """The VGG-small of the binary-network papers for images of 32 x 32, in float.

    Six 3 x 3 convolutions, with 2 x 2 max-pooling after the second, fourth and sixth, and a linear
    layer; ``widths`` are their filters.
    """
    layers: list[nn.Module] = []
    for index, (before, width) in enumerate(zip((channels, *widths), widths, strict=False)):
        layers.append(nn.Conv2d(before, width, 3, padding=1, bias=False))
        layers += [nn.MaxPool2d(2)] if index % 2 else []
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * 16, classes))


def xnor_vgg_small(
    channels: int = 3, classes: int = 10, widths: Sequence[int] = VGG_WIDTHS
) -> nn.Sequential:
    """The binary twin of ``vgg_small``: all convolutions but the first on signs.

    The last pooling and batch norm hand real numbers to the linear layer.
    """
    layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)]
    layers += [nn.BatchNorm2d(widths[0]), Sign()]
    for index, (before, width) in enumerate(itertools.pairwise(widths), 1):
        layers.append(BinaryConv2d(before, width, 3, padding=1))
        layers += [nn.MaxPool2d(2)] if index % 2 else []
        layers += [nn.BatchNorm2d(width), Sign()]
    return nn.Sequential(*layers[:-1], nn.Flatten(), nn.Linear(widths[-1] * 16, classes))
