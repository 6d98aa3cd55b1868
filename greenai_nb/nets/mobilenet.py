"""MobileNetV2: a large network made cheap by convolutions of one channel at a time.

A block of the paper widens d channels t times, filters each channel on its own, 3 x 3, and
mixes them down to d' channels without a nonlinearity; at stride 1 and d = d' the input is added back.
On an output of h x w at stride 1 it takes

    h w t d (d + 9 + d')

multiply-accumulates, where a dense 3 x 3 convolution of d to d' channels takes h w 9 d d'.

Source: Sandler et al., *MobileNetV2: Inverted residuals and linear bottlenecks* (2018), tables 1 and 2.
"""

from jaxtyping import Float
from torch import Tensor, nn

# Table 2: expansion t, channels, blocks, and the stride of the first block.
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM, HEAD, DROPOUT = 32, 1280, 0.2


def mobilenet_v2(classes: int = 1000) -> nn.Sequential:
    """MobileNetV2 of width 1 for images of 3 x 224 x 224, untrained.

    It has 300,774,272 multiply-accumulates in convolutions and the linear layer, and 3,504,872 weights.
    He initialization preserves the scale of the activations, so that no layer works on zeros.
    """
    layers: list[nn.Module] = [_conv(3, STEM, 3, stride=2)]
    channels = STEM
    for expansion, width, count, stride in BLOCKS:
        for block in range(count):
            layers.append(InvertedResidual(channels, width, expansion, 1 if block else stride))
            channels = width
    layers += [_conv(channels, HEAD, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(DROPOUT), nn.Linear(HEAD, classes))


class InvertedResidual(nn.Module):
    """A block of the paper's table 1: widen, filter each channel alone, narrow, and add the input."""

    def __init__(self, channels: int, width: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = expansion * channels
        widen = [_conv(channels, inner, 1)] if expansion > 1 else []
        filtered, narrowed = _conv(inner, inner, 3, stride, inner), _conv(inner, width, 1)[:2]
        self.layers = nn.Sequential(*widen, filtered, narrowed)
        self.adds = stride == 1 and channels == width

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch filters rows columns"]:
        y: Tensor = self.layers(x)
        return x + y if self.adds else y


def _conv(channels: int, filters: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight)
    return nn.Sequential(conv, nn.BatchNorm2d(filters), nn.ReLU6())
