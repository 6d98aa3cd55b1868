"""Weights of few levels as they are stored: a short code for each, and a table of the levels."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray as Array
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.nets.quantize import QuantizedLinear


def pack_codes(codes: UInt8[Array, " numbers"], bits: int) -> UInt8[Array, " bytes"]:
    """The lowest bits of each code, one after the other without gaps."""
    return np.packbits(np.unpackbits(codes[:, None], 1, bits, "little"), bitorder="little")


def unpack_codes(packed: UInt8[Array, " bytes"], bits: int, numbers: int) -> UInt8[Array, " numbers"]:
    """The codes that ``pack_codes`` packed."""
    each = np.unpackbits(packed, None, numbers * bits, "little").reshape(numbers, bits)
    return np.packbits(each, 1, "little")[:, 0]


class PackedLinear(nn.Module):
    """A linear map that holds the codes of its weights, and unpacks them in each pass.

    It saves memory and not time: after unpacking it multiplies floats.
    """

    codes: Tensor
    table: Tensor
    bias: Tensor | None

    def __init__(
        self, in_features: int, out_features: int, bits: int, levels: int, bias: bool = False
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.bits, self.levels = bits, levels
        packed = -(-in_features * out_features * bits // 8)
        self.register_buffer("codes", torch.zeros(packed, dtype=torch.uint8))
        self.register_buffer("table", torch.zeros(levels))
        self.register_buffer("bias", torch.zeros(out_features) if bias else None)

    @classmethod
    def of(cls, layer: QuantizedLinear) -> "PackedLinear":
        """The layer with its weights as they are after the quantizer, bit by bit."""
        table, codes = layer.quantizer(layer.weight.detach()).unique(return_inverse=True)
        bias = layer.bias is not None
        packed = cls(layer.in_features, layer.out_features, layer.quantizer.bits, len(table), bias)
        bits = pack_codes(codes.flatten().to(torch.uint8).numpy(), packed.bits)
        packed.codes, packed.table = torch.from_numpy(bits), table
        packed.bias = None if layer.bias is None else layer.bias.detach().clone()
        return packed

    def weight(self) -> Float[Tensor, "units inputs"]:
        """The weights in float."""
        numbers = self.in_features * self.out_features
        codes = unpack_codes(self.codes.numpy(), self.bits, numbers)
        return self.table[torch.from_numpy(codes).long()].view(self.out_features, self.in_features)

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch units"]:
        return functional.linear(x, self.weight(), self.bias)
