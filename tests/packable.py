"""Binary networks that can be packed, for tests."""

import torch
from torch import nn

from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear, Sign
from greenai_nb.nets.scaling import LearnedScale, NoScale

KERNELS = ("words", "lookup", "carry_save")


def settled(net, *shape):
    """A network whose batch norms have seen data, with gammas of both signs and one that is zero."""
    for _ in range(3):
        net(torch.randn(30, *shape))
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias, std=0.2)
            layer.weight.data[0] = 0
    return net.eval()


def vgg_like():
    """Every order of pooling, norm and sign that pack knows."""
    return nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1),
        nn.BatchNorm2d(5),
        Sign(),
        BinaryConv2d(5, 9, 3, padding=1),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(9),
        Sign(),
        nn.Sequential(
            BinaryConv2d(9, 70, 3, stride=2, padding=1, scaling=NoScale()), nn.BatchNorm2d(70)
        ),
        Sign(),
        nn.MaxPool2d(2, 1),
        nn.Flatten(),
        BinaryLinear(70, 6, scaling=LearnedScale((6,))),
        nn.BatchNorm1d(6),
        Sign(),
        nn.Linear(6, 3),
    )


def vgg_small_like():
    """A float convolution first, whole words of signs in the middle, real numbers for the last layer."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        Sign(),
        BinaryConv2d(64, 128, 3, padding=1),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(128),
        Sign(),
        BinaryConv2d(128, 70, 3, padding=1),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(70),
        nn.Flatten(),
        nn.Linear(70 * 9, 3),
    )
