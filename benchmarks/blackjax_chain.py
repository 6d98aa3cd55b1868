"""Proposals a CPU second of the fast chain against BlackJAX's random-walk Metropolis, one thread, in turn.

Optional, for it needs a package index: BlackJAX and JAX go into a virtual environment that is thrown away
afterwards, and BlackJAX runs there, in a second process. The two processes are never busy at once: in
each round one makes its proposals, then the other. Both take the CPU time of their whole process.

Alike on both sides are the law aimed at, the posterior of 784 x 128 x 10 weights given 10,000 images;
single precision; the weights that every round starts at, left by a fast chain of 100,000 proposals; and
the moves: a normal step of random size for one weight, from each layer half of the time, each weight of a
layer alike. Nothing is redrawn from the prior. BlackJAX runs in one compiled loop.

Not alike is what they know. BlackJAX takes any law, as a density, so that every decision costs a forward
pass. The fast chain is made for networks with one layer of filters, and keeps what a move leaves as it
is; it refuses unseen a step that could move a logit by more than 10. Its own law of moves, which stays
with a unit, has further rows.

Before anything is timed, JAX replays moves that the fast chain has recorded, and finds their changes of
the log density again, up to rounding.
"""

import copy
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

WARM, ROUNDS, TIMED, TIMED_BLACKJAX, RECORDED, CHECKED, GOAL = 100_000, 7, 9_600, 200, 960, 64, 200
# Nats: the fast chain's rounding of a loss, times the temper; and that of JAX's sums besides.
DOUBLE_ROUNDING, SINGLE_ROUNDING = 0.05, 0.1
PACKAGES = ("blackjax==1.7.1", "jax==0.10.2", "jaxlib==0.10.2", "optax==0.2.8", "numpy==2.4.6")
# NPROC is the number of threads that JAX computes with; XLA's flags leave it at one for each core.
ENVIRONMENT = {"NPROC": "1", "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
BLACKJAX_SIDE, DATA = "--blackjax-side", "given.npz"


def blackjax_side(file: Path) -> None:
    """Replay the recorded moves; then answer every line with a rate, per cent accepted, CPU over wall."""
    import blackjax
    import jax
    import numpy as np
    from jax import numpy as jnp

    given = dict(np.load(file))
    temper, scale, exponent = (float(given[name]) for name in ("temper", "scale", "exponent"))
    images, labels = jnp.asarray(given["images"]), jnp.asarray(given["labels"])[:, None]
    start = given["hidden"], given["output"]

    def log_density(position):
        hidden, output = position
        logits = jax.nn.relu(images @ hidden.T) @ output
        losses = jax.nn.logsumexp(logits, 1) - jnp.take_along_axis(logits, labels, 1)[:, 0]
        sizes = sum(jnp.log1p(jnp.abs(weights) / scale).sum() for weights in position)
        return -temper * losses.sum() - exponent * sizes

    def random_step(key, position):
        keys = jax.random.split(key, 4)
        drawn = jax.random.randint(keys[0], (), 0, 2)
        size = 10 ** jax.random.uniform(keys[1], minval=-1.0, maxval=1.0) * jax.random.normal(keys[2])

        def change(layer, weights):
            place = jax.random.randint(keys[3], (), 0, weights.size)
            step = jnp.where(layer == drawn, size * given["steps"][layer], 0)
            return jnp.zeros(weights.size).at[place].set(step).reshape(weights.shape)

        return tuple(change(layer, weights) for layer, weights in enumerate(position))

    def greatest_gap(kind):
        weights, density, gaps = [part.astype(kind) for part in start], jax.jit(log_density), [0.0]
        before = density(weights)
        for move in given["moves"]:
            part, place = weights[move["layer"]], (move["unit"], move["column"])
            old = part[place]
            part[place] += move["change"]
            after = density(weights)
            recorded = move["log_prior_ratio"] - temper * move["loss_change"]
            gaps.append(abs(float(after - before) - recorded))
            before, part[place] = (after, part[place]) if move["accepted"] else (before, old)
        return max(gaps)

    walk = blackjax.additive_step_random_walk(log_density, random_step)

    def transition(state, key):
        state, told = walk.step(key, state)
        return state, told.is_accepted

    chain = jax.jit(lambda state, keys: jax.lax.scan(transition, state, keys)[1])
    with jax.enable_x64(True):
        gap = greatest_gap(np.float64)
    print(json.dumps([gap, greatest_gap(np.float32)]), flush=True)
    state, rounds = walk.init(tuple(map(jnp.asarray, start))), jax.random.split(jax.random.key(0), ROUNDS)
    chain(state, jax.random.split(rounds[0], TIMED_BLACKJAX)).block_until_ready()
    for key, _ in zip(rounds, sys.stdin, strict=False):
        keys = jax.random.split(key, TIMED_BLACKJAX).block_until_ready()
        wall, cpu = time.monotonic(), time.process_time()
        accepted = chain(state, keys).block_until_ready()
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        print(json.dumps([len(keys) / cpu, 100 * float(accepted.mean()), cpu / wall]), flush=True)


def install(folder: str) -> Path | None:
    """The python of a new virtual environment with BlackJAX; says so and gives none where that fails."""
    python = Path(folder, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
    pip = [python, "-m", "pip", "install", "--no-cache-dir", "--only-binary=:all:", *PACKAGES]
    for command in ([sys.executable, "-m", "venv", folder], pip):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            words = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            errors = [line for line in words if line.startswith("ERROR")] or words or ["no reason given"]
            print(f"blackjax_chain is left out, {' '.join(PACKAGES)} cannot be installed: {errors[-1]}")
            return None
    return python


def answer(blackjax: subprocess.Popen) -> list[float]:
    """The next answer of BlackJAX's process."""
    line = blackjax.stdout.readline()
    if not line:
        sys.exit("blackjax_chain: BlackJAX's process ended early, its last words are above")
    return json.loads(line)


def fast_sides(file: Path):
    """Calls that time the fast chain under both laws; the start and some moves are left in a file."""
    import numpy as np
    import torch

    from greenai_nb.data.datasets import load
    from greenai_nb.learn.filter_chain import Settings, sweep
    from greenai_nb.learn.filter_state import chain_at, refresh
    from greenai_nb.learn.starts import start_sparse
    from greenai_nb.nets.architectures import mlp
    from greenai_nb.theory.prior import EXPONENT

    torch.set_num_threads(1)
    train, own, generator = load().train, Settings(redraw_share=0.0), np.random.default_rng(0)
    authors = replace(own, block=1, output_share=0.5)
    by_spread = chain_at(start_sparse(mlp(784, 128)), train.images, train.labels)
    weights = np.arange(1, by_spread.filters.shape[1])
    even = replace(by_spread, weight_law=np.append(weights / len(weights), 1.0))
    sweep(even, WARM, authors, generator)
    refresh(even)
    moves = sweep(copy.deepcopy(even), RECORDED, authors, generator)
    np.savez(
        file, images=train.flat().numpy(), labels=train.labels.numpy(), hidden=even.filters[:, :-1],
        output=even.outgoing, moves=moves[np.isfinite(moves["loss_change"])][:CHECKED], scale=own.scale,
        temper=own.temper, exponent=EXPONENT, steps=np.float32([own.step_hidden, own.step_output]),
    )  # fmt: skip

    def timed(start, settings):
        chain, clock = copy.deepcopy(start), time.process_time()
        moves = sweep(chain, TIMED // settings.block, settings, generator)
        return len(moves) / (time.process_time() - clock), 100 * moves["accepted"].mean()

    return [lambda: timed(even, authors), lambda: timed(by_spread, own)]


def main() -> None:
    """Install, check, measure in turn, report."""
    from greenai_nb.suite.benchmark import Row, report

    with TemporaryDirectory() as folder:
        python = install(folder)
        if python is None:
            return
        sides = fast_sides(Path(folder, DATA))
        environment = os.environ | ENVIRONMENT | dict.fromkeys(("HOME", "TMPDIR"), folder)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
        with subprocess.Popen([python, "-I", __file__, BLACKJAX_SIDE, folder], **pipes) as blackjax:
            gaps, found = answer(blackjax), []
            for _ in range(ROUNDS):
                print(file=blackjax.stdin, flush=True)
                found.append([answer(blackjax), *(side() for side in sides)])
    print(f"BlackJAX's CPU time over its wall time: {max(general[2] for general, *_ in found):.3f} at most")
    rows = []
    for kind, gap, most in zip(("double", "single"), gaps, (DOUBLE_ROUNDING, SINGLE_ROUNDING), strict=True):
        title, goal = f"log densities' changes, gap of JAX in {kind} precision", f"at most {most}"
        rows.append(Row(title, gap, "nats", goal, gap <= most))
    names = ("BlackJAX", "fast chain, the authors' law", "fast chain, its own law")
    for number, (name, least) in enumerate(zip(names, (0, GOAL, 0), strict=True)):
        rate, share = (statistics.median(round_[number][part] for round_ in found) for part in (0, 1))
        rows.append(Row(f"{name}, proposals", rate, "1/s", "recorded", True))
        rows.append(Row(f"{name}, accepted", share, "%", "recorded", True))
        if number:
            ratio = statistics.median(round_[number][0] / round_[0][0] for round_ in found)
            goal = f"at least {least}" if least else "recorded"
            rows.append(Row(f"{name}, over BlackJAX", ratio, "times", goal, ratio >= least))
    report(__file__, rows)


if __name__ == "__main__":
    blackjax_side(Path(sys.argv[-1], DATA)) if BLACKJAX_SIDE in sys.argv else main()
