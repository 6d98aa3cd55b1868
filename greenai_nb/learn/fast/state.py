"""A network with one hidden layer as cached arrays for incremental updates, and back to torch.

The network is a layer of filters, ReLU, and a linear layer; a filter as large as the image is a hidden
unit of a multilayer perceptron.
"""

from typing import NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from numpy import ndarray as Array
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.learn.fast.kernels import WHITE
from greenai_nb.learn.fast.softmax import MIN_MASS
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear
from greenai_nb.nets.scaling import MeanScale
from greenai_nb.nets.weights import has_hooks

IMAGES_AT_ONCE = 1024
BIAS_SHARE = 0.01

Filters = nn.Linear | nn.Conv2d


class Chain(NamedTuple):
    """Weights, and cached values of the network on the training images; arrays change in place.

    ``filters`` have their bias in the last column, and ``outgoing[f * positions + q]`` are the output
    weights of filter f at position q; with biases its last row holds those of the output, whose unit is
    always 1. ``places[k, q]`` is the row of ``pixels`` under weight k at position q; the last row of
    pixels is all white. Images are sorted by label, those of class c from ``ends[c]`` to
    ``ends[c + 1]``. ``mass`` and ``inverse`` hold the probabilities as ``softmax`` reads them.
    """

    filters: Float32[Array, "filters weights"]
    outgoing: Float32[Array, "units classes"]
    binary: bool
    pixels: UInt8[Array, "pixels images"]
    places: Int64[Array, "weights positions"]
    ends: Int64[Array, " ends"]
    column_cdf: Float64[Array, " weights"]
    activations: Float32[Array, "units images"]
    mass: Float32[Array, "classes images"]
    inverse: Float32[Array, " images"]

    @property
    def hidden_units(self) -> int:
        """Filters times positions: the rows of ``outgoing`` that are no bias."""
        return len(self.filters) * self.places.shape[1]


def layers(net: nn.Module) -> tuple[Filters, nn.Linear]:
    """The filters and the linear layer of a network that the chain can move.

    Raises ``TypeError`` for another kind of network, which ``accept_reject.steps`` can move.
    """
    parts = list(net) if type(net) is nn.Sequential and not has_hooks(net) else [net]
    parts = [part for part in parts if not isinstance(part, nn.Flatten)]
    if [type(part) for part in parts[1:]] == [nn.ReLU, nn.Linear]:
        first, _, output = parts
        if _moves(first) and (first.bias is None or output.bias is not None):
            return cast(tuple[Filters, nn.Linear], (first, output))
    raise TypeError(
        "the fast chain moves one linear layer, or one convolution without padding, then ReLU and a "
        f"linear layer, all without hooks; got {', '.join(type(part).__name__ for part in parts)}. "
        "greenai_nb.learn.accept_reject.steps moves any network."
    )


def _moves(first: nn.Module) -> bool:
    signs = isinstance(first, BinaryLinear | BinaryConv2d)
    if signs and (first.input_quantizer is not None or not isinstance(first.scaling, MeanScale)):
        return False
    if isinstance(first, nn.Conv2d):
        plain = (first.padding, first.dilation, first.groups) == ((0, 0), (1, 1), 1)
        return plain and type(first) in (nn.Conv2d, BinaryConv2d)
    return type(first) in (nn.Linear, BinaryLinear)


def chain_at(
    net: nn.Module, images: UInt8[Tensor, "images *shape"], labels: Int64[Tensor, " images"]
) -> Chain:
    """A chain at the weights of a network, which are copied.

    Weights of a filter are drawn in proportion to the spread of the pixels under them, biases one time
    in a hundred.
    """
    first, output = layers(net)
    weight, binary = first.weight.detach().flatten(1), isinstance(first, BinaryLinear | BinaryConv2d)
    if binary:
        size = weight.abs().mean(1, keepdim=True)
        weight = torch.where(weight >= 0, size, -size)
    hidden_bias = torch.zeros(len(weight)) if first.bias is None else first.bias.detach()
    outgoing = [output.weight.detach().T] + ([] if output.bias is None else [output.bias.detach()[None]])
    places = _places(first, images)
    spread = np.array([of_pixel.std() for of_pixel in images.flatten(1).T.numpy()])
    spread = spread[places[:-1]].mean(1)
    bias_share = 0.0 if first.bias is None else BIAS_SHARE
    cdf = np.append((1 - bias_share) * spread / spread.sum(), bias_share).cumsum()
    cdf[cdf.argmax() :] = 1.0
    count, classes, order = len(labels), output.out_features, torch.argsort(labels, stable=True)
    white = torch.full((1, count), int(WHITE), dtype=torch.uint8)
    chain = Chain(
        torch.cat([weight, hidden_bias[:, None]], 1).numpy(),
        torch.cat(outgoing).contiguous().numpy(),
        binary,
        torch.cat([images.flatten(1)[order].T, white]).contiguous().numpy(),
        places,
        np.append(0, np.bincount(labels, minlength=classes).cumsum()),
        cdf,
        np.ones((sum(map(len, outgoing)), count), np.float32),
        np.empty((classes, count), np.float32),
        np.empty(count, np.float32),
    )
    refresh(chain)
    return chain


def _places(first: Filters, images: Tensor) -> Int64[Array, "weights positions"]:
    """The row of pixels under each weight at each position, and the row of white under the bias."""
    numbers = torch.arange(images[0].numel(), dtype=torch.float32)
    if isinstance(first, nn.Conv2d):
        square = numbers.view(1, *images.shape[1:])
        places = functional.unfold(square, first.kernel_size, stride=first.stride).squeeze(0)
    else:
        places = numbers[:, None]
    under_bias = torch.full((1, places.shape[1]), float(len(numbers)))
    return torch.cat([places, under_bias]).long().numpy()


@torch.inference_mode()
def refresh(chain: Chain) -> float:
    """Recompute the caches from the weights, against accumulated rounding; returns the summed loss."""
    filters, outgoing = torch.from_numpy(chain.filters), torch.from_numpy(chain.outgoing)
    loss = 0.0
    for start in range(0, len(chain.inverse), IMAGES_AT_ONCE):
        some = slice(start, start + IMAGES_AT_ONCE)
        scaled = torch.from_numpy(chain.pixels[:, some]) / float(WHITE)
        activations = torch.from_numpy(chain.activations)[:, some]
        by_filter = activations[: chain.hidden_units].unflatten(0, (len(filters), -1))
        for position, under in enumerate(torch.from_numpy(chain.places).T):
            by_filter[:, position] = filters @ scaled[under]
        logits = outgoing.T @ activations.relu()
        logits -= logits.amax(0)
        mass = logits.exp()
        total = mass.sum(0)
        chain.inverse[some] = 1 / total
        chain.mass[:, some] = mass.clamp(min=float(MIN_MASS))
        loss += float(total.double().log().sum())
        ends = np.clip(chain.ends - start, 0, len(total))
        for of_label, first, last in zip(logits, ends, ends[1:], strict=False):
            loss -= float(of_label[first:last].sum(dtype=torch.float64))
    return loss


@torch.inference_mode()
def write(chain: Chain, net: nn.Module) -> None:
    """Set the weights of a network to those of the chain."""
    first, output = layers(net)
    first.weight.copy_(torch.from_numpy(chain.filters[:, :-1]).view_as(first.weight))
    output.weight.copy_(torch.from_numpy(chain.outgoing[: chain.hidden_units].T))
    if first.bias is not None:
        first.bias.copy_(torch.from_numpy(chain.filters[:, -1]))
    if output.bias is not None:
        output.bias.copy_(torch.from_numpy(chain.outgoing[-1]))
