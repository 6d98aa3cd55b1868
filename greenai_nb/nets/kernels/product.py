"""One product of signs for all processors: pack, multiply, cut to size."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from jaxtyping import Bool, Int32, UInt8
from numpy import ndarray as Array

from greenai_nb.checks import nearest
from greenai_nb.nets.kernels.processor import best_kernel


def kernel(name: str) -> ModuleType:
    """The module of a kernel: ``words``, ``lookup`` or ``carry_save``."""
    from greenai_nb.nets.kernels import carry_save, lookup, words

    kernels = {"words": words, "lookup": lookup, "carry_save": carry_save}
    if name not in kernels:
        raise ValueError(f"kernel {name!r} is not known. {nearest(name, kernels)}")
    return kernels[name]


def pack_signs(positive: Bool[Array, "rows length"]) -> UInt8[Array, "rows bytes"]:
    """Rows of signs as bits, eight a byte, the first in the lowest bit; zeros pad the last byte."""
    return np.packbits(positive, axis=-1, bitorder="little")


@dataclass(frozen=True)
class PackedWeights:
    """Weights of a product of signs, packed for one kernel.

    ``panels`` are the weights as the kernel reads them, ``bits`` as given. ``length`` is the number
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

    @property
    def nbytes(self) -> int:
        """Bytes of the weights as the kernel reads them."""
        return self.panels.nbytes

    def products(self, rows: UInt8[Array, "rows bytes"]) -> Int32[Array, "rows padded_outputs"]:
        """Inner products of rows of packed signs with each output's weights.

        Outputs beyond ``self.outputs`` pad the last panel and mean nothing.
        """
        module = kernel(self.kernel)
        return module.products(module.pack_activations(rows), self.panels, self.length)[: len(rows)]

    def levels(self, thresholds: Int32[Array, "kinds outputs"]) -> Array:
        """The largest number of differences at which each output still reaches its threshold.

        Products are length - 2 differences. Outputs that pad the last panel have -1, which none reaches.
        """
        module = kernel(self.kernel)
        levels = np.full((len(thresholds), len(self.panels) * module.PANEL), -1, module.LEVELS)
        levels[:, : self.outputs] = np.clip((self.length - thresholds) // 2, -1, self.length)
        return levels

    def reached(
        self, rows: UInt8[Array, "rows bytes"], kinds: Int32[Array, " positions"], levels: Array
    ) -> UInt8[Array, "rows output_bytes"]:
        """Bits of the outputs whose product reaches its threshold; the products are never written.

        The positions of an image repeat along the rows; ``kinds`` says which row of ``levels`` each
        of them takes.
        """
        module = kernel(self.kernel)
        bits = module.reached(module.pack_activations(rows), self.panels, kinds, levels)
        return bits[: len(rows), : -(-self.outputs // 8)]


def pack_weights(
    rows: UInt8[Array, "outputs bytes"], length: int, name: str | None = None
) -> PackedWeights:
    """Pack rows of signs as weights for a kernel, the fastest of this processor unless named.

    Products that are too long for the look-up kernel's registers go to ``words``.
    """
    name = name or best_kernel()
    if length > getattr(kernel(name), "LONGEST", length):
        name = "words"
    return PackedWeights(name, kernel(name).pack_weights(rows), rows, length)
