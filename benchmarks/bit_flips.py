"""Flips of signs priced at the boundary, against a dense chain that prices every image.

The opponent is the fast chain's own arithmetic on the same network: it moves a unit in every image,
takes signs, and updates the exponentials of all classes, with the bound of convexity first. Both sides
start from the same weights and draw the same proposals, in turn and on one thread; their decisions are
compared one by one. Both leave decisions closer than rounding to double precision. Then three chains
train a network of 512 units, on the images and on images that are shifted by a pixel as well.
"""

import math
import statistics
import time
from dataclasses import replace

import numpy as np
import torch
from _report import Row, report
from numba import njit

from greenai_nb.data.datasets import Split, load
from greenai_nb.intervals import student_interval
from greenai_nb.learn.bits import state
from greenai_nb.learn.bits.chain import FlipSettings, fit_bit_flips, sweep
from greenai_nb.learn.bits.kernels import TIE, exact_cost
from greenai_nb.learn.bits.start import start_from_differences
from greenai_nb.learn.fast.kernels import MOVE
from greenai_nb.learn.fast.softmax import TILE, commit, loss_change, normalize, slopes
from greenai_nb.learn.fit import accuracy
from greenai_nb.nets.architectures import sign_mlp

UNITS, WARM, TIMED, ROUNDS, SETTLED_GOAL = 128, 4_000_000, 64_000, 9, 10
DIFFER_GOAL, SEEDS = 1e-5, (0, 1, 2)
# Proposals, settings chosen on validation images, and the goals: % of test images, CPU seconds.
TRAININGS = {
    "trained": (3_500_000, FlipSettings(), 91, 10),
    "trained on shifts": (6_000_000, FlipSettings(10.0, 3.0), 93.5, 60),
}
SHIFTS = (0, 2), (1, 2), (-1, 2), (1, 3), (-1, 3)
TARGET = {"inverse_temperature": 30.0, "coupling": 0.0, "output_prob": 0.0}


@njit(fastmath=True)
def bound(activation, slope, pixel, step):
    """The linear part of the loss change of a flip, which the change never falls below."""
    total = np.float32(0)
    for image in range(len(slope)):
        before = activation[image]
        after = before + step * np.float32(pixel[image])
        turn = (np.float32(1) if after > 0 else np.float32(-1)) - (
            np.float32(1) if before > 0 else np.float32(-1)
        )
        total += slope[image] * turn
    return total


@njit(fastmath=True)
def write_turns(activation, pixel, step, turn):
    """How far the unit's output moves in every image."""
    for image in range(len(turn)):
        before = activation[image]
        after = before + step * np.float32(pixel[image])
        turn[image] = (np.float32(1) if after > 0 else np.float32(-1)) - (
            np.float32(1) if before > 0 else np.float32(-1)
        )


@njit(fastmath=True)
def move_activation(activation, pixel, step):
    """Move a unit in every image."""
    for image in range(len(activation)):
        activation[image] += step * np.float32(pixel[image])


@njit
def dense_sweep(chain, activations, inverse_temperature, block, generator, moves):
    """Blocks of flips, each priced on every image."""
    classes, images = chain.mass.shape
    slope, growth = np.empty(images, np.float32), np.empty(images, np.float32)
    turns, every = np.empty((1, images), np.float32), np.arange(classes)
    for start in range(0, len(moves), block):
        generator.random()
        normalize(chain.mass, chain.inverse)
        unit, fresh = generator.integers(0, len(chain.filters)), False
        weights, outgoing, activation = chain.filters[unit], chain.outgoing[unit], activations[unit]
        its_move = every, outgoing.reshape(1, classes), turns, False, growth
        for move in moves[start : start + block]:
            column, log_uniform = generator.integers(0, len(weights)), math.log(1 - generator.random())
            if not fresh:
                for tile in range(0, images, TILE):
                    slopes(chain.mass, chain.inverse, chain.ends, outgoing, slope, tile)
                fresh = True
            pixel, step = chain.inputs[column], np.float32(-2 * weights[column])
            move.column, move.unit, slack = column, unit, TIE * images / 50
            least = bound(activation, slope, pixel, step)
            if not log_uniform < -inverse_temperature * (least - slack):
                continue
            write_turns(activation, pixel, step, turns[0])
            difference = loss_change(chain.mass, chain.inverse, chain.ends, *its_move)
            if abs(log_uniform + inverse_temperature * difference) < inverse_temperature * slack:
                difference = exact_cost(chain, unit, column, 0.0)
            move.loss_change = difference
            if not log_uniform < -inverse_temperature * difference:
                continue
            move.accepted, fresh = True, False
            commit(chain.mass, chain.inverse, *its_move)
            move_activation(activation, pixel, step)
            for image in range(images):
                chain.activations[unit, image] += np.int16(step) * np.int16(pixel[image])
            weights[column] = -weights[column]


def copied(chain):
    """The same chain with arrays of its own."""
    return type(chain)(*(each.copy() if isinstance(each, np.ndarray) else each for each in chain))


