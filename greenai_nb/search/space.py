"""A space of small convolutional networks, all of which can be trained.

    stem - stage 1 - halve - stage 2 - halve - ... - linear layer

The stem is a 3 x 3 convolution with a stride. A stage is a row of blocks of one shape, and each block
is one of four operations, with c channels in and out:

| operation | f of x + f(x) | weights without batch norms |
|---|---|---|
| skip | none, the block is x | 0 |
| 1x1 | convolution, ReLU | c^2 |
| depthwise | 3 x 3 on each channel alone, ReLU, 1 x 1 | 9 c + c^2 |
| 3x3 | convolution, ReLU | 9 c^2 |

Between stages the image is halved by max-pooling, and a 1 x 1 convolution doubles the channels. A skip
may stand anywhere in its stage without any effect, so that several architectures are one network.

Source: the operations are those of Wu et al., *FBNet* (2019), made small.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, product

import torch
from jaxtyping import Float
from torch import Tensor, nn

from greenai_nb.checks import UsageError, whole
from greenai_nb.nets.architectures import MNIST, Addition, Shape

SKIP = "skip"
Architecture = tuple[str, ...]  # the operation of each block
Mixture = Float[Tensor, "blocks operations"]  # how much of each operation each block uses


class Residual(nn.Module):
    """x + f(x). A body that changes the shape raises ``ValueError``, which names it."""

    def __init__(self, name: str, body: nn.Module) -> None:
        super().__init__()
        self.name, self.body, self.addition = name, body, Addition()

    def forward(self, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
        y: Tensor = self.body(x)
        if y.shape != x.shape:
            given, got = tuple(x.shape[1:]), tuple(y.shape[1:])
            raise ValueError(f"operation {self.name} must keep the shape {given}, and gives {got}")
        out: Tensor = self.addition(x, y)
        return out


def _convolution(channels: int, filters: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(filters), nn.ReLU())


def _depthwise(channels: int) -> nn.Sequential:
    alone = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    mixed = nn.Conv2d(channels, channels, 1, bias=False)
    return nn.Sequential(alone, nn.BatchNorm2d(channels), nn.ReLU(), mixed, nn.BatchNorm2d(channels))


BODIES: dict[str, Callable[[int], nn.Module]] = {
    "1x1": lambda channels: _convolution(channels, channels, 1),
    "depthwise": _depthwise,
    "3x3": lambda channels: _convolution(channels, channels, 3),
}
OPERATIONS = (SKIP, *BODIES)


def block(operation: str, channels: int) -> nn.Module:
    """A block with one operation: ``nn.Identity`` for skip, else ``Residual``."""
    return Residual(operation, BODIES[operation](channels)) if operation != SKIP else nn.Identity()


def one_hot(architecture: Architecture) -> Mixture:
    """The mixture that uses one operation in each block."""
    mixture = torch.zeros(len(architecture), len(OPERATIONS))
    for row, operation in zip(mixture, architecture, strict=True):
        row[OPERATIONS.index(operation)] = 1
    return mixture


@dataclass(frozen=True)
class Space:
    """Networks for images of a shape: channels of the first stage, blocks of each stage, stem's stride.

    Raises ``UsageError`` for images that are too small to be halved after each stage.
    """

    shape: Shape = MNIST
    classes: int = 10
    width: int = 8
    stages: tuple[int, ...] = (1, 2)
    stride: int = 2

    def __post_init__(self) -> None:
        whole(classes=self.classes, width=self.width, stride=self.stride)
        for blocks in self.stages:
            whole(stages=blocks)
        if min(self._shapes[-1]) < 1:
            side = self.stride * (2 ** len(self.stages) - 1) + 1
            given = f"{self.shape[1]} x {self.shape[2]}"
            raise UsageError(f"images of {given} are too small: a side of {side} or more is expected")

    @property
    def _shapes(self) -> list[Shape]:
        """The shape in each stage, and before the linear layer."""
        channels, (height, width) = self.width, (-(-side // self.stride) for side in self.shape[1:])
        shapes = [(channels, height, width)]
        for _ in self.stages:
            channels, height, width = 2 * channels, height // 2, width // 2
            shapes.append((channels, height, width))
        return shapes

    @property
    def blocks(self) -> list[Shape]:
        """The shape of each block's input, which is that of its output."""
        pairs = zip(self._shapes[:-1], self.stages, strict=True)
        return [shape for shape, count in pairs for _ in range(count)]

    def fixed(self) -> dict[str, tuple[nn.Module, Shape]]:
        """New layers that all networks have, each with the shape of its input."""
        parts: dict[str, tuple[nn.Module, Shape]] = {}
        parts["stem"] = _convolution(self.shape[0], self.width, 3, self.stride), self.shape
        for number, shape in enumerate(self._shapes[:-2], 1):
            halve = nn.Sequential(nn.MaxPool2d(2), _convolution(shape[0], 2 * shape[0], 1))
            parts[f"halve {number}"] = halve, shape
        channels, height, width = self._shapes[-2]
        linear = nn.Linear(channels * (height // 2) * (width // 2), self.classes)
        parts["head"] = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), linear), self._shapes[-2]
        return parts

    def architectures(self) -> list[Architecture]:
        """All choices of an operation for each block."""
        return [*product(OPERATIONS, repeat=len(self.blocks))]

    def canonical(self, architecture: Architecture) -> Architecture:
        """The same network with the skips of each stage first. ``UsageError`` for what is not in it."""
        if len(architecture) != len(self.blocks) or not {*architecture} <= {*OPERATIONS}:
            expected = f"{len(self.blocks)} of {', '.join(OPERATIONS)} are expected"
            raise UsageError(f"{architecture!r} is not in the space: {expected}")
        same = groupby(zip(self.blocks, architecture, strict=True), key=lambda pair: pair[0])
        rows = ([operation for _, operation in stage] for _, stage in same)
        return tuple(each for row in rows for each in sorted(row, key=lambda name: name != SKIP))

    def distinct(self) -> list[Architecture]:
        """One architecture for each network."""
        return [*dict.fromkeys(map(self.canonical, self.architectures()))]

    def network(self, architecture: Architecture) -> nn.Sequential:
        """A new network, whose weights torch's current generator draws; raises as ``canonical`` does."""
        self.canonical(architecture)
        pairs = zip(architecture, self.blocks, strict=True)
        return nn.Sequential(*self.arranged([block(name, shape[0]) for name, shape in pairs]))

    def arranged(self, blocks: Sequence[nn.Module]) -> list[nn.Module]:
        """Blocks among new fixed layers, in the order in which an image passes them."""
        (stem, *halves, head), rest = [layer for layer, _ in self.fixed().values()], iter(blocks)
        layers = [stem]
        for number, count in enumerate(self.stages):
            layers += halves[number - 1 : number] + [next(rest) for _ in range(count)]
        return [*layers, head]


