"""A network with one hidden layer, or none, as cached arrays for incremental updates, and back to torch.

The network is a layer of filters, ReLU, and a linear layer; a filter as large as the image is a hidden
unit of a multilayer perceptron. A linear layer alone is a network of no filters, whose units are the
inputs themselves, of either sign.
"""

from typing import NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from numpy import ndarray as Array
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.learn.fast.kernels import WHITE
from greenai_nb.learn.fast.softmax import MIN_MASS, TILE
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear
from greenai_nb.nets.scaling import MeanScale
from greenai_nb.nets.weights import has_hooks

IMAGES_AT_ONCE = 256
BIAS_SHARE = 0.01

Filters = nn.Linear | nn.Conv2d
Pixels = UInt8[Array, "pixels images"] | Float32[Array, "pixels images"]


class Chain(NamedTuple):
    """Weights, and cached values of the network on the training images; arrays change in place.

    ``filters`` have their bias in the last column, and ``outgoing[f * positions + q]`` are the output
    weights of filter f at position q; with biases its last row holds those of the output, whose unit is
    always 1. A unit passes on max(activation, ``floor``): zero for ReLU, -inf where there are no
    filters. ``places[k, q]`` is the row of ``pixels`` under weight k at position q; the last row is all
    ``white``, which is 255 for bytes and 1 for numbers of either sign. Images are sorted by label,
    those of class c from ``ends[c]`` to ``ends[c + 1]``. ``brightest[k, t]`` is the size of the largest
    pixel under weight k in tile t of the images: where it is zero, the weight moves nothing. ``mass``
    and ``inverse`` hold the probabilities as ``softmax`` reads them.
    """

    filters: Float32[Array, "filters weights"]
    outgoing: Float32[Array, "units classes"]
    hidden_units: int
    binary: bool
    floor: np.float32
    white: np.float32
    pixels: Pixels
    places: Int64[Array, "weights positions"]
    brightest: Float32[Array, "weights tiles"]
    ends: Int64[Array, " ends"]
    column_cdf: Float64[Array, " weights"]
    activations: Float32[Array, "units images"]
    mass: Float32[Array, "classes images"]
    inverse: Float32[Array, " images"]


def layers(net: nn.Module) -> tuple[Filters, nn.Linear]:
    """The filters and the linear layer of a network that the chain can move.

    Raises ``TypeError`` for another kind of network, which ``accept_reject.steps`` can move.
    """
    parts = _parts(net)
    if [type(part) for part in parts[1:]] == [nn.ReLU, nn.Linear]:
        first, _, output = parts
        if _moves(first) and (first.bias is None or output.bias is not None):
            return cast(tuple[Filters, nn.Linear], (first, output))
    raise TypeError(
        "the fast chain moves one linear layer, or one convolution without padding, then ReLU and a "
        f"linear layer, all without hooks; got {', '.join(type(part).__name__ for part in parts)}. "
        "greenai_nb.learn.accept_reject.steps moves any network."
    )


def output_layer(net: nn.Module) -> nn.Linear:
    """The layer that gives the logits. Raises ``TypeError`` for a network that no chain can move."""
    return layers(net)[1] if _has_hidden(net) else cast(nn.Linear, _parts(net)[0])


def _has_hidden(net: nn.Module) -> bool:
    return has_hooks(net) or [type(part) for part in _parts(net)] != [nn.Linear]


def _parts(net: nn.Module) -> list[nn.Module]:
    parts = list(net) if type(net) is nn.Sequential and not has_hooks(net) else [net]
    return [part for part in parts if not isinstance(part, nn.Flatten)]


def _moves(first: nn.Module) -> bool:
    signs = isinstance(first, BinaryLinear | BinaryConv2d)
    if signs and (first.input_quantizer is not None or not isinstance(first.scaling, MeanScale)):
        return False
    if isinstance(first, nn.Conv2d):
        plain = (first.padding, first.dilation, first.groups) == ((0, 0), (1, 1), 1)
        return plain and type(first) in (nn.Conv2d, BinaryConv2d)
    return type(first) in (nn.Linear, BinaryLinear)


