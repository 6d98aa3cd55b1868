"""Proposals per second of chains side by side on one device, against one compiled chain on one core.

All chains draw a unit for every move, which is the law of the compiled chain with blocks of one move.
The device is the GPU where there is one, timed by the wall clock; otherwise it is one core of the
processor, timed by its CPU time. The acceptance rate is printed beside the speed, since a proposal that
is refused early costs less. Sides are timed in turn.
"""

import statistics
import time

import numpy as np
import torch
from _report import Row, report

from greenai_nb.data.datasets import load
from greenai_nb.learn.cached_forward import summed_loss
from greenai_nb.learn.fast import batched, chain
from greenai_nb.learn.fast.chain import ChainSettings
from greenai_nb.learn.fast.state import chain_at
from greenai_nb.learn.initial_weights import start_sparse
from greenai_nb.nets.architectures import mlp

SETTINGS = ChainSettings(block=1)
UNITS, COUNTS = 128, (1, 16, 128)
WARM, STEPS, COMPILED, ROUNDS = 100_000, 64, 6_400, 7
ROUNDING = 0.05  # nats, of a loss summed over 10,000 images


class Timed:
    """Some chains that go on from where the compiled chain is, and the speeds measured."""

    def __init__(self, start, count, device):
        self.chains, self.generator = batched.chains_at(start, count, device), np.random.default_rng(1)
        self.rates, self.shares = [], []
        self.losses = batched.refresh(self.chains)
        self.run(warm=True)

    def run(self, warm=False):
        """Time some steps of all chains."""
        begin = now(self.chains.labels.device)
        found = batched.sweep(self.chains, STEPS, SETTINGS, self.generator)
        seconds = now(self.chains.labels.device) - begin
        self.losses += found.loss_change.masked_fill(~found.accepted, 0.0).sum(0)
        if not warm:
            self.rates.append(found.accepted.numel() / seconds)
            self.shares.append(100 * float(found.accepted.double().mean()))

    def assert_tracks_the_loss(self, net, train):
        """Assert that the changes add up to the loss of forward passes of the last chain's network."""
        batched.write(self.chains, len(self.losses) - 1, net)
        known = summed_loss(net, train.scaled(), train.labels)
        assert abs(float(self.losses[-1]) - known) < ROUNDING, (float(self.losses[-1]), known)


def now(device):
    """Seconds of this core, or of the wall clock once a GPU has finished."""
    if device.type == "cpu":
        return time.thread_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Time chains of every number and the compiled chain in turn, and report medians."""
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"chains run on {torch.cuda.get_device_name() if device.type == 'cuda' else 'one core'}")
    train, net = load().train, start_sparse(mlp(784, UNITS))
    compiled = chain_at(net, train.images, train.labels)
    generator, rates = np.random.default_rng(0), []
    chain.sweep(compiled, WARM, SETTINGS, generator)
    sides = {count: Timed(compiled, count, device) for count in COUNTS}
    for _ in range(ROUNDS):
        begin = now(device)
        chain.sweep(compiled, COMPILED, SETTINGS, generator)
        rates.append(COMPILED / (now(device) - begin))
        for side in sides.values():
            side.run()
    rows = [Row("one compiled chain, proposals", statistics.median(rates), "1/s", "recorded", True)]
    for count, side in sides.items():
        side.assert_tracks_the_loss(net, train)
        name = f"{count} on {device.type}"
        ratio = statistics.median(f / p for f, p in zip(side.rates, rates, strict=True))
        accepted = statistics.median(side.shares)
        rows += [
            Row(f"{name}, proposals of all", statistics.median(side.rates), "1/s", "recorded", True),
            Row(f"{name}, over one compiled chain", ratio, "times", "recorded", True),
            Row(f"{name}, accepted", accepted, "%", "recorded", True),
        ]
    report(__file__, rows)


if __name__ == "__main__":
    main()
