"""What training returns, whichever way it went."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import nn

from greenai_nb.data.datasets import Split

ACCURACY_BATCH = 2000


@dataclass(frozen=True)
class Fit:
    """A trained network, how its training went, and what was asked for.

    ``trace`` has a row for each look at the network, with the columns ``step``, ``loss`` (training
    cross-entropy, nats an image), ``accuracy`` (validation), ``seconds`` (CPU time) and
    ``operations`` (multiply-accumulates). Accept-reject adds ``visited``, the share of weights
    proposed at least once, and the share of proposals accepted since the look before, by layer or
    parameter, in columns that begin with ``acceptance``; the fast chain adds ``refused_early``, the
    share that needed no exact loss. ``law`` holds the trainer's name and settings.
    """

    net: nn.Module
    trace: pd.DataFrame
    law: Mapping[str, object]


def accuracy(net: nn.Module, split: Split) -> float:
    """Share of a split's images that the network puts in the right class."""
    was_training = net.training
    net.eval()
    with torch.inference_mode():
        right = sum(
            (net(part.scaled()).argmax(1) == part.labels).sum().item()
            for part in map(
                Split, split.images.split(ACCURACY_BATCH), split.labels.split(ACCURACY_BATCH)
            )
        )
    net.train(was_training)
    return right / len(split)
