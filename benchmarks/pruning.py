"""What notebook 42 rests on: networks trained as one stack, and networks with fewer filters, in time."""

import statistics
import time

import torch
from _report import Row, report

from greenai_nb.data.datasets import load
from greenai_nb.energy.compare import passes
from greenai_nb.learn.sgd import fit_sgd
from greenai_nb.learn.stack import Stack, fit_stack
from greenai_nb.nets.architectures import cnn, mlp
from greenai_nb.prune.structure import with_largest_filters

NETWORKS, ROUNDS, BATCH = 12, 5, 64


def stacked() -> Row:
    """CPU seconds of networks trained alone over those of the same networks in a stack."""
    data, nets, ratios = load().first(2_000), [], []
    for seed in range(NETWORKS):
        torch.manual_seed(seed)
        nets.append(mlp(data.pixels, 100, data.classes))
    for seed in range(ROUNDS):
        how = {"epochs": 1, "learning_rate": 0.1, "seed": seed}
        start = time.process_time()
        alone = [fit_sgd(net, data, **how) for net in nets]
        middle = time.process_time()
        together = fit_stack(Stack(nets), data, **how).net
        ratios.append((middle - start) / (time.process_time() - middle))
        apart = (together.layers(0)[0].weight - alone[0].net[1].weight).abs().max()
        assert float(apart.detach()) < 1e-5
    ratio = statistics.median(ratios)
    return Row(f"{NETWORKS} networks alone over in a stack", ratio, "times", "above 1", ratio > 1)


def filters() -> Row:
    """CPU time of a convolutional network over that of the one with half of its filters."""
    net, x = cnn(8).eval(), torch.rand(BATCH, 1, 28, 28)
    small = with_largest_filters(net, 0.5)
    with torch.inference_mode():
        works = {"whole": lambda: net(x), "half": lambda: small(x)}
        ratio = passes(works, 15, window_s=0.02, backend="vcpu").ratio("whole", over="half").value
    what = f"batch of {BATCH}, all filters over half of them"
    return Row(what, ratio, "times", "at least 1.3", ratio >= 1.3)


if __name__ == "__main__":
    torch.set_num_threads(1)
    report(__file__, [stacked(), filters()])
