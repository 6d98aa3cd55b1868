"""A packed network as one operator of torch, so that exported programs can carry it.

The operator ``greenai::packed_net`` takes images and the content of a packed network's file; an exported
program has that file as a constant. One operator for a whole network, since a call costs some 50 us.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray as Array
from torch import Tensor, nn

from greenai_nb.nets.packed import BinaryStage, FloatStage, PackedNet
from greenai_nb.nets.packed_file import from_bytes, to_bytes

_opened: dict[int, tuple[Array, PackedNet]] = {}


@torch.library.custom_op("greenai::packed_net", mutates_args=())
def packed_net(x: Tensor, file: Tensor, outputs: int) -> Tensor:
    """Logits of the packed network in ``file``, of which there are ``outputs`` an image."""
    return _open(file)(x.detach()).clone()


@packed_net.register_fake
def _(x: Tensor, file: Tensor, outputs: int) -> Tensor:
    return x.new_empty(x.shape[0], outputs)


def _no_gradient(context: Any, *gradients: Tensor) -> None:
    raise RuntimeError(
        "a packed network has no gradient: train the float network that it came from, and pack it again"
    )


packed_net.register_autograd(_no_gradient)


class PackedModule(nn.Module):
    """A packed network as a module that ``torch.export`` understands.

    Raises ``ValueError`` unless the network ends in a linear layer, whose outputs are its own.
    """

    file: UInt8[Tensor, " bytes"]

    def __init__(self, net: PackedNet) -> None:
        super().__init__()
        self.outputs = _outputs(net)
        self.register_buffer("file", torch.frombuffer(bytearray(to_bytes(net)), dtype=torch.uint8))

    def forward(self, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch outputs"]:
        return packed_net(x, self.file, self.outputs)


def _outputs(net: PackedNet) -> int:
    last = net.stages[-1]
    if isinstance(last, FloatStage) and isinstance(last.layer, nn.Linear):
        return last.layer.out_features
    if isinstance(last, BinaryStage) and last.sums is None:
        return last.weights.outputs
    raise ValueError(f"{last.name}: the last layer must be linear, got {type(last).__name__}")


def _open(file: Tensor) -> PackedNet:
    """The network in a file, opened once for each file that is in memory."""
    content = file.numpy()
    known = _opened.get(file.data_ptr())
    if known is None or not np.array_equal(known[0], content):
        known = _opened[file.data_ptr()] = content.copy(), from_bytes(content.tobytes())
    return known[1]