def chain_at(
    net: nn.Module,
    images: UInt8[Tensor, "images *shape"] | Float32[Tensor, "images *shape"],
    labels: Int64[Tensor, " images"],
) -> Chain:
    """A chain at the weights of a network, which are copied; bytes stand for numbers in [0, 1].

    Weights of a filter are drawn in proportion to the spread of the pixels under them, biases one time
    in a hundred.
    """
    output, order = output_layer(net), torch.argsort(labels, stable=True)
    white = np.float32(1 if images.is_floating_point() else WHITE)
    outgoing = [output.weight.detach().T] + ([] if output.bias is None else [output.bias.detach()[None]])
    count, classes, units = len(labels), output.out_features, output.in_features
    inputs = torch.empty(images[0].numel() + 1, count, dtype=images.dtype)
    torch.index_select(images.flatten(1).T, 1, order, out=inputs[:-1])
    inputs[-1] = float(white)
    activations = np.ones((sum(map(len, outgoing)), count), np.float32)
    filters, binary, floor = np.empty((0, 1), np.float32), False, -np.inf
    places, cdf = np.zeros((1, 1), np.int64), np.ones(1)
    if _has_hidden(net):
        first, floor = layers(net)[0], 0.0
        filters, binary = _filters(first)
        places = _places(first, images)
        cdf = _column_cdf(images, places, 0.0 if first.bias is None else BIAS_SHARE)
    else:
        torch.from_numpy(activations)[:units] = inputs[:-1] / float(white)
        inputs = inputs[-1:]
    chain = Chain(
        filters,
        torch.cat(outgoing).contiguous().numpy(force=True),
        units,
        binary,
        np.float32(floor),
        white,
        inputs.numpy(),
        places,
        _brightest(inputs.numpy(), places),
        np.append(0, np.bincount(labels, minlength=classes).cumsum()),
        cdf,
        activations,
        np.empty((classes, count), np.float32),
        np.empty(count, np.float32),
    )
    refresh(chain)
    return chain


def _filters(first: Filters) -> tuple[Float32[Array, "filters weights"], bool]:
    """The filters with their biases in the last column, and whether they are signs times a scale."""
    weight, binary = first.weight.detach().flatten(1), isinstance(first, BinaryLinear | BinaryConv2d)
    if binary:
        size = weight.abs().mean(1, keepdim=True)
        weight = torch.where(weight >= 0, size, -size)
    bias = weight.new_zeros(len(weight)) if first.bias is None else first.bias.detach()
    return torch.cat([weight, bias[:, None]], 1).numpy(force=True), binary


def _column_cdf(
    images: Tensor, places: Int64[Array, "weights positions"], bias_share: float
) -> Float64[Array, " weights"]:
    spread = np.array([of_pixel.std() for of_pixel in images.flatten(1).T.numpy()])
    spread = spread[places[:-1]].mean(1)
    cdf = np.append((1 - bias_share) * spread / spread.sum(), bias_share).cumsum()
    cdf[cdf.argmax() :] = 1.0
    return cdf


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


def _brightest(pixels: Pixels, places: Int64[Array, "weights positions"]) -> Float32[Array, "weights t"]:
    """The largest pixel under each weight, of either sign, in each tile of images."""
    starts = range(0, pixels.shape[1], TILE)
    largest = np.stack([np.abs(pixels[:, start : start + TILE]).max(1) for start in starts], 1)
    return largest[places].max(1).astype(np.float32)


@torch.inference_mode()
def refresh(chain: Chain) -> float:
    """Recompute the caches from the weights, against accumulated rounding; returns the summed loss."""
    filters, outgoing = torch.from_numpy(chain.filters), torch.from_numpy(chain.outgoing)
    loss = 0.0
    for start in range(0, len(chain.inverse), IMAGES_AT_ONCE):
        some = slice(start, start + IMAGES_AT_ONCE)
        activations = torch.from_numpy(chain.activations)[:, some]
        if len(filters):
            scaled = torch.from_numpy(chain.pixels[:, some]) / float(chain.white)
            by_filter = activations[: chain.hidden_units].unflatten(0, (len(filters), -1))
            for position, under in enumerate(torch.from_numpy(chain.places).T):
                by_filter[:, position] = filters @ scaled[under]
        logits = outgoing.T @ activations.clamp(min=float(chain.floor))
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
    output = output_layer(net)
    output.weight.copy_(torch.from_numpy(chain.outgoing[: chain.hidden_units].T))
    if output.bias is not None:
        output.bias.copy_(torch.from_numpy(chain.outgoing[-1]))
    if _has_hidden(net):
        first = layers(net)[0]
        first.weight.copy_(torch.from_numpy(chain.filters[:, :-1]).view_as(first.weight))
        if first.bias is not None:
            first.bias.copy_(torch.from_numpy(chain.filters[:, -1]))
