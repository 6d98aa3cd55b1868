"""Deep fried layers: a square matrix as a product of diagonals, a permutation and Hadamard matrices.

    V = S H G P H B ,

with learned diagonals S, G and B, a fixed permutation P, and the Hadamard matrix H of entries
+-1 / sqrt(n). It has 3 n parameters instead of n^2. The Kronecker product of two small Hadamard
matrices is a large one, so H x takes 2 n^(3/2) products here; butterflies would take n log n additions.

Source: Le, Sarlos and Smola, *Fastfood* (2013); Yang et al., *Deep Fried Convnets* (2015), section 3.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def hadamard(n: int) -> Float[Tensor, "n n"]:
    """The orthogonal Hadamard matrix by doubling; ``ValueError`` for sizes that are no powers of two."""
    if n < 1 or n & (n - 1):
        raise ValueError(f"a Hadamard matrix by doubling has a power of two as its size, got {n!r}")
    matrix = torch.ones(1, 1)
    while len(matrix) < n:
        matrix = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), matrix)
    return matrix / math.sqrt(n)


class FastfoodLinear(nn.Module):
    """A linear map of ``units`` outputs, the first rows of blocks S H G P H B, with biases.

    Inputs are padded with zeros to a power of two. B starts as signs, G as normal numbers and S as ones.
    """

    left: Tensor
    right: Tensor
    permutation: Tensor

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.inputs, self.units = inputs, units
        self.size = 2 ** math.ceil(math.log2(inputs))
        blocks = -(-units // self.size)
        self.B = nn.Parameter(torch.randint(0, 2, (blocks, self.size)) * 2.0 - 1)
        self.G = nn.Parameter(torch.randn(blocks, self.size))
        self.S = nn.Parameter(torch.ones(blocks, self.size))
        self.bias = nn.Parameter(torch.zeros(units))
        self.register_buffer(
            "permutation", torch.stack([torch.randperm(self.size) for _ in range(blocks)])
        )
        rows = 2 ** (self.size.bit_length() // 2)
        self.register_buffer("left", hadamard(rows))
        self.register_buffer("right", hadamard(self.size // rows))

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch units"]:
        padded = functional.pad(x, (0, self.size - self.inputs))[:, None]
        mixed = self._mix(padded * self.B)
        permuted = mixed.gather(2, self.permutation.expand_as(mixed))
        return (self.S * self._mix(permuted * self.G)).flatten(1)[:, : self.units] + self.bias

    def _mix(self, x: Float[Tensor, "batch blocks size"]) -> Float[Tensor, "batch blocks size"]:
        """H x, with H the Kronecker product of two smaller ones."""
        square = x.unflatten(2, (len(self.left), len(self.right)))
        return (self.left @ square @ self.right).flatten(2)
