"""What notebook 33 costs at the size of CIFAR-10, on images of noise: features, chains and memory.

The authors' moves are timed in turn with those of the plain sampler, which runs the network from the
changed layer on for every proposal.
"""

import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from _report import Row, report
from torch import nn
from torch.nn import functional

from greenai_nb.data.datasets import Dataset, Split
from greenai_nb.learn.accept_reject import steps
from greenai_nb.learn.fast.chain import ChainSettings, fit_accept_reject, sweep
from greenai_nb.learn.fast.state import chain_at, refresh
from greenai_nb.learn.fast.whole_filters import WholeFilterSettings, fit_whole_filters
from greenai_nb.learn.features import Patches, patch_features
from greenai_nb.learn.initial_weights import start_cauchy
from greenai_nb.learn.moves import Move, StudentStep, Unit, Weights
from greenai_nb.nets.architectures import shallow_cnn
from greenai_nb.theory.prior import Cauchy

IMAGES, OTHERS, FEATURES, ROUNDS = 45_000, 1_000, 1_600, 5
KIB_IN_MB = 1024 / 1e6
SHAPE = (3, 32, 32)


def noise(count: int) -> Dataset:
    """Images of noise like CIFAR-10's, with random labels."""
    generator = torch.Generator().manual_seed(0)

    def split(many: int) -> Split:
        images = torch.randint(0, 256, (many, *SHAPE), dtype=torch.uint8, generator=generator)
        return Split(images, torch.randint(0, 10, (many,), generator=generator))

    parts = split(count), split(OTHERS), split(OTHERS)
    return Dataset("noise", *parts, tuple("0123456789"), "", "", f"noise {count}")


def features() -> tuple[Dataset, Row]:
    """Features of all images, and what they cost."""
    start = time.process_time()
    found = patch_features(noise(IMAGES), patches=Patches(400), keep=FEATURES)
    seconds = time.process_time() - start
    return found, Row(
        f"{FEATURES:,} features of {IMAGES:,} colour images",
        seconds,
        "CPU s",
        "at most 160",
        seconds <= 160,
    )


def on_features(data: Dataset) -> Row:
    """Proposals of a chain on features in a CPU second, once it has left its start."""
    net, law = (
        nn.Sequential(nn.Flatten(), nn.Linear(FEATURES, 10)),
        ChainSettings(20, 0.03, 0.03, block=16),
    )
    chain, generator, rates = (
        chain_at(net, data.train.images, data.train.labels),
        np.random.default_rng(0),
        [],
    )
    tracked = refresh(chain)
    for _ in range(ROUNDS):
        start = time.thread_time()
        moves = sweep(chain, 1000, law, generator)
        rates.append(len(moves) / (time.thread_time() - start))
        tracked += moves["loss_change"][moves["accepted"]].sum()
    assert abs(tracked - refresh(chain)) < 1e-4 * len(data.train)
    rate = statistics.median(rates)
    what = f"proposals on {FEATURES:,} features of {IMAGES:,} images"
    said = f"{what}, {moves['accepted'].mean():.0%} accepted"
    return Row(said, rate, "a CPU s", "at least 12,000", rate >= 12_000)


def memory() -> Row:
    """Peak memory of a process that trains the authors' network on all images."""
    code = "import beyond_mnist; beyond_mnist.train_large()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=sys.path[0]
    )
    peak_mb = float(done.stdout) * KIB_IN_MB
    return Row(
        f"chain on {IMAGES:,} colour images, peak", peak_mb, "MB", "at most 1,500", peak_mb <= 1500
    )


def train_large() -> None:
    """Train for a moment, and print this process's peak memory in MB."""
    torch.set_num_threads(1)
    law = ChainSettings(output_prob=0.98)
    fit_accept_reject(
        shallow_cnn(64, 11, 3, shape=SHAPE), noise(IMAGES), proposals=640, settings=law, evaluations=1
    )
    print(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def whole_filters(images: int = 2_000, moves: int = 60) -> Row:
    """Seconds of the plain sampler over those of the fast chain, for the authors' moves."""
    data, law, ratios = noise(images), WholeFilterSettings(1e5 / images), []
    net = start_cauchy(shallow_cnn(64, 11, 3, shape=SHAPE), 1e-4)
    kinds = [
        Move(Unit("0.weight"), StudentStep(law.step)),
        Move(Weights("3.weight", 363), StudentStep(law.step)),
    ]
    how = {"priors": dict.fromkeys(("0.weight", "3.weight"), Cauchy(law.scale)), "moves": kinds}
    how |= {"inverse_temperature": law.inverse_temperature, "generator": np.random.default_rng(0)}
    plain = steps(net, data.train.scaled(), data.train.labels, **how)
    fit_whole_filters(net, data, proposals=10, settings=law, evaluations=1)
    for seed in range(ROUNDS):
        start = time.thread_time()
        for _ in range(moves):
            next(plain)
        middle = time.thread_time()
        fit = fit_whole_filters(net, data, proposals=10 * moves, settings=law, seed=seed, evaluations=1)
        ratios.append(10 * (middle - start) / (time.thread_time() - middle))
    logits = fit.net(data.train.scaled()).double()
    exact = functional.cross_entropy(logits, data.train.labels).item()
    assert abs(fit.trace.loss.iloc[-1] - exact) < 1e-4
    ratio = statistics.median(ratios)
    return Row(
        f"authors' moves on {images:,} images, plain over fast", ratio, "times", "at least 3", ratio >= 3
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    found, row = features()
    report(__file__, [row, on_features(found), whole_filters(), memory()])
