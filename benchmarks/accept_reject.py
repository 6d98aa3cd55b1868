"""Proposals a CPU second of the fast chain, by width and images, beside plain ways; one thread, in turn.

Both plain ways decide single moves on the same images and with the same law of moves: by a forward pass
of the whole network, and by a rank-1 update of cached logits. The acceptance is printed beside every
rate, for a chain that accepts more has more to write.
"""

import statistics
import time
from dataclasses import replace

import numpy as np
import torch

from greenai_nb.data.datasets import load
from greenai_nb.learn import accept_reject, rank_one, unit_chain
from greenai_nb.learn.accept_reject import Settings, start_sparse
from greenai_nb.learn.unit_moves import BLOCK, HIDDEN
from greenai_nb.nets.architectures import mlp, mlp_weights
from greenai_nb.suite.benchmark import Row, report

WARM_BLOCKS, BLOCKS, CHECKED_BLOCKS, ROUNDS, PLAIN_MOVES = 3000, 300, 5, 7, 20
WIDTHS, GOAL, FORWARD_GOAL, FLAT_GOAL, OUTPUT_GOAL = (64, 128, 512), 60_000, 280, 1.2, 250_000


def warm_chain(data, hidden, settings):
    """A chain that has left its start, and the generator that it goes on with."""
    net = mlp(784, hidden)
    start_sparse(net)
    weights = [weight.numpy() for weight in mlp_weights(net)]
    images, labels = data.train.images.flatten(1).numpy(), data.train.labels.numpy()
    chain, generator = unit_chain.chain_at(*weights, images, labels), np.random.default_rng(0)
    unit_chain.sweep(chain, WARM_BLOCKS, settings, generator)
    return chain, generator


def rate(chain, settings, generator):
    """Proposals a CPU second, and the share that is accepted."""
    start = time.thread_time()
    moves = unit_chain.sweep(chain, BLOCKS, settings, generator)
    return BLOCKS * BLOCK / (time.thread_time() - start), moves["accepted"].mean()


@torch.inference_mode()
def plain_state(data, chain):
    """What the plain ways cache, at the weights of a chain."""
    net = mlp(784, len(chain.hidden))
    for weight, found in zip(mlp_weights(net), (chain.hidden, chain.outgoing.T), strict=True):
        weight.copy_(torch.from_numpy(found))
    return rank_one.init(net, data.train.flat(), data.train.labels)


@torch.inference_mode()
def plain_rate(change, state, settings, generator):
    """Proposals a CPU second of a plain way."""
    start = time.thread_time()
    for _ in range(PLAIN_MOVES):
        change(state, accept_reject.propose(state, settings, generator))
    return PLAIN_MOVES / (time.thread_time() - start)


@torch.inference_mode()
def assert_alike(data, chain, settings, generator):
    """Every loss change that a block finds is that of both plain ways."""
    state = plain_state(data, chain)
    for move in unit_chain.sweep(chain, CHECKED_BLOCKS, settings, generator):
        row, column = (move["unit"], move["column"])[:: 1 if move["layer"] == HIDDEN else -1]
        old = float((state.hidden, state.output)[move["layer"]][row, column])
        move_there = rank_one.Move(
            int(move["layer"]), row, column, old + float(move["change"]), float(move["change"]), 0.0
        )
        change, patch = rank_one.loss_change(state, move_there)
        by_forward, _ = rank_one.loss_change_by_forward(state, move_there)
        assert abs(change - by_forward) < 0.05 + 1e-4 * abs(by_forward)
        if np.isfinite(move["loss_change"]):
            assert abs(change - move["loss_change"]) < 0.05 + 1e-4 * abs(change)
        if move["accepted"]:
            rank_one.commit(state, move_there, patch)


def main() -> None:
    """Measure every chain in turn, several times; medians."""
    torch.set_num_threads(1)
    data, settings = load(), Settings()
    chains = {f"{hidden} units": warm_chain(data, hidden, settings) for hidden in WIDTHS}
    laws = dict.fromkeys(chains, settings)
    chains["128 units, output layer alone"] = warm_chain(data, 128, settings)
    laws["128 units, output layer alone"] = replace(settings, output_share=1.0)
    rates, shares, plain = (
        {n: [] for n in chains},
        {n: [] for n in chains},
        {"forward": [], "update": []},
    )
    ways = {"forward": rank_one.loss_change_by_forward, "update": rank_one.loss_change}
    chain, generator = chains["128 units"]
    assert_alike(data, chain, settings, generator)
    for _ in range(ROUNDS):
        for name, (chain, generator) in chains.items():
            found, share = rate(chain, laws[name], generator)
            rates[name].append(found)
            shares[name].append(share)
        chain, generator = chains["128 units"]
        state = plain_state(data, chain)
        for name, way in ways.items():
            plain[name].append(plain_rate(way, state, settings, generator))
    speed = {name: statistics.median(found) for name, found in rates.items()}
    goals = {"128 units": GOAL, "128 units, output layer alone": OUTPUT_GOAL}
    rows = []
    for name, found in speed.items():
        goal = goals.get(name, 0)
        said = f"at least {goal}" if goal else "recorded"
        rows.append(Row(f"{name}, proposals", found, "1/s", said, found >= goal))
        accepted = 100 * statistics.median(shares[name])
        rows.append(Row(f"{name}, accepted", accepted, "%", "recorded", True))
    for name, goal in (("forward", FORWARD_GOAL), ("update", 1)):
        pairs = zip(rates["128 units"], plain[name], strict=True)
        ratio, title = statistics.median(fast / slow for fast, slow in pairs), f"a plain {name}"
        rows.append(Row(f"128 units, over {title}", ratio, "times", f"at least {goal}", ratio >= goal))
    pairs = zip(plain["update"], plain["forward"], strict=True)
    ratio = statistics.median(update / forward for update, forward in pairs)
    rows.append(Row("plain update over plain forward", ratio, "times", "at least 10", ratio >= 10))
    flat = speed["64 units"] / speed["512 units"]
    rows.append(
        Row("cost of 512 units over 64", flat, "times", f"at most {FLAT_GOAL:g}", flat <= FLAT_GOAL)
    )
    report(__file__, rows)


if __name__ == "__main__":
    main()
