"""One product of signs for all processors: pack, multiply, cut to size."""

import functools
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray as Array

from greenai_nb.checks import nearest
from greenai_nb.nets.kernels.processor import best_kernel


@functools.cache
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
