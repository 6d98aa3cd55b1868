"""Accuracy of a packed binary VGG-small on MNIST-10k beside its float twin, over three seeds.

The images are padded to 32 x 32. The widths are a quarter of the papers', so that a pass over the images
takes a minute, not ten. The learning rate of each network is the best of two on the validation images
after one pass with the first seed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from _report import Row, report
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.data.datasets import Dataset, load
from greenai_nb.intervals import student_interval
from greenai_nb.learn.fit import ACCURACY_BATCH, accuracy
from greenai_nb.learn.sgd import fit_sgd
from greenai_nb.nets.architectures import vgg_small, xnor_vgg_small
from greenai_nb.nets.packed.pack import pack

WIDTHS = (32, 32, 64, 64, 128, 128)
SEEDS, PASSES, RATES = (0, 1, 2), 6, (0.05, 0.2)
PADDING = [2, 2, 2, 2]


def padded() -> Dataset:
    """MNIST-10k with a border of two black pixels."""
    data = load()
    splits = {
        name: replace(split, images=functional.pad(split.images, PADDING))
        for name, split in vars(data).items()
        if name in ("train", "validation", "test")
    }
    return replace(data, **splits)


def trained(build: Callable[..., nn.Module], data: Dataset, seed: int, rate: float, passes: int):
    """A network trained by gradients from initial weights drawn with the seed."""
    torch.manual_seed(seed)
    return fit_sgd(build(1, widths=WIDTHS), data, epochs=passes, learning_rate=rate, seed=seed)


def over_seeds(build: Callable[..., nn.Module], data: Dataset) -> Iterator[nn.Module]:
    """A trained network for each seed, at the rate that is best after one pass with the first seed."""
    tried = {rate: trained(build, data, SEEDS[0], rate, 1).trace.accuracy.iloc[-1] for rate in RATES}
    rate = max(tried, key=tried.get)
    print(f"{build.__name__}: learning rate {rate} of {tried}", flush=True)
    for seed in SEEDS:
        yield trained(build, data, seed, rate, PASSES).net


def percent_right(network: Callable[[Tensor], Tensor], data: Dataset) -> float:
    """Percentage of the test images that a network, of whatever kind, puts in the right class."""
    images, labels = data.test.scaled(), data.test.labels
    answers = torch.cat([network(part).argmax(1) for part in images.split(ACCURACY_BATCH)])
    return 100 * (answers == labels).sum().item() / len(labels)


def accuracy_rows(scores: Mapping[str, Sequence[float]]) -> list[Row]:
    """The mean accuracy of each kind of network over the seeds, with its interval."""
    rows = []
    for name, found in scores.items():
        mean, low, high = student_interval(found)
        said = f"95 % interval {low:.2f} to {high:.2f}, {len(found)} seeds"
        rows.append(Row(f"vgg_small, quarter width, {name}, test accuracy", mean, "%", said, True))
    return rows


def main() -> None:
    """Train both networks with each seed, pack the binary one, and test."""
    torch.set_num_threads(1)
    data, scores = padded(), {"float": [], "binary, simulated": [], "binary, packed": []}
    for net in over_seeds(vgg_small, data):
        scores["float"].append(100 * accuracy(net, data.test))
    for net in over_seeds(xnor_vgg_small, data):
        scores["binary, simulated"].append(100 * accuracy(net, data.test))
        scores["binary, packed"].append(percent_right(pack(net), data))
        print(scores, flush=True)
    agree = scores["binary, packed"] == scores["binary, simulated"]
    said = "the same share, each seed"
    report(
        __file__,
        [*accuracy_rows(scores), Row("packed reads as its simulation", float(agree), "", said, agree)],
    )


if __name__ == "__main__":
    main()
