"""Deciding a proposal by a rank-1 update against a forward pass: one thread, CPU time, in turn."""

import statistics
import time

import numpy as np
import torch

from greenai_nb.data.datasets import load
from greenai_nb.learn import accept_reject, rank_one
from greenai_nb.nets.architectures import mlp
from greenai_nb.suite.benchmark import Row, report

HIDDEN, WARM, MOVES, ROUNDS = 64, 2000, 40, 9


def cpu_seconds(change, state, moves):
    """CPU time to find the loss change of each move."""
    start = time.process_time()
    for move in moves:
        change(state, move)
    return time.process_time() - start


@torch.inference_mode()
def main() -> None:
    """Measure both ways on the same moves of a chain that has left its start."""
    torch.set_num_threads(1)
    data, generator = load(), np.random.default_rng(0)
    fit = accept_reject.fit_accept_reject(data, hidden=HIDDEN, proposals=WARM, looks=1)
    net = mlp(784, HIDDEN)
    net.load_state_dict(fit.net.state_dict())
    state = rank_one.init(net, data.train.flat(), data.train.labels)
    moves = [accept_reject.propose(state, accept_reject.Settings(), generator) for _ in range(MOVES)]
    for move in moves:
        update, forward = rank_one.loss_change(state, move), rank_one.loss_change_by_forward(state, move)
        assert abs(update[0] - forward[0]) < 0.05 + 1e-4 * abs(forward[0])
    ratios, update_s, forward_s = [], [], []
    for _ in range(ROUNDS):
        forward_s.append(cpu_seconds(rank_one.loss_change_by_forward, state, moves) / MOVES)
        update_s.append(cpu_seconds(rank_one.loss_change, state, moves) / MOVES)
        ratios.append(forward_s[-1] / update_s[-1])
    ratio = statistics.median(ratios)
    rows = [
        Row("forward pass over update, median of pairs", ratio, "times", "at least 10", ratio >= 10),
        Row("decisions by update", 1 / statistics.median(update_s), "1/s", "recorded", True),
        Row("decisions by forward pass", 1 / statistics.median(forward_s), "1/s", "recorded", True),
    ]
    report(__file__, rows)


if __name__ == "__main__":
    main()
