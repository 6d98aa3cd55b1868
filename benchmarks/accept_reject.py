"""Proposals per CPU second of the fast chain, by network and images, against whole forward passes.

The opponent is the reference sampler with a forward pass of the whole network for every decision. It
draws single weights as the authors' code does: each layer half of the time, each of its weights equally
often. The fast chain is timed with these moves as well as with its own, which stay with a unit. The
acceptance rate is printed beside every speed, since a chain that accepts more has more to write. Sides
are timed in turn. The rows with all of MNIST need its files on this machine.

Two limits stand beside the speed at 128 units: the time that a core needs to read and write the bytes
that its proposals must move from the second cache, at the bandwidth of reading rows of the same length,
and the time of their vector instructions, two a cycle. A refused proposal reads, of each image in a tile
that is not dark, a pixel, an activation and a slope, and writes how far the unit moves: 13 bytes.
"""

import copy
import functools
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import numba
import numpy as np
import torch
from _report import Row, report
from torch.nn import functional

from greenai_nb.data.datasets import load
from greenai_nb.data.fetch import DataUnavailableError
from greenai_nb.learn.accept_reject import steps
from greenai_nb.learn.fast.chain import ChainSettings, sweep
from greenai_nb.learn.fast.kernels import HIDDEN, NORMALIZE_AFTER
from greenai_nb.learn.fast.softmax import TILE
from greenai_nb.learn.fast.state import chain_at, write
from greenai_nb.learn.initial_weights import start_from_patches, start_sparse
from greenai_nb.learn.moves import Move, Redraw, ScaleMixture, Weights
from greenai_nb.nets.architectures import mlp, shallow_binary_cnn, shallow_cnn
from greenai_nb.nets.kernels.carry_save_instructions import LANES
from greenai_nb.nets.kernels.processor import clock_ghz
from greenai_nb.theory.prior import HeavyTail

WARM, TIMED, CHECKED, ROUNDS, PLAIN = 100_000, 9_600, 160, 7, 12
FORWARD_GOAL, FLAT_GOAL, MEMORY_GOAL_MB = 280, 1.2, 400
# Bytes and vector instructions for one image: of a class in normalising, of a refused proposal, of each
# class in an exact change and of its logarithm, of each class in writing a move and of the rest of it.
NORMALIZE, REFUSED = (4, 1), (13, 7)
EXACT, LOGARITHM, COMMIT, MOVE = (4, 6), (12, 6), (12, 8), (33, 6)
OWN = ChainSettings()
AUTHORS = replace(OWN, output_prob=0.5, block=1)
PATCHES = replace(
    OWN, scale=1e-2, scale_output=1e-4, step_hidden=0.1, step_output=0.05, output_prob=0.98
)


