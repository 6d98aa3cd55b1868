"""Accuracy without a gradient against CPU seconds, in three lines that are never compared.

1. From zero, on pixels, 10,000 images.
2. With a better basis (blurred pixels) or a start from patches without labels, 10,000 images; also the
   mean of two chains.
3. All images of MNIST but those held out for validation, where its files are on this machine.

Each network is trained by SGD on the same images and from the same start, unless gradients need
another one. A chain runs until its CPU seconds are used up, with three seeds, or two for the longest.
Settings were chosen on validation images; accuracies are on test images.
"""

import copy
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from _report import Row, report
from torch import nn

from greenai_nb.data.blur import blurred
from greenai_nb.data.datasets import Dataset, load
from greenai_nb.data.fetch import DataUnavailableError
from greenai_nb.learn.fast.chain import ChainSettings, sweep
from greenai_nb.learn.fast.state import chain_at, refresh, write
from greenai_nb.learn.fit import accuracy
from greenai_nb.learn.initial_weights import start_from_patches, start_sparse
from greenai_nb.learn.sgd import fit_sgd
from greenai_nb.nets.architectures import mlp, shallow_binary_cnn, shallow_cnn

SEEDS = (0, 1, 2)
BLOCKS, REFRESH_EVERY, LARGEST_DRIFT = 1000, 2, 1e-4
PIXELS = ChainSettings(scale=1e-2)
PATCHES = ChainSettings(
    scale=1e-2, scale_output=1e-4, step_hidden=0.1, step_output=0.05, output_prob=0.98
)


@dataclass(frozen=True)
class Line:
    """A network, its data, the chain's settings, and the accuracies wanted after some CPU seconds."""

    name: str
    data: Dataset
    start: Callable[[int], nn.Sequential]
    settings: ChainSettings
    goals: dict[int, float]
    learning_rate: float
    epochs: int
    usual: Callable[[], nn.Sequential] | None = None
    seeds: Sequence[int] = SEEDS


def run_for(line: Line, seed: int) -> dict[int, nn.Module]:
    """The networks of one chain after each of the line's CPU seconds."""
    generator, net = np.random.default_rng(seed), line.start(seed)
    train, wanted, found = line.data.train, list(line.goals), {}
    sweep(chain_at(net, train.images[:1000], train.labels[:1000]), 1, line.settings, generator)
    clock, sweeps = time.thread_time(), 0
    chain = chain_at(net, train.images, train.labels)
    loss = refresh(chain)
    while wanted:
        moves = sweep(chain, BLOCKS, line.settings, generator)
        loss += moves["loss_change"][moves["accepted"]].sum()
        sweeps += 1
        if sweeps % REFRESH_EVERY == 0:
            tracked, loss = loss, refresh(chain)
            assert loss > 0 and abs(tracked - loss) < LARGEST_DRIFT * len(train)
        if time.thread_time() - clock >= wanted[0]:
            write(chain, net)
            found[wanted.pop(0)] = copy.deepcopy(net).eval()
    return found


@torch.inference_mode()
def averaged(nets: Sequence[nn.Module], data: Dataset) -> float:
    """Test accuracy of the mean of several networks' probabilities, in percent."""
    mean = sum(net(data.test.scaled()).softmax(1) for net in nets)
    return 100 * (mean.argmax(1) == data.test.labels).float().mean().item()


def measured(line: Line) -> list[Row]:
    """Measure the chains of one line, and SGD beside them."""
    fits, rows = [run_for(line, seed) for seed in line.seeds], []
    for seconds, goal in line.goals.items():
        tests = [100 * accuracy(found[seconds], line.data.test) for found in fits]
        mean, spread = statistics.mean(tests), max(tests) - min(tests)
        name = f"{line.name}, {seconds} s"
        rows.append(Row(name, mean, "%", f"at least {goal}", mean >= goal))
        rows.append(Row(f"{name}, largest minus smallest seed", spread, "points", "recorded", True))
    pair = [averaged([a[seconds], b[seconds]], line.data) for a, b in itertools.pairwise(fits)]
    rows.append(Row(f"{name}, two chains averaged", statistics.mean(pair), "%", "recorded", True))
    tests, times = [], []
    for seed in line.seeds:
        torch.manual_seed(seed)
        net = line.usual() if line.usual else line.start(seed)
        fit = fit_sgd(net, line.data, epochs=line.epochs, learning_rate=line.learning_rate, seed=seed)
        tests.append(100 * accuracy(fit.net, line.data.test))
        times.append(fit.trace.seconds.iloc[-1])
    name = f"{line.name}, SGD in {statistics.mean(times):.0f} s"
    rows.append(Row(name, statistics.mean(tests), "%", "recorded", True))
    return rows


def lines() -> list[Line]:
    """All lines that are measured."""
    few = load()
    soft, images = blurred(few, 1.0), few.train.scaled()

    def perceptron() -> nn.Sequential:
        return mlp(784, 256, bias=True)

    def sparse(seed: int) -> nn.Sequential:
        return start_sparse(perceptron())

    def filters(make: Callable[[int], nn.Sequential]) -> Callable[[int], nn.Sequential]:
        return lambda seed: start_from_patches(make(32), images, seed)

    sgd_pixels, sgd_patches = {"learning_rate": 0.5, "epochs": 40}, {"learning_rate": 0.2, "epochs": 20}
    pixels = {"start": sparse, "usual": perceptron, "settings": PIXELS}
    floats = {"start": filters(shallow_cnn), "settings": PATCHES}
    signs = {"start": filters(shallow_binary_cnn), "settings": PATCHES}
    found = [
        Line("1. perceptron, pixels", few, goals={30: 95.0}, **pixels, **sgd_pixels),
        Line("2. perceptron, blurred", soft, goals={30: 95.8}, **pixels, **sgd_pixels),
        Line("2. sign filters", few, goals={10: 96.4, 30: 96.4}, **signs, **sgd_patches),
        Line("2. float filters", few, goals={10: 96.3, 30: 96.3}, **floats, **sgd_patches),
    ]
    try:
        whole = load("mnist")
    except DataUnavailableError as error:
        print(f"without the third line: {error}")
        return found
    late = {"seeds": SEEDS[:2], "epochs": 10}
    soft, goals = blurred(whole, 1.0), {60: 97.8, 120: 98.1}
    return [
        *found,
        Line("3. perceptron, blurred", soft, goals={120: 97.9}, **pixels, learning_rate=0.5, **late),
        Line("3. float filters", whole, goals=goals, **floats, learning_rate=0.2, **late),
    ]


def main() -> None:
    """Measure every line."""
    torch.set_num_threads(1)
    report(__file__, [row for line in lines() for row in measured(line)])


if __name__ == "__main__":
    main()
