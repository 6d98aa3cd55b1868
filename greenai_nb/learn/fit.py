"""What training returns, whichever trainer ran, and fits for several seeds."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from greenai_nb.data.datasets import Split
from greenai_nb.nets.weights import copied, device_of

ACCURACY_BATCH = 500
MOVES = ("step", "layer", "proposal", "tried", "accepted", "refused_early", "visited")


@dataclass(frozen=True)
class Fit:
    """A trained network, how its training went, and all that is needed to train it again.

    ``trace`` has a row for each evaluation, with the columns ``step``, ``loss`` (training
    cross-entropy, nats an image), ``accuracy`` (validation), ``seconds`` (CPU time) and
    ``operations`` (multiply-accumulates). ``moves`` is empty for gradients; a chain has a row for each
    evaluation and layer, with the proposals ``tried`` and ``accepted`` since the evaluation before,
    those ``refused_early`` (by a bound, without the exact loss), and the share of the layer's weights
    ``visited`` so far. ``settings`` are the trainer's name and arguments. A ``remembered`` fit was
    trained earlier, and its seconds are those of that training.
    """

    net: nn.Module
    trace: pd.DataFrame
    settings: Mapping[str, object]
    moves: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(MOVES)))
    interrupted: bool = False
    remembered: bool = False


def over_seeds(
    make: Callable[[int], nn.Module],
    train: Callable[[nn.Module, int], Fit],
    seeds: Sequence[int],
    workers: int = 1,
) -> list[Fit]:
    """A fit for each seed: ``train(make(seed), seed)``, on several threads if there are ``workers``.

    The networks are made one after the other, each after ``torch.manual_seed(seed)``. One worker trains
    in the calling thread, where an interrupt reaches the trainer.
    """
    nets = []
    for seed in seeds:
        torch.manual_seed(seed)
        nets.append(make(seed))
    if workers == 1:
        return [*map(train, nets, seeds)]
    with ThreadPoolExecutor(workers) as pool:
        return [*pool.map(train, nets, seeds)]


def accuracy(net: nn.Module, split: Split) -> float:
    """Share of a split's images that the network classifies correctly."""
    return float(accuracies(net, split))


def accuracies(net: nn.Module, split: Split) -> Float[Tensor, "*networks"]:
    """The same for a stack of networks, whose logits are (images, networks, classes): one for each."""
    was_training, device = net.training, device_of(net)
    net.eval()
    with torch.inference_mode():
        parts = map(Split, split.images.split(ACCURACY_BATCH), split.labels.split(ACCURACY_BATCH))
        answers = [net(part.to(device).scaled()).argmax(-1) for part in parts]
    net.train(was_training)
    return (torch.cat(answers).cpu().movedim(0, -1) == split.labels.cpu()).double().mean(-1)


def accuracy_percent(fits: Sequence[Fit], split: Split) -> list[float]:
    """Accuracy of each fit's network on a split, in percent."""
    return [100 * accuracy(fit.net, split) for fit in fits]


def multiply_accumulates(net: nn.Module, images: Tensor) -> int:
    """Multiply-accumulates of linear layers and convolutions in one forward pass over some images.

    Torch's own counter gives the same numbers, and takes a second or two to start.
    """
    products, twin = list[int](), copied(net).eval()

    def add(layer: Any, _given: object, output: Tensor) -> None:
        products.append(output.numel() * layer.weight[0].numel())

    for layer in twin.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(add)
    with torch.no_grad():
        twin(images.to(device_of(twin)))
    return sum(products)
