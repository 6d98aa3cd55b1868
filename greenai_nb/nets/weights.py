"""A network's weights by kind (real, scale, binary) as the theorem counts them, and copies of it."""

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear
from greenai_nb.nets.scaling import LearnedScale, NoScale, scale

Net = TypeVar("Net", bound=nn.Module)


class WeightKinds(NamedTuple):
    """w^real, w^scale and w^bin of the slides; real weights and learned scales are the network's own."""

    real: list[Tensor]
    scale: list[Tensor]
    binary: list[Tensor]


def binary_layers(net: nn.Module) -> list[BinaryLinear | BinaryConv2d]:
    """The layers whose latent weights act through their signs, in order."""
    return [layer for layer in net.modules() if isinstance(layer, BinaryLinear | BinaryConv2d)]


def weights_by_kind(net: nn.Module) -> WeightKinds:
    """Every parameter of a network, sorted by the kind of weight that it acts as.

    A latent weight of a binary layer acts through its sign, which is binary, and through the scale
    of its unit. Learned scales are scales; all other parameters are real.
    """
    scales, binary, taken = [], [], []
    for layer in binary_layers(net):
        binary.append(layer.weight.data >= 0)
        taken.append(layer.weight)
        if isinstance(layer.scaling, LearnedScale):
            scales += [factor.data for factor in layer.scaling.factors]
            taken += layer.scaling.factors
        elif not isinstance(layer.scaling, NoScale):
            scales.append(scale(layer.weight.data))
    known = {id(weight) for weight in taken}
    real = [weight.data for weight in net.parameters() if id(weight) not in known]
    return WeightKinds(real, scales, binary)


def prunable_weights(net: nn.Module) -> list[Tensor]:
    """The real weights of two or more dimensions, which are gone once set to zero.

    Biases and batch norms are not matrices; a latent weight of zero would still act as +1.
    """
    return [weight for weight in weights_by_kind(net).real if weight.ndim > 1]


class _Values(TorchFunctionMode):
    """Make deep copies of tensors that were computed from others hold only their values."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0].detach().clone()
        return function(*args, **kwargs or {})


def twin(net: Net, copies: dict[int, Any]) -> Net:
    """A copy of any network; ``copies`` maps originals' ids to existing copies and receives the rest.

    Raises ``TypeError`` for a network that holds what cannot be copied.
    """
    try:
        with _Values():
            return copy.deepcopy(net, copies)
    except (TypeError, RuntimeError) as error:
        kept = f"{type(net).__name__} must be copied and holds an object that cannot be ({error})"
        raise TypeError(f"this {kept}: take that object out of the network first") from error


def copied(net: Net) -> Net:
    """A copy of a network that shares nothing with it; weights shared within it stay shared.

    Raises ``ValueError`` unless all weights are float32 parameters of the layers themselves, and
    ``TypeError`` where the network holds what cannot be copied.
    """
    check_shapes(net)
    for name, weight in (*net.named_parameters(), *net.named_buffers()):
        if weight.is_floating_point() and weight.dtype != torch.float32:
            raise ValueError(f"{name} is {weight.dtype}, float32 is expected: call net.float() first")
    for name, layer in net.named_modules():
        for own in _computed(layer):
            mend = "prune.remove, remove_weight_norm, remove_spectral_norm or remove_parametrizations"
            raise ValueError(f"{name}.{own} is computed in each pass: make it permanent, with {mend}")
    return twin(net, {})


def device_of(net: nn.Module) -> torch.device:
    """The device of a network's weights. ``ValueError`` unless it is one, and holds values."""
    found = {weight.device for weight in ([*net.parameters()] or net.buffers())} or {torch.device("cpu")}
    if len(found) > 1 or torch.device("meta") in found:
        given = " and ".join(sorted(map(str, found)))
        raise ValueError(f"weights must be on one device, not meta, got {given}: move them by net.to")
    return found.pop()


def check_shapes(net: nn.Module) -> None:
    """Raise ``ValueError`` for a lazy layer, which has no weights until it sees images."""
    for name, weight in (*net.named_parameters(), *net.named_buffers()):
        if nn.parameter.is_lazy(weight):
            raise ValueError(f"{name} has no shape yet: pass images through the network first")


def _computed(layer: nn.Module) -> Iterable[str]:
    """Weights that torch's prune, weight_norm, spectral_norm or parametrize compute, by name."""
    if parametrize.is_parametrized(layer):
        return [*cast(nn.ModuleDict, layer.parametrizations)]
    tensors = {key for key, value in vars(layer).items() if isinstance(value, Tensor)}
    owned = (own.rpartition("_") for own, _ in layer.named_parameters(recurse=False))
    return tensors & {name for name, _, end in owned if end in ("orig", "g", "v")}


def has_hooks(net: nn.Module) -> bool:
    """Whether a call to the network runs more than the layers themselves."""
    held = (item for layer in net.modules() for item in vars(layer).items())
    return any(hooks for name, hooks in held if name.endswith("_hooks"))


def fold_batch_norm(net: Net) -> Net:
    """A copy whose batch norms are plain maps x -> g x + c, equal to ``net`` in evaluation mode.

    g = gamma / sqrt(var + eps) and c = beta - g mean: the running statistics are then among the
    weights, and a loss of the network depends on nothing but its weights and the one input.
    Raises ``ValueError`` for a batch norm that lacks statistics or weights, and what ``copied`` raises.
    """
    folded = copied(net).eval()
    for layer in folded.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            if layer.running_mean is None or layer.running_var is None or layer.weight is None:
                raise ValueError(f"{layer} cannot be folded without running statistics and weights")
            with torch.no_grad():
                layer.weight.div_(torch.sqrt(layer.running_var + layer.eps))
                layer.bias.sub_(layer.weight * layer.running_mean)
            layer.running_mean.zero_()
            layer.running_var.fill_(1)
            layer.eps = 0
    return folded
