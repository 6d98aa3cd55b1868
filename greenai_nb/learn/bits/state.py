"""A network of signs as cached arrays for flips, and back to torch.

The network turns an image into signs, takes a layer of signs without a scale to hidden units, adds an
odd constant to each, -1 or +1, takes the signs of these, and ends with a linear layer: ``sign_mlp``.
"""

from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float32, Int8, Int16, Int64
from numpy import ndarray as Array
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.data.datasets import Split
from greenai_nb.learn.fast.softmax import MIN_MASS
from greenai_nb.nets.binary import BinaryLinear, Sign
from greenai_nb.nets.scaling import NoScale
from greenai_nb.nets.weights import has_hooks

IMAGES_AT_ONCE = 1024
LANES = 8  # numbers that a processor treats at once; classes are padded to a multiple
MOST_INPUTS = 32_000  # an activation is kept in 16 bits


class BitChain(NamedTuple):
    """Weights, and cached values of the network on the training images; arrays change in place.

    ``filters`` are signs, with the constant of each unit in the last column; ``outgoing`` are the output
    weights of each unit, and in the last row the biases. ``images`` and ``inputs`` hold the same signs,
    by image and by input, the last of which is always 1. Images are sorted by label, those of class c
    from ``ends[c]`` to ``ends[c + 1]``. ``neighbours`` are the inputs beside each input in the picture,
    or -1. ``mass`` and ``inverse`` are room for the moves of output weights.
    """

    filters: Int8[Array, "units inputs"]
    outgoing: Float32[Array, "rows classes"]
    hidden_units: int
    images: Int8[Array, "images inputs"]
    inputs: Int8[Array, "inputs images"]
    labels: Int64[Array, " images"]
    ends: Int64[Array, " ends"]
    neighbours: Int64[Array, "inputs 4"]
    floor: np.float32
    activations: Int16[Array, "units images"]
    probabilities: Float32[Array, "images lanes"]
    mass: Float32[Array, "classes images"]
    inverse: Float32[Array, " images"]


Parts = tuple[nn.Sequential, BinaryLinear, nn.BatchNorm1d, nn.Linear]


def layers(net: nn.Module) -> Parts:
    """What gives the signs of an image, the layer of signs, the norm with its constants, and the output.

    Raises ``TypeError`` for a network of another kind.
    """
    parts = list(net) if isinstance(net, nn.Sequential) and not has_hooks(net) else [net]
    if [type(part) for part in parts[-4:]] == [BinaryLinear, nn.BatchNorm1d, Sign, nn.Linear]:
        hidden, norm, _, output = cast(Any, parts[-4:])
        plain = isinstance(hidden.scaling, NoScale) and hidden.input_quantizer is None
        if plain and not norm.affine and output.bias is not None:
            return nn.Sequential(*parts[:-4]), hidden, norm, output
    kinds = ", ".join(type(part).__name__ for part in parts)
    raise TypeError(
        "flips move a network that ends with BinaryLinear without a scale, BatchNorm1d without weights, "
        f"Sign and Linear with biases, all without hooks, as sign_mlp makes it; got {kinds}"
    )


def output_layer(net: nn.Module) -> nn.Linear:
    """The layer that gives the logits. Raises ``TypeError`` for a network that flips cannot move."""
    return layers(net)[-1]