class Timed:
    """A chain that has left its start, how it draws moves, and the speeds measured."""

    def __init__(self, net, train, settings, goal=None, even=False):
        self.net, self.train, self.settings, self.goal = net, train, settings, goal
        chain = chain_at(net, train.images, train.labels)
        weights = np.arange(1, chain.filters.shape[1])
        law = np.append(weights / len(weights), 1.0) if even else chain.column_cdf
        self.chain, self.generator = chain._replace(column_cdf=law), np.random.default_rng(0)
        self.rates, self.shares, self.limits = [], [], []
        sweep(self.chain, WARM // settings.block, settings, self.generator)

    def run(self):
        """Time some proposals."""
        start = time.thread_time()
        moves = sweep(self.chain, TIMED // self.settings.block, self.settings, self.generator)
        seconds = time.thread_time() - start
        self.rates.append(len(moves) / seconds)
        self.shares.append(100 * moves["accepted"].mean())
        self.limits.append([100 * least / seconds for least in self.least_seconds(moves)])

    def least_seconds(self, moves):
        """What the bytes and the vector instructions of some proposals need at least."""
        images, classes = len(self.chain.inverse), self.chain.mass.shape[0]
        in_tile = np.diff(np.append(np.arange(0, images, TILE), images))
        lit = (self.chain.brightest > 0) @ in_tile
        hidden, exact = moves["layer"] == HIDDEN, np.isfinite(moves["loss_change"])
        seen = np.where(hidden, lit[np.where(hidden, moves["column"], 0)], images)
        used = np.count_nonzero(self.chain.outgoing, axis=1)[moves["unit"]]
        used = np.where(hidden, used, 1)
        spent = moves["accepted"].sum() / NORMALIZE_AFTER * classes * images * np.array(NORMALIZE)
        spent = spent + seen[hidden & (moves["operations"] > 0)].sum() * np.array(REFUSED)
        for chosen, each, fixed in ((exact, EXACT, LOGARITHM), (moves["accepted"], COMMIT, MOVE)):
            of_classes, of_images = (seen * used)[chosen].sum(), seen[chosen].sum()
            spent = spent + of_classes * np.array(each) + of_images * np.array(fixed)
        length, instructions = spent
        return length / bandwidth(images), instructions / LANES / 2 / clock_ghz() / 1e9

    @torch.inference_mode()
    def assert_decides_like_forward_passes(self):
        """Assert that every loss change of a sweep is that of forward passes in double precision."""
        exact = copy.deepcopy(self.net)
        write(self.chain, exact)
        exact = exact.double()
        layers = [layer for layer in exact if hasattr(layer, "weight")]
        images, labels = self.train.images.double() / 255, self.train.labels

        def loss():
            return functional.cross_entropy(exact(images), labels, reduction="sum").item()

        before = loss()
        for move in sweep(self.chain, CHECKED // self.settings.block, self.settings, self.generator):
            matrix = layers[move["layer"]].weight.flatten(1)
            unit, column = move["unit"], move["column"]
            if move["layer"] == HIDDEN:
                weight = matrix[unit, column : column + 1]
            else:
                weight = matrix[column, unit : unit + 1]
            if np.isnan(move["loss_change"]):
                continue
            old = weight.item()
            weight += float(move["change"])
            change = loss() - before
            assert abs(change - move["loss_change"]) < 0.02 + 1e-4 * abs(change)
            if move["accepted"]:
                before += change
            else:
                weight.fill_(old)


def reference(timed):
    """The reference sampler at a chain's weights, with the authors' moves, by whole forward passes."""
    net, prior = torch.nn.Sequential(copy.deepcopy(timed.net)), HeavyTail(OWN.scale)
    write(timed.chain, net[0])
    names = {"0.1.weight": OWN.step_hidden, "0.3.weight": OWN.step_output}
    moves = [
        Move(Weights(name), proposal, share)
        for name, step in names.items()
        for proposal, share in ((ScaleMixture(step), 0.9), (Redraw(prior), 0.1))
    ]
    images, labels = timed.train.scaled(), timed.train.labels
    return steps(
        net,
        images,
        labels,
        moves=moves,
        priors=dict.fromkeys(names, prior),
        inverse_temperature=OWN.inverse_temperature,
        generator=np.random.default_rng(0),
    )


@numba.njit(fastmath=True)
def _total(rows):
    found = np.float32(0)
    for row in range(len(rows)):
        for image in range(rows.shape[1]):
            found += rows[row, image]
    return found


@functools.cache
def bandwidth(images):
    """Bytes that a core reads a second, from ten rows of single precision."""
    rows, found = np.ones((10, images), np.float32), []
    for _ in range(200):
        start = time.thread_time_ns()
        _total(rows)
        found.append(time.thread_time_ns() - start)
    return rows.nbytes / statistics.median(found) * 1e9


def plain_rate(decisions):
    """Decisions per CPU second."""
    start = time.thread_time()
    for _ in range(PLAIN):
        next(decisions)
    return PLAIN / (time.thread_time() - start)


def all_chains():
    """Every chain by its name in the table."""
    few = load().train
    images = few.scaled()
    chains = {
        f"{units} units": Timed(start_sparse(mlp(784, units)), few, OWN) for units in (64, 128, 512)
    }
    chains["128 units"].goal = 60_000
    alone = replace(OWN, output_prob=1.0)
    chains |= {
        "128 units, output layer alone": Timed(start_sparse(mlp(784, 128)), few, alone, 250_000),
        "128 units, the authors' law": Timed(
            start_sparse(mlp(784, 128)), few, AUTHORS, 20_000, even=True
        ),
        "32 filters": Timed(start_from_patches(shallow_cnn(32), images), few, PATCHES),
        "32 filters of signs": Timed(start_from_patches(shallow_binary_cnn(32), images), few, PATCHES),
    }
    try:
        chains["256 units, 55,000 images"] = Timed(
            start_sparse(mlp(784, 256)), load("mnist").train, OWN, 14_000
        )
    except DataUnavailableError as error:
        print(f"without the row for 55,000 images: {error}")
    return chains


def peak_memory_mb():
    """Largest resident memory of a process that trains 128 units on 10,000 images."""
    code = (
        "import re, torch; torch.set_num_threads(1)\n"
        "from greenai_nb.data.datasets import load\n"
        "from greenai_nb.learn.fast.chain import fit_accept_reject\n"
        "from greenai_nb.learn.initial_weights import start_sparse\n"
        "from greenai_nb.nets.architectures import mlp\n"
        "fit_accept_reject(start_sparse(mlp(784, 128)), load(), proposals=100_000)\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    computes = os.environ | {"GREENAI_STORE": "off"}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=computes)
    return int(found.stdout) / 1024


def main() -> None:
    """Measure every chain in turn, several times, and report medians."""
    torch.set_num_threads(1)
    chains = all_chains()
    for name in ("128 units", "128 units, the authors' law"):
        chains[name].assert_decides_like_forward_passes()
    single, plain = chains["128 units, the authors' law"], []
    decisions = reference(single)
    for _ in range(ROUNDS):
        for timed in chains.values():
            timed.run()
        plain.append(plain_rate(decisions))
    rows = []
    for name, timed in chains.items():
        found, goal = statistics.median(timed.rates), timed.goal or 0
        said = f"at least {goal}" if goal else "recorded"
        rows.append(Row(f"{name}, proposals", found, "1/s", said, found >= goal))
        accepted = statistics.median(timed.shares)
        rows.append(Row(f"{name}, accepted", accepted, "%", "recorded", True))
    speed = bandwidth(len(chains["128 units"].chain.inverse)) / 1e9
    rows.append(Row("bandwidth of the caches", speed, "GB/s", "recorded", True))
    for name, share in zip(
        ("bytes", "instructions"), zip(*chains["128 units"].limits, strict=True), strict=True
    ):
        row = f"128 units, share of the limit by {name}"
        rows.append(Row(row, statistics.median(share), "%", "recorded", True))
    for name in ("128 units, the authors' law", "128 units"):
        ratio = statistics.median(f / p for f, p in zip(chains[name].rates, plain, strict=True))
        row = f"{name}, over forward passes"
        rows.append(Row(row, ratio, "times", f"at least {FORWARD_GOAL}", ratio >= FORWARD_GOAL))
    pairs = zip(chains["64 units"].rates, chains["512 units"].rates, strict=True)
    flat = statistics.median(few / many for few, many in pairs)
    rows.append(
        Row("cost of 512 units over 64", flat, "times", f"at most {FLAT_GOAL}", flat <= FLAT_GOAL)
    )
    memory = peak_memory_mb()
    rows.append(
        Row(
            "128 units, peak memory", memory, "MB", f"at most {MEMORY_GOAL_MB}", memory <= MEMORY_GOAL_MB
        )
    )
    report(__file__, rows)


if __name__ == "__main__":
    main()
