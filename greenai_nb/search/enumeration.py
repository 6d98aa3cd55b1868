"""Train every network of a space: the truth that a search is judged by, and the price of knowing it.

    python -m greenai_nb.search.enumeration FILE [--dataset NAME] [--images 4000] [--seeds 0 1 2 3 4]

writes a table with a row for each distinct network and seed. Its first line is a comment in JSON that
says what it was ``made`` from and ``with`` which versions. The table of the package took about nine
minutes of one core.

A random search that trains n of N networks, without repetition, and takes the best has the r-th best
with probability C(N - r, n - 1) / C(N, n), so that its expected rank is (N + 1) / (n + 1).
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from greenai_nb.checks import UsageError
from greenai_nb.data.datasets import Dataset, Split, load
from greenai_nb.files import write_atomic
from greenai_nb.learn.fit import Fit, accuracy, over_seeds
from greenai_nb.learn.sgd import fit_sgd
from greenai_nb.machine import card
from greenai_nb.search.space import Architecture, Space

SHIPPED = Path(str(files("greenai_nb.search") / "tables" / "mnist_10k.csv"))
COLUMNS = ("architecture", "seed", "loss", "accuracy", "test_accuracy", "seconds", "operations")
BATCH = 500


@dataclass(frozen=True)
class Training:
    """How each network is trained, by ``fit_sgd``."""

    epochs: int = 3
    learning_rate: float = 0.1
    batch_size: int = 64

    def fit(self, net: nn.Module, data: Dataset, seed: int) -> Fit:
        """The network, trained."""
        return fit_sgd(net, data, seed=seed, **asdict(self))


@torch.inference_mode()
def cross_entropy(net: nn.Module, split: Split) -> float:
    """Mean cross-entropy of a network in evaluation mode on a split, in nats an image."""
    pairs = zip(split.scaled().split(BATCH), split.labels.split(BATCH), strict=True)
    summed = sum(functional.cross_entropy(net(x), y, reduction="sum").item() for x, y in pairs)
    return summed / len(split)


def trained(
    space: Space,
    data: Dataset,
    training: Training,
    architectures: Sequence[Architecture],
    seeds: Sequence[int],
) -> pd.DataFrame:
    """Train some networks for each seed.

    ``loss`` (nats) and ``accuracy`` (a share) are those on validation images, ``seconds`` are CPU
    seconds of the training, and ``operations`` its multiply-accumulates. ``architecture`` has the
    operations of the blocks, with spaces between them. Raises ``UsageError`` if the data set has other
    images or classes than the space, and what ``fit_sgd`` raises.
    """
    if (data.shape, data.classes) != (space.shape, space.classes):
        given = f"{data.name} has images of {data.shape} in {data.classes} classes"
        raise UsageError(f"{given}, the space is for {space.shape} in {space.classes}")
    rows = []
    for architecture in architectures:
        make = partial(_network, space, architecture)
        fits = over_seeds(make, lambda net, seed: training.fit(net, data, seed), seeds)
        for seed, fit in zip(seeds, fits, strict=True):
            last, loss = fit.trace.iloc[-1], cross_entropy(fit.net, data.validation)
            accuracies = accuracy(fit.net, data.validation), accuracy(fit.net, data.test)
            spent = last["seconds"], last["operations"]
            rows.append((" ".join(architecture), seed, loss, *accuracies, *spent))
    return pd.DataFrame(rows, columns=[*COLUMNS])


def _network(space: Space, architecture: Architecture, _seed: int) -> nn.Module:
    return space.network(architecture)


def described(space: Space, data: Dataset, training: Training) -> dict[str, Any]:
    """All that a table depends on but its seeds, as JSON holds it."""
    about = {"dataset": data.name, "sha256": data.sha256}
    return json.loads(json.dumps(about | asdict(space) | asdict(training)))


def write(path: Path, table: pd.DataFrame, made: dict[str, Any]) -> None:
    """Write a table with what it was made from, as ``described`` says it."""
    machine = card()
    versions = {name: machine[name] for name in ("processor", "python", "torch", "numpy")}
    head = json.dumps({"made": made, "with": versions})
    write_atomic(path, f"# {head}\n" + table.round(5).to_csv(index=False))


def read(path: Path = SHIPPED) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A table and what it was made from. ``UsageError`` for a file that ``write`` did not make."""
    head, _, _ = path.read_text().partition("\n")
    try:
        made = json.loads(head.removeprefix("# "))["made"]
        table = pd.read_csv(path, skiprows=1)[[*COLUMNS]]
    except (ValueError, KeyError, TypeError) as error:
        expected = "a table that python -m greenai_nb.search.enumeration has written is expected"
        raise UsageError(f"{path} cannot be read ({error}): {expected}") from None
    return table, made


def seed_noise(table: pd.DataFrame) -> float:
    """Standard deviation of log loss over seeds, pooled over the networks; NaN for a single seed.

    Losses vary by as many per cent whether they are small or large.
    """
    return math.sqrt(np.log(table["loss"]).groupby(table["architecture"]).var().mean())


def expected_best(values: Sequence[float], tries: int) -> float:
    """Expected least value of ``tries`` networks drawn without repetition.

    Raises ``ValueError`` unless 1 <= tries <= the number of networks.
    """
    total = len(values)
    if not 1 <= tries <= total:
        raise ValueError(f"tries must lie in [1, {total}], one network or more, got {tries!r}")
    weights = [math.comb(total - rank, tries - 1) for rank in range(1, total + 1)]
    return float(np.dot(sorted(values), weights) / math.comb(total, tries))


def main() -> None:
    """Train all networks, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--dataset", default="mnist-10k")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    given = parser.parse_args()
    torch.set_num_threads(1)
    data, training = load(given.dataset).first(given.images), Training()
    space = Space(data.shape, data.classes)
    tables = []
    for number, architecture in enumerate(space.distinct(), 1):
        tables.append(trained(space, data, training, [architecture], given.seeds))
        print(f"{number}: {' '.join(architecture)}, loss {tables[-1]['loss'].mean():.3f}", flush=True)
    write(given.file, pd.concat(tables), described(space, data, training))


if __name__ == "__main__":
    main()
