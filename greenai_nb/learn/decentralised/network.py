"""The compiled chain of a network, as tempering asks for it.

It comes back from a state exactly as it left it. Cached values are no part of the state: they are
computed from the weights before each advance, so that it makes no difference who computed them last.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray as Array
from torch import nn
from torch.nn import functional

from greenai_nb.data.datasets import Split
from greenai_nb.learn.decentralised.bits import Random
from greenai_nb.learn.fast.chain import REFRESH_EVERY, ChainSettings, sweep
from greenai_nb.learn.fast.state import IMAGES_AT_ONCE, Chain, chain_at, refresh, write
from greenai_nb.nets.weights import copied


class NetworkState(NamedTuple):
    """The weights of a network as the compiled chain holds them, and the state of the generator."""

    filters: Float32[Array, "filters weights"]
    outgoing: Float32[Array, "units classes"]
    generator: Random


class Network:
    """The compiled chain of ``learn.fast`` for a network with one hidden layer, or none.

    A step is a block of moves. ``settings`` are the prior and the proposals; its inverse temperature,
    which is per training image, gives way to that of the replica. Raises what ``chain_at`` raises.
    """

    def __init__(self, net: nn.Module, train: Split, settings: ChainSettings | None = None) -> None:
        self.net, self.train, self.settings = copied(net).eval(), train, settings or ChainSettings()
        self.exact = copied(net).eval().double()
        self.chain: Chain = chain_at(self.net, train.images, train.labels)
        self.first = self.chain.filters.copy(), self.chain.outgoing.copy()
        self.generator = np.random.default_rng()

    def __reduce__(self) -> tuple[type["Network"], tuple[nn.Module, Split, ChainSettings]]:
        """Send network and images to another process, which computes the caches itself."""
        return Network, (self.net, self.train, self.settings)

    def start(self, seed: int) -> NetworkState:
        """The weights of the network."""
        return NetworkState(*self.first, np.random.default_rng(seed).bit_generator.state)

    def state(self) -> NetworkState:
        """Copies of the weights, and how the generator goes on."""
        random = self.generator.bit_generator.state
        return NetworkState(self.chain.filters.copy(), self.chain.outgoing.copy(), random)

    def restore(self, state: NetworkState) -> None:
        """Go back to a state."""
        self.chain.filters[:], self.chain.outgoing[:] = state.filters, state.outgoing
        self.generator.bit_generator.state = state.generator

    def advance(self, steps: int, inverse_temperature: float) -> None:
        """Make so many blocks of moves at an inverse temperature, with fresh caches at the start."""
        settings = replace(self.settings, inverse_temperature=inverse_temperature)
        at_once = max(1, REFRESH_EVERY // settings.block)
        for done in range(0, steps, at_once):
            refresh(self.chain)
            sweep(self.chain, min(at_once, steps - done), settings, self.generator)

    @torch.inference_mode()
    def loss(self) -> float:
        """Summed cross-entropy of the training images, with products and sums in double precision."""
        write(self.chain, self.exact)
        total, images, labels = 0.0, self.train.images, self.train.labels
        parts = map(Split, images.split(IMAGES_AT_ONCE), labels.split(IMAGES_AT_ONCE))
        for part in parts:
            logits = self.exact(part.scaled().double())
            total += float(functional.cross_entropy(logits, part.labels, reduction="sum"))
        return total

    def network(self, state: NetworkState) -> nn.Module:
        """A network with the weights of a state."""
        self.restore(state)
        net = copied(self.net)
        write(self.chain, net)
        return net
