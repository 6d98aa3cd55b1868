"""The small networks of the notebooks; every call draws its weights from torch's current generator."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from torch import nn

from greenai_nb.nets.binary import BinaryConv2d, Sign

Widths = Sequence[int]
VGG_WIDTHS = (128, 128, 256, 256, 512, 512)

# A convolution and its activation: where a network differs from its binary twin.
Kind = tuple[Callable[..., nn.Conv2d], type[nn.Module]]
FLOAT: Kind = (partial(nn.Conv2d, bias=False), nn.ReLU)
BINARY: Kind = (BinaryConv2d, Sign)


def mlp(inputs: int, hidden: int, classes: int = 10, bias: bool = False) -> nn.Sequential:
    """One hidden layer of ReLU units; without biases the weights are all there is to prune."""
    first, last = nn.Linear(inputs, hidden, bias=bias), nn.Linear(hidden, classes, bias=bias)
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), last)


def shallow_cnn(filters: int, size: int = 8, stride: int = 4, classes: int = 10) -> nn.Sequential:
    """One convolution without padding, ReLU and a linear layer, for images of 28 x 28."""
    return _shallow(nn.Conv2d(1, filters, size, stride), classes)


def shallow_binary_cnn(filters: int, size: int = 8, stride: int = 4, classes: int = 10) -> nn.Sequential:
    """The hybrid twin of ``shallow_cnn``: filters of signs with XNOR-Net's scale, the rest in float."""
    return _shallow(BinaryConv2d(1, filters, size, stride), classes)


def cnn(filters: int, classes: int = 10) -> nn.Sequential:
    """Two convolutions of stride 2 and a linear layer, in float, for images of 28 x 28."""
    return _two_convolutions(filters, classes, FLOAT)


def xnor_cnn(filters: int, classes: int = 10) -> nn.Sequential:
    """The twin of ``cnn`` with the XNOR block in the middle; the last layer sees real numbers."""
    return _two_convolutions(filters, classes, BINARY)


def vgg_small(channels: int = 3, classes: int = 10, widths: Widths = VGG_WIDTHS) -> nn.Sequential:
    """The VGG-small of the binary-network papers for images of 32 x 32, in float.

    Six 3 x 3 convolutions, with 2 x 2 max-pooling after the second, fourth and sixth, and a linear
    layer; ``widths`` are the numbers of filters.
    """
    layers = _pooled_convolutions((channels, *widths), FLOAT)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * 16, classes))


def xnor_vgg_small(channels: int = 3, classes: int = 10, widths: Widths = VGG_WIDTHS) -> nn.Sequential:
    """The binary twin of ``vgg_small``: all convolutions but the first act on signs.

    The last pooling and batch norm hand real numbers to the linear layer.
    """
    layers = _pooled_convolutions((channels, *widths), BINARY)[:-1]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * 16, classes))


def _shallow(conv: nn.Conv2d, classes: int) -> nn.Sequential:
    units = conv.out_channels * ((28 - conv.kernel_size[0]) // conv.stride[0] + 1) ** 2
    return nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(units, classes))


def _two_convolutions(filters: int, classes: int, kind: Kind) -> nn.Sequential:
    (conv, activation), width = kind, 2 * filters
    return nn.Sequential(
        *(FLOAT[0](1, filters, 3, stride=2, padding=1), nn.BatchNorm2d(filters), activation()),
        *(conv(filters, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(49 * width, classes)),
    )


def _pooled_convolutions(widths: Widths, kind: Kind) -> list[nn.Module]:
    layers = list[nn.Module]()
    for index, (before, width) in enumerate(pairwise(widths)):
        layers.append((kind if index else FLOAT)[0](before, width, 3, padding=1))
        layers += [nn.MaxPool2d(2)] if index % 2 else []
        layers += [nn.BatchNorm2d(width), kind[1]()]
    return layers