class Choice(nn.Module):
    """A block with all operations: x + sum_k m_k f_k(x) for a mixture m, with f = 0 for a skip.

    Since a mixture sums to one, that is the same mixture of the blocks x + f_k(x).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.options = nn.ModuleList(block(operation, channels) for operation in OPERATIONS)

    def forward(
        self, x: Float[Tensor, "batch *shape"], mixture: Float[Tensor, " operations"]
    ) -> Float[Tensor, "batch *shape"]:
        out = x
        for share, option in zip(mixture.unbind(), self.options, strict=True):
            if isinstance(option, Residual):
                out = out.addcmul(option.body(x), share)
        return out


class Supernet(nn.Module):
    """All networks of a space in one, with shared weights, and a score for each operation of a block.

    Without a mixture, its forward pass uses the operation with the highest score in each block.
    """

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.layers = nn.ModuleList(space.arranged([Choice(shape[0]) for shape in space.blocks]))
        self.scores = nn.Parameter(torch.zeros(len(space.blocks), len(OPERATIONS)))

    @property
    def architecture(self) -> Architecture:
        """The operation with the highest score in each block."""
        return tuple(OPERATIONS[index] for index in self.scores.argmax(1).tolist())

    def forward(
        self, images: Float[Tensor, "batch channels height width"], mixture: Mixture | None = None
    ) -> Float[Tensor, "batch classes"]:
        rows = iter(one_hot(self.architecture) if mixture is None else mixture)
        x: Tensor = images
        for layer in self.layers:
            x = layer(x, next(rows)) if isinstance(layer, Choice) else layer(x)
        return x

    def network(self, architecture: Architecture) -> nn.Sequential:
        """The network of an architecture, with a copy of the shared weights."""
        names = iter(architecture)
        chosen = [
            layer.options[OPERATIONS.index(next(names))] if isinstance(layer, Choice) else layer
            for layer in self.layers
        ]
        return copy.deepcopy(nn.Sequential(*chosen))
