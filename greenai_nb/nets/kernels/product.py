"""One product of signs for all processors: pack, multiply, cut to size."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from jaxtyping import Bool, Int32, UInt8
from numpy import ndarray as Array

from greenai_nb.nets.kernels.processor import best_kernel


def kernel(name: str) -> ModuleType:
    """The module of a kernel: ``words``, ``lookup`` or ``carry_save``."""
    from importlib import import_module

    return import_module(f"greenai_nb.nets.kernels.{name}")


def pack_signs(positive: Bool[Array, "rows length"]) -> UInt8[Array, "rows bytes"]:
    """Rows of signs as bits, eight a byte, the first in the lowest bit; zeros pad the last byte."""
    return np.packbits(positive, axis=-1, bitorder="little")


@dataclass(frozen=True)
class PackedWeights:
    """Weights of a product of signs, packed for one kernel.

    ``panels`` are the weights as the kernel reads them, ``bits`` as they came. ``length`` is the number
    of signs that are multiplied; padding bits must be zero on both sides.
    """

    kernel: str
    panels: Array
    bits: UInt8[Array, "outputs bytes"]
    length: int

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return len(self.bits)

    def products(self, rows: UInt8[Array, "rows bytes"]) -> Int32[Array, "rows padded_outputs"]:
        """Inner products of rows of packed signs with each output's weights.

        Outputs beyond ``self.outputs`` pad the last panel and mean nothing.
        """
        module = kernel(self.kernel)
        found = module.products(module.pack_activations(rows), self.panels, self.length)
        return found[: len(rows)]


def pack_weights(
    rows: UInt8[Array, "outputs bytes"], length: int, name: str | None = None
) -> PackedWeights:
    """Pack rows of signs as weights for a kernel, the fastest of this processor unless named."""
    name = name or best_kernel()
    return PackedWeights(name, kernel(name).pack_weights(rows), rows, length)