class Pair:
    """Both chains at one state, and what was measured of them."""

    def __init__(self, chain, settings):
        self.settings, self.chain = settings, chain
        self.rates, self.shares, self.differ, self.farthest = ([], []), [], 0, 0.0

    def run(self, timed, seed):
        """The same proposals on both sides, one after the other."""
        fast, dense = copied(self.chain), copied(self.chain)
        dense.mass[:] = dense.probabilities[:, : len(dense.mass)].T
        moves = np.zeros(timed, MOVE)
        activations = dense.activations.astype(np.float32)
        start = time.thread_time()
        ours = sweep(fast, timed // self.settings.block, self.settings, np.random.default_rng(seed))
        middle = time.thread_time()
        beta = self.settings.inverse_temperature
        dense_sweep(dense, activations, beta, self.settings.block, np.random.default_rng(seed), moves)
        self.rates[0].append(timed / (middle - start))
        self.rates[1].append(timed / (time.thread_time() - middle))
        self.shares.append(100 * ours["accepted"].mean())
        self.differ += int((ours["accepted"] != moves["accepted"]).sum())
        both = ours["accepted"] & moves["accepted"]
        apart = np.abs(ours["loss_change"] - moves["loss_change"])[both]
        self.farthest = max(self.farthest, float(apart.max(initial=0.0)))

    def ratio(self):
        """Median of how many times more proposals a second."""
        return statistics.median(fast / dense for fast, dense in zip(*self.rates, strict=True))


def started(units):
    """A chain at the start that sees no labels."""
    train = load().train
    torch.manual_seed(0)
    net = start_from_differences(sign_mlp(784, units), train.images)
    return state.chain_at(net, train.images, train.labels)


def settled(units, block):
    """A chain after many proposals, of flips and output weights."""
    chain, moving = started(units), FlipSettings(30.0, 0.0)
    generator = np.random.default_rng(0)
    for _ in range(WARM // 64_000):
        sweep(chain, 64_000 // moving.block, moving, generator)
        state.refresh(chain)
    return Pair(chain, FlipSettings(**TARGET, block=block))


def shifted(data):
    """The data set with each training image five times, four of them moved by a pixel."""
    images = torch.cat([data.train.images.roll(by, side) for by, side in SHIFTS])
    train = Split(images, data.train.labels.repeat(len(SHIFTS)))
    return replace(data, name="shifted", train=train, sha256=f"{data.sha256} shifted")


def trained(name, data):
    """Test accuracy and CPU seconds of three chains, with their intervals."""
    proposals, settings, least, most = TRAININGS[name]
    correct, seconds = [], []
    for seed in SEEDS:
        torch.manual_seed(seed)
        net = start_from_differences(sign_mlp(784, 4 * UNITS), data.train.images, seed)
        fit = fit_bit_flips.__wrapped__(net, data, proposals=proposals, settings=settings, seed=seed)
        correct.append(100 * accuracy(fit.net, data.test))
        seconds.append(float(fit.trace.seconds.iloc[-1]))
    mean, low, high = student_interval(np.array(correct))
    interval = f"[{low:.2f}, {high:.2f}], at least {least}"
    yield Row(f"512 units {name}, test accuracy", mean, "%", interval, bool(low >= least))
    slowest = max(seconds)
    yield Row(f"512 units {name}, slowest", slowest, "CPU s", f"at most {most}", slowest <= most)


def main() -> None:
    """Measure every pair in turn, several times, and report medians."""
    torch.set_num_threads(1)
    pairs = {
        "at the start": Pair(started(UNITS), FlipSettings(**TARGET)),
        "settled": settled(UNITS, 64),
        "settled, blocks of 256": settled(UNITS, 256),
        "settled, 512 units": settled(4 * UNITS, 64),
    }
    for pair in pairs.values():
        pair.run(6_400, 100)
        pair.rates = [], []
    for seed in range(ROUNDS):
        for pair in pairs.values():
            pair.run(TIMED // 10 if pair is pairs["at the start"] else TIMED, seed)
    rows = []
    for name, pair in pairs.items():
        goal = SETTLED_GOAL if name == "settled" else 0
        said = f"at least {goal}" if goal else "recorded"
        ours, dense = (statistics.median(rates) for rates in pair.rates)
        rows.append(Row(f"{name}, flips", ours, "1/s", "recorded", True))
        rows.append(Row(f"{name}, dense chain", dense, "1/s", "recorded", True))
        rows.append(Row(f"{name}, over dense", pair.ratio(), "times", said, pair.ratio() >= goal))
        accepted = float(statistics.median(pair.shares))
        rows.append(Row(f"{name}, accepted", accepted, "%", "recorded", True))
    total = ROUNDS * (3 * TIMED + TIMED // 10)
    differ = sum(pair.differ for pair in pairs.values()) / total
    rows.append(
        Row("decisions that differ", differ, "", f"at most {DIFFER_GOAL:g}", differ <= DIFFER_GOAL)
    )
    farthest = max(pair.farthest for pair in pairs.values())
    rows.append(Row("loss changes differ by", farthest, "nats", "recorded", True))
    data = load()
    rows += trained("trained", data)
    rows += trained("trained on shifts", shifted(data))
    report(__file__, rows)


if __name__ == "__main__":
    main()