@torch.inference_mode()
def chain_at(net: nn.Module, images: Tensor, labels: Int64[Tensor, " images"]) -> BitChain:
    """A chain at the weights of a network, which are copied.

    Raises ``ValueError`` where what reaches the layer of signs is not a sign, where its inputs and the
    constant are an even number, so that a sum may be zero, and for constants other than -1 and +1.
    """
    front, hidden, norm, output = layers(net)
    constants = -cast(Tensor, norm.running_mean)[:, None]
    if not bool((constants.abs() == 1).all()):
        raise ValueError("the running mean of the norm must be -1 or +1 for every hidden unit")
    if hidden.in_features % 2 or hidden.in_features > MOST_INPUTS:
        even = f"flips take an even number of inputs, at most {MOST_INPUTS}, got {hidden.in_features}"
        raise ValueError(f"{even}: with the constant they are odd, so that no sum is zero")
    labels, order = labels.sort(stable=True)
    inputs = _signs_of(front, Split(images[order], labels), hidden.in_features)
    signs = torch.cat([torch.where(hidden.weight >= 0, 1, -1), constants.long()], 1)
    classes, units = output.weight.shape
    activations = np.empty((units, len(labels)), np.int16)
    for some in range(0, len(labels), IMAGES_AT_ONCE):
        part = slice(some, some + IMAGES_AT_ONCE)
        activations[:, part] = signs.float() @ inputs[part].float().T
    lanes = -(-classes // LANES) * LANES
    chain = BitChain(
        signs.to(torch.int8).numpy(),
        torch.cat([output.weight.T, output.bias[None]]).contiguous().numpy(),
        units,
        inputs.numpy(),
        inputs.T.contiguous().numpy(),
        labels.numpy(),
        np.append(0, np.bincount(labels, minlength=classes).cumsum()),
        _neighbours(tuple(images.shape[1:]), hidden.in_features),
        np.float32(-np.inf),
        activations,
        np.zeros((len(labels), lanes), np.float32),
        np.empty((classes, len(labels)), np.float32),
        np.empty(len(labels), np.float32),
    )
    refresh(chain)
    return chain


def _signs_of(front: nn.Module, split: Split, width: int) -> Int8[Tensor, "images inputs"]:
    """The signs of every image that reach the layer of signs, and a last one for the constant."""
    inputs, pixels = torch.ones(len(split), width + 1, dtype=torch.int8), split.scaled()
    for some in range(0, len(split), IMAGES_AT_ONCE):
        part = front(pixels[some : some + IMAGES_AT_ONCE])
        if not bool((part.abs() == 1).all()):
            raise ValueError("the layer of signs must see -1 and +1 alone: put Sign() before it")
        inputs[some : some + IMAGES_AT_ONCE, :-1] = part
    return inputs


def _neighbours(shape: tuple[int, ...], width: int) -> Int64[Array, "inputs 4"]:
    """The inputs above, below, left and right of each in the same channel; -1 where there is none."""
    beside = np.full((width + 1, 4), -1)
    if np.prod(shape) == width:
        number = np.pad(np.arange(width).reshape(shape), ((0, 0), (1, 1), (1, 1)), constant_values=-1)
        rows, columns = number[:, :, 1:-1], number[:, 1:-1]
        sides = rows[:, :-2], rows[:, 2:], columns[:, :, :-2], columns[:, :, 2:]
        beside[:-1] = np.stack(sides, -1).reshape(width, 4)
    return beside


@torch.inference_mode()
def refresh(chain: BitChain) -> float:
    """Recompute the probabilities from weights and activations; returns the summed cross-entropy."""
    outgoing, loss = torch.from_numpy(chain.outgoing), 0.0
    labels = torch.from_numpy(chain.labels)
    for start in range(0, len(labels), IMAGES_AT_ONCE):
        some = slice(start, start + IMAGES_AT_ONCE)
        signs = torch.from_numpy(chain.activations[:, some]).sign().float()
        logits = signs.T @ outgoing[:-1] + outgoing[-1]
        loss += float(functional.cross_entropy(logits.double(), labels[some], reduction="sum"))
        chain.probabilities[some, : logits.shape[1]] = logits.softmax(1).clamp(min=float(MIN_MASS))
    return loss


@torch.inference_mode()
def write(chain: BitChain, net: nn.Module) -> None:
    """Set the weights of a network to those of the chain."""
    _, hidden, norm, output = layers(net)
    hidden.weight.copy_(torch.from_numpy(chain.filters[:, :-1]))
    cast(Tensor, norm.running_mean).copy_(-torch.from_numpy(chain.filters[:, -1]))
    output.weight.copy_(torch.from_numpy(chain.outgoing[:-1].T))
    output.bias.copy_(torch.from_numpy(chain.outgoing[-1]))
