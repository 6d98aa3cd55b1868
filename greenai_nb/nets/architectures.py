"""The small networks of the notebooks; every call draws its weights from torch's current generator."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear, Sign
from greenai_nb.nets.scaling import NoScale

Widths = Sequence[int]
Shape = tuple[int, int, int]  # channels, height and width of an image
MNIST: Shape = (1, 28, 28)
VGG_WIDTHS = (128, 128, 256, 256, 512, 512)

# A convolution and its activation: where a network differs from its binary twin.
Kind = tuple[Callable[..., nn.Conv2d], type[nn.Module]]
FLOAT: Kind = (partial(nn.Conv2d, bias=False), nn.ReLU)
BINARY: Kind = (BinaryConv2d, Sign)


class Addition(nn.Module):
    """The sum of two tensors of one shape, as a layer, so that a count of operations sees it."""

    def forward(self, x: Float[Tensor, "*shape"], y: Float[Tensor, "*shape"]) -> Tensor:
        return x + y


def mlp(inputs: int, hidden: int, classes: int = 10, bias: bool = False) -> nn.Sequential:
    """One hidden layer of ReLU units; without biases the weights are all there is to prune."""
    first, last = nn.Linear(inputs, hidden, bias=bias), nn.Linear(hidden, classes, bias=bias)
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), last)


def sign_mlp(inputs: int, hidden: int, classes: int = 10) -> nn.Sequential:
    """Signs of the pixels, a layer of signs, signs of its units, and a linear layer in float.

    A pixel counts as +1 from half of white on. Each unit adds a constant, -1 or +1, to its sum: minus
    the running mean of the norm after it.
    """
    binary = BinaryLinear(inputs, hidden, scaling=NoScale())
    pixels, shifted = (nn.BatchNorm1d(count, affine=False) for count in (inputs, hidden))
    pixels.register_buffer("running_mean", torch.full((inputs,), 0.5))
    shifted.register_buffer("running_mean", 2.0 * torch.randint(2, (hidden,)) - 1)
    return nn.Sequential(
        *(nn.Flatten(), pixels, Sign(), binary, shifted, Sign()), nn.Linear(hidden, classes)
    ).eval()


def shallow_cnn(
    filters: int, size: int = 8, stride: int = 4, classes: int = 10, shape: Shape = MNIST
) -> nn.Sequential:
    """One convolution without padding, ReLU and a linear layer, for images of a shape."""
    return _shallow(nn.Conv2d(shape[0], filters, size, stride), classes, shape)


def shallow_binary_cnn(
    filters: int, size: int = 8, stride: int = 4, classes: int = 10, shape: Shape = MNIST
) -> nn.Sequential:
    """The hybrid twin of ``shallow_cnn``: filters of signs with XNOR-Net's scale, the rest in float."""
    return _shallow(BinaryConv2d(shape[0], filters, size, stride), classes, shape)


def cnn(filters: int, classes: int = 10, shape: Shape = MNIST) -> nn.Sequential:
    """Two convolutions of stride 2 and a linear layer, in float, for images of a shape."""
    return _two_convolutions(filters, classes, shape, FLOAT)


def xnor_cnn(filters: int, classes: int = 10, shape: Shape = MNIST) -> nn.Sequential:
    """The twin of ``cnn`` with the XNOR block in the middle; the last layer sees real numbers."""
    return _two_convolutions(filters, classes, shape, BINARY)


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


def _shallow(conv: nn.Conv2d, classes: int, shape: Shape) -> nn.Sequential:
    size, stride = conv.kernel_size[0], conv.stride[0]
    if min(shape[1:]) < size:
        raise ValueError(f"filters of {size} x {size} pixels need images as large, got {shape}")
    positions = prod((side - size) // stride + 1 for side in shape[1:])
    linear = nn.Linear(conv.out_channels * positions, classes)
    return nn.Sequential(conv, nn.ReLU(), nn.Flatten(), linear)


def _two_convolutions(filters: int, classes: int, shape: Shape, kind: Kind) -> nn.Sequential:
    (conv, activation), width = kind, 2 * filters
    positions = prod(-(-side // 4) for side in shape[1:])
    return nn.Sequential(
        *(FLOAT[0](shape[0], filters, 3, stride=2, padding=1), nn.BatchNorm2d(filters), activation()),
        *(conv(filters, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(positions * width, classes)),
    )


def _pooled_convolutions(widths: Widths, kind: Kind) -> list[nn.Module]:
    layers = list[nn.Module]()
    for index, (before, width) in enumerate(pairwise(widths)):
        layers.append((kind if index else FLOAT)[0](before, width, 3, padding=1))
        layers += [nn.MaxPool2d(2)] if index % 2 else []
        layers += [nn.BatchNorm2d(width), kind[1]()]
    return layers
