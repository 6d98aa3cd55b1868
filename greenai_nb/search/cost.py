"""What each network of a space costs, as a sum of the costs of its parts.

    cost(a) = c_0 + sum_b c[b, a_b] ,        E cost(a) = c_0 + sum_b sum_k p[b, k] c[b, k] ,

with c_0 for the layers that all networks have, c[b, k] for operation k in block b, and p[b, k] its
probability. The second equation is exact, because the first is linear in the choices. A few
parts give the costs of all networks; whether a sum of parts is the whole must be measured.

A network is taken as it is deployed: each batch norm is merged into the convolution before it.

Source: Wu et al., *FBNet* (2019), section 3.2 and equations 3 and 8.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray as Array
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from greenai_nb.checks import whole
from greenai_nb.energy.compare import passes
from greenai_nb.energy.derived import derived_energy
from greenai_nb.nets.architectures import Shape
from greenai_nb.nets.counts import count
from greenai_nb.search.space import OPERATIONS, SKIP, Architecture, Mixture, Space, block

MICRO, NANO = 1e-6, 1e-9


@dataclass(frozen=True)
class CostTable:
    """Costs of an image: of the layers that all networks have, and of each operation in each block.

    Raises ``ValueError`` for a cost that is missing, negative or not finite, and names it.
    """

    unit: str
    fixed: float
    blocks: Float[Tensor, "blocks operations"]

    def __post_init__(self) -> None:
        if self.blocks.ndim != 2 or self.blocks.shape[1] != len(OPERATIONS):
            expected = f"a row for each block, with {', '.join(OPERATIONS)}"
            raise ValueError(f"costs must be {expected}, got a shape of {tuple(self.blocks.shape)}")
        costs = {"the fixed layers": self.fixed}
        for number, row in enumerate(self.blocks.tolist()):
            names = (f"{name} in block {number}" for name in OPERATIONS)
            costs |= dict(zip(names, row, strict=True))
        for name, cost in costs.items():
            if not 0 <= cost < math.inf:
                raise ValueError(f"the cost of {name} must be a number in [0, inf), got {cost}")

    def of(self, architecture: Architecture) -> float:
        """The cost of one network."""
        chosen = zip(self.blocks.tolist(), architecture, strict=True)
        return self.fixed + sum(row[OPERATIONS.index(operation)] for row, operation in chosen)

    def expected(self, probabilities: Mixture) -> Float[Tensor, ""]:
        """The expected cost, if each block's operation is drawn with these probabilities."""
        return self.fixed + (probabilities * self.blocks.to(probabilities.dtype)).sum()


@dataclass(frozen=True)
class Measured:
    """A table of costs, the costs of whole networks, and any reason to doubt them."""

    table: CostTable
    whole: Mapping[Architecture, float]
    doubt: str = ""

    @property
    def errors(self) -> Float[Array, " networks"]:
        """Relative error of each network's sum of parts."""
        return np.array([self.table.of(each) / cost - 1 for each, cost in self.whole.items()])


def deployed(net: nn.Module) -> nn.Module:
    """A copy in evaluation mode, whose batch norms are part of the convolutions before them."""
    net = copy.deepcopy(net).eval()
    for row in [module for module in net.modules() if isinstance(module, nn.Sequential)]:
        for place in reversed(range(1, len(row))):
            conv, norm = row[place - 1], row[place]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                row[place - 1] = fuse_conv_bn_eval(conv, norm)
                del row[place]
    return net


@torch.inference_mode()
def latency(
    space: Space,
    networks: Sequence[Architecture],
    batch: int = 1,
    repetitions: int = 10,
    window_s: float = 0.002,
    seed: int = 0,
) -> Measured:
    """Microseconds of CPU time an image, of all parts and of some networks, read in turns.

    Each is the least of some repetitions, in each of which it runs for ``window_s`` seconds. ``seed``
    draws images and the orders. Raises what ``passes`` and ``Space.network`` raise.
    """
    whole(batch=batch)
    generator = torch.Generator().manual_seed(seed)
    works = {}
    for name, (net, shape) in (_parts(space) | _named(space, networks)).items():
        images = torch.rand(batch, *shape, generator=generator)
        works[name] = partial(deployed(net), images)
    got = passes(works, repetitions, seed, window_s, backend="vcpu")
    costs = {name: float(got.costs(name).min()) / batch / MICRO for name in works}
    return _sorted(space, networks, "us", costs, got.doubt)


def energy(space: Space, networks: Sequence[Architecture], batch: int = 1) -> Measured:
    """Nanojoules an image, derived from counts, of all parts and of some networks."""
    whole(batch=batch)
    items = (_parts(space) | _named(space, networks)).items()
    costs = {name: energy_nj(net, shape, batch) for name, (net, shape) in items}
    return _sorted(space, networks, "nJ", costs, "")


def energy_nj(net: nn.Module, shape: Shape, batch: int = 1) -> float:
    """Derived nanojoules an image of a forward pass over a batch; a skip costs nothing."""
    table = count(deployed(net), torch.empty(batch, *shape))
    return derived_energy(table[table["kind"] != "Identity"]).energy_j / NANO / batch


def _parts(space: Space) -> dict[str, tuple[nn.Module, Shape]]:
    """Each part that costs anything, with the shape of its input."""
    return space.fixed() | {
        _place(number, operation): (block(operation, shape[0]), shape)
        for number, shape in enumerate(space.blocks)
        for operation in OPERATIONS
        if operation != SKIP
    }


def _named(space: Space, networks: Sequence[Architecture]) -> dict[str, tuple[nn.Module, Shape]]:
    return {" ".join(each): (space.network(each), space.shape) for each in networks}


def _place(number: int, operation: str) -> str:
    return f"block {number}: {operation}"


def _sorted(
    space: Space,
    networks: Sequence[Architecture],
    unit: str,
    costs: Mapping[str, float],
    doubt: str,
) -> Measured:
    """A table of the costs of parts, and the costs of networks."""
    rows = [
        [costs.get(_place(number, operation), 0.0) for operation in OPERATIONS]
        for number in range(len(space.blocks))
    ]
    fixed = sum(costs[name] for name in space.fixed())
    table = CostTable(unit, fixed, torch.tensor(rows, dtype=torch.float64))
    return Measured(table, {each: costs[" ".join(each)] for each in networks}, doubt)
