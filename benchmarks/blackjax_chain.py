"""Proposals per CPU second of the fast chain against BlackJAX's random-walk Metropolis, in turn.

Optional, since it needs a package index: BlackJAX and JAX go into a virtual environment that is thrown
away afterwards, and BlackJAX runs there, in a second process. The two processes are never busy at once,
compute with one thread each, and measure the CPU time of everything in them.

They share the target, which is the posterior of the weights of 784 x 128 x 10 units given 10,000 images;
single precision; the weights at which every round starts, left by a fast chain of 100,000 proposals; and
the moves: a normal step of random size for one weight, from each layer half of the time, and from its
weights equally often. Nothing is redrawn from the prior. BlackJAX runs in its own compiled loop. Before
that, JAX replays moves that the fast chain recorded, and must find their changes of the log density.

They differ in what they know. BlackJAX takes any density, so that a decision costs a forward pass. The
fast chain is made for networks with one layer of filters, and reuses what a move leaves unchanged; it
rejects, without computing it, a step that could move a logit by more than 10. Its own moves, which stay
with a unit, have further rows.
"""

import copy
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

WARM, ROUNDS, TIMED, TIMED_BLACKJAX, RECORDED, CHECKED, GOAL = 100_000, 7, 9_600, 200, 960, 64, 200
ROUNDING = 0.1  # nats, of a log density near -130,000 in single precision
PACKAGES = ("blackjax==1.7.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6", "scipy==1.17.1")
# JAX computes with NPROC threads; without it, with one for each core, whatever XLA's flags say.
ENVIRONMENT = {"NPROC": "1", "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
BLACKJAX_SIDE, DATA = "--blackjax-side", "start.npz"


def blackjax_side(file: Path) -> None:
    """Replay the recorded moves; then answer each line with a speed and the percentage accepted."""
    import blackjax
    import jax
    import numpy as np
    from blackjax.util import run_inference_algorithm
    from jax import numpy as jnp

    given = dict(np.load(file))
    inverse_temperature, scale, exponent = (
        float(given[name]) for name in ("inverse_temperature", "scale", "exponent")
    )
    images, labels = jnp.asarray(given["images"]), jnp.asarray(given["labels"])[:, None]

    @jax.jit
    def log_density(position):
        hidden, output = position
        logits = jax.nn.relu(images @ hidden.T) @ output
        losses = jax.nn.logsumexp(logits, 1) - jnp.take_along_axis(logits, labels, 1)[:, 0]
        sizes = sum(jnp.log1p(jnp.abs(weights) / scale).sum() for weights in position)
        return -inverse_temperature * losses.sum() - exponent * sizes

    def random_step(key, position):
        keys, steps = jax.random.split(key, 4), []
        drawn = jax.random.randint(keys[0], (), 0, 2)
        size = 10 ** jax.random.uniform(keys[1], minval=-1.0, maxval=1.0) * jax.random.normal(keys[2])
        for layer, weights in enumerate(position):
            place = jax.random.randint(keys[3], (), 0, weights.size)
            step = jnp.where(layer == drawn, size * given["steps"][layer], 0)
            steps.append(jnp.zeros(weights.size).at[place].set(step).reshape(weights.shape))
        return tuple(steps)

    weights, gaps = [given[part].copy() for part in ("hidden", "output")], []
    for move in given["moves"]:
        part, place = weights[move["layer"]], (move["unit"], move["column"])
        old, before = part[place], float(log_density(weights))
        part[place] += move["change"]
        recorded = move["log_prior_ratio"] - inverse_temperature * move["loss_change"]
        gaps.append(abs(float(log_density(weights)) - before - recorded))
        part[place] = part[place] if move["accepted"] else old
    print(json.dumps(max(gaps)), flush=True)
    walk = blackjax.additive_step_random_walk(log_density, random_step)
    start = walk.init((jnp.asarray(given["hidden"]), jnp.asarray(given["output"])))
    kept = {"initial_state": start, "transform": lambda _, told: told.is_accepted}
    chain = jax.jit(lambda key: run_inference_algorithm(key, walk, TIMED_BLACKJAX, **kept)[1])
    *keys, unused = jax.random.split(jax.random.key(0), ROUNDS + 1)
    chain(unused).block_until_ready()
    for key, _ in zip(keys, sys.stdin, strict=False):
        clock = time.process_time()
        accepted = chain(key).block_until_ready()
        rate = TIMED_BLACKJAX / (time.process_time() - clock)
        print(json.dumps([rate, 100 * float(accepted.mean())]), flush=True)


def fast_sides(file: Path):
    """Calls that time the fast chain with either kind of move; start and some moves go to a file."""
    import numpy as np
    import torch

    from greenai_nb.data.datasets import load
    from greenai_nb.learn.fast.chain import ChainSettings, sweep
    from greenai_nb.learn.fast.state import chain_at, refresh
    from greenai_nb.learn.initial_weights import start_sparse
    from greenai_nb.nets.architectures import mlp
    from greenai_nb.theory.prior import EXPONENT

    torch.set_num_threads(1)
    train, own, generator = load().train, ChainSettings(redraw_prob=0.0), np.random.default_rng(0)
    authors = replace(own, block=1, output_prob=0.5)
    by_spread = chain_at(start_sparse(mlp(784, 128)), train.images, train.labels)
    weights = np.arange(1, by_spread.filters.shape[1])
    even = by_spread._replace(column_cdf=np.append(weights / len(weights), 1.0))
    sweep(even, WARM, authors, generator)
    refresh(even)
    moves = sweep(copy.deepcopy(even), RECORDED, authors, generator)
    np.savez(
        file, images=train.flat().numpy(), labels=train.labels.numpy(), hidden=even.filters[:, :-1],
        output=even.outgoing, moves=moves[np.isfinite(moves["loss_change"])][:CHECKED], scale=own.scale,
        inverse_temperature=own.inverse_temperature, exponent=EXPONENT,
        steps=np.float32([own.step_hidden, own.step_output]),
    )  # fmt: skip

    def timed(start, settings):
        chain, clock = copy.deepcopy(start), time.process_time()
        moves = sweep(chain, TIMED // settings.block, settings, generator)
        return len(moves) / (time.process_time() - clock), 100 * float(moves["accepted"].mean())

    return lambda: timed(even, authors), lambda: timed(by_spread, own)


def main() -> None:
    """Install, check, measure in turn, report."""
    from _report import Row, report, throwaway_python

    def answer():
        return json.loads(blackjax.stdout.readline() or sys.exit("BlackJAX's process ended early"))

    with TemporaryDirectory() as folder:
        command = [throwaway_python(folder, PACKAGES), "-I", __file__, BLACKJAX_SIDE, folder]
        sides = answer, *fast_sides(Path(folder, DATA))
        environment = os.environ | ENVIRONMENT | dict.fromkeys(("HOME", "TMPDIR"), folder)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
        with subprocess.Popen(command, **pipes) as blackjax:
            gap, found = answer(), []
            for _ in range(ROUNDS):
                print(file=blackjax.stdin, flush=True)
                found.append([side() for side in sides])
    title, holds = "density's change in JAX, off the record by", gap <= ROUNDING
    rows = [Row(title, gap, "nats", f"at most {ROUNDING}", holds)]
    names = "BlackJAX", "fast chain, the authors' law", "fast chain, its own law"
    medians = [[median(part) for part in zip(*times, strict=True)] for times in zip(*found, strict=True)]
    for name, (rate, share) in zip(names, medians, strict=True):
        rows.append(Row(f"{name}, proposals", rate, "1/s", "recorded", True))
        rows.append(Row(f"{name}, accepted", share, "%", "recorded", True))
    for (rate, _), name, goal in zip(medians[1:], names[1:], (GOAL, 0), strict=True):
        ratio, said = rate / medians[0][0], f"at least {goal}" if goal else "recorded"
        rows.append(Row(f"{name}, over BlackJAX", ratio, "times", said, ratio >= goal))
    report(__file__, rows)


if __name__ == "__main__":
    blackjax_side(Path(sys.argv[-1], DATA)) if BLACKJAX_SIDE in sys.argv else main()
