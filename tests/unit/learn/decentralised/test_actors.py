"""Tempering and gossip on processes, some of which are killed: nothing changes by a bit."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import numpy as np
import psutil
import pytest
import torch
from scipy import stats

from greenai_nb.learn.decentralised import actors
from greenai_nb.learn.decentralised.actors import Actors, SchedulerLostError
from greenai_nb.learn.decentralised.bits import Bits
from greenai_nb.learn.decentralised.network import Network
from greenai_nb.learn.decentralised.tempering import InOneProcess, start, temper
from greenai_nb.learn.fast.chain import ChainSettings
from greenai_nb.nets.architectures import mlp
from greenai_nb.theory.decentralised import gossip, parallel

pytestmark = [pytest.mark.distributed, pytest.mark.usefixtures("one_thread")]
LADDER = [2.0, 0.7]


@pytest.fixture(scope="module")
def client():
    """Two processes; a worker that is killed comes back."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(actors, "ANSWER_S", 2.0)  # a dead worker is asked no longer than that
        with actors.workers(2) as client:
            yield client


@dataclass
class Fatal(Bits):
    """A chain that kills its own process in the middle of some advances, which it marks first."""

    inner: Bits
    folder: Path
    kills: int
    often: int

    def __post_init__(self):
        super().__init__(np.array(self.inner.losses))

    def advance(self, steps, inverse_temperature):
        before, kills = self.state(), len([*self.folder.iterdir()])
        super().advance(steps // 2, inverse_temperature)
        if kills < self.kills and (before.generator["state"]["state"] >> 64) % self.often == 0:
            (self.folder / str(kills)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        self.restore(before)
        super().advance(steps, inverse_temperature)


def test_killed_workers_change_nothing_and_every_temperature_keeps_its_distribution(client, tmp_path):
    losses = np.random.default_rng(1).normal(0, 1.2, 8)
    bits, size = Bits(losses), {"rounds": 150, "steps": 60, "seed": 7}
    here = [*temper(InOneProcess(bits), start(bits, [1, 2]), LADDER, **size)]
    pool = Actors(client, Fatal(bits, tmp_path, 2, 10))
    there = [*temper(pool, start(bits, [1, 2]), LADDER, **size)]
    killed = len([*tmp_path.iterdir()])
    assert killed == 2 and pool.lost >= killed
    assert there == here
    for k, inverse_temperature in enumerate(LADDER):
        rows = np.bincount([now.state_at(k).row for now in there[20:]], minlength=8)
        expected = rows.sum() * parallel.gibbs(losses, inverse_temperature)
        assert stats.chisquare(rows, expected).pvalue > 0.01


def test_a_network_on_two_processes_is_the_one_in_this_process(client, tiny_data):
    torch.manual_seed(0)
    settings = ChainSettings(scale=0.1, scale_output=0.3, block=8)
    chain = Network(mlp(16, 6, 3), tiny_data.train, settings)
    size = {"rounds": 4, "steps": 30, "seed": 1}
    here = [*temper(InOneProcess(chain), start(chain, [5, 6]), LADDER, **size)]
    pool, there = Actors(client, chain), []
    for now in temper(pool, start(chain, [5, 6]), LADDER, **size):
        there.append(now)
        if now.round == 2:
            psutil.Process(pool.processes()[1]).kill()
    assert pool.lost >= 1 and len({*pool.processes()}) <= 2
    for ours, theirs in zip(there, here, strict=True):
        assert (ours.losses, ours.holders) == (theirs.losses, theirs.holders)
        for mine, other in zip(ours.states, theirs.states, strict=True):
            assert np.array_equal(mine.filters, other.filters)
            assert np.array_equal(mine.outgoing, other.outgoing) and mine.generator == other.generator


class Deadly(Bits):
    def advance(self, steps, inverse_temperature):
        raise ZeroDivisionError("by the chain itself")


def test_an_error_of_the_chain_comes_through(client):
    chain = Deadly(np.zeros(4))
    with pytest.raises(ZeroDivisionError, match="by the chain itself"):
        next(temper(Actors(client, chain), start(chain, [0]), [1.0], rounds=1, steps=1))


def test_a_replica_that_always_loses_its_worker_is_named(client, tmp_path, monkeypatch):
    monkeypatch.setattr(actors, "MAX_LOSSES", 1)
    chain = Fatal(Bits(np.zeros(4)), tmp_path, 1, 1)
    with pytest.raises(RuntimeError, match="replica 0 lost its worker 1 times in one round"):
        next(temper(Actors(client, chain), start(chain, [0]), [1.0], rounds=1, steps=1))


def test_nodes_agree_at_the_rate_of_the_eigenvalue_though_one_worker_is_killed(client):
    graph, values = gossip.ring(6), np.random.default_rng(0).normal(size=(6, 2))
    weights, expected = gossip.metropolis_weights(graph), [values]
    for _ in range(30):
        expected.append(weights @ expected[-1])
    victim = client.submit(os.getpid, pure=False).result()
    killer = threading.Timer(0.1, psutil.Process(victim).kill)
    killer.start()
    found = actors.gossip(client, graph, values, 30)
    killer.join()
    assert found == pytest.approx(np.array(expected), abs=1e-14)
    far = np.linalg.norm(found[..., 0] - found[..., 0].mean(1, keepdims=True), axis=1)
    assert gossip.measured_rate(far) == pytest.approx(gossip.second_eigenvalue(weights), abs=1e-6)


def test_nodes_that_never_agree_are_refused_before_any_is_made(client):
    islands = np.kron(np.eye(2, dtype=bool), gossip.complete(2))
    with pytest.raises(ValueError, match="the nodes never agree"):
        actors.gossip(client, islands, np.zeros(4), 5)
    with pytest.raises(ValueError, match="a value for each of 3 nodes is expected, got 2"):
        actors.gossip(client, gossip.ring(3), np.zeros(2), 5)
    with pytest.raises(ValueError, match="rounds must be"):
        actors.gossip(client, gossip.ring(3), np.arange(3.0), 0)


def test_a_scheduler_that_never_was_is_named(monkeypatch):
    monkeypatch.setattr(actors, "ANSWER_S", 0.5)
    with (
        pytest.raises(SchedulerLostError, match=r"no scheduler answers at tcp://127.0.0.1:9"),
        actors.workers(1, "tcp://127.0.0.1:9"),
    ):
        pass


def test_a_scheduler_that_goes_leaves_the_rounds_so_far(tmp_path, monkeypatch):
    monkeypatch.setattr(actors, "ANSWER_S", 2.0)
    file, command = tmp_path / "scheduler.json", [sys.executable, "-m", "distributed.cli"]
    local = ["--host", "127.0.0.1", "--no-dashboard"]
    scheduler = [*local, "--port", "0", "--scheduler-file", str(file)]
    worker = ["--no-dashboard", "--no-nanny", "--nthreads", "1", "--scheduler-file", str(file)]
    quiet = {"stderr": subprocess.DEVNULL, "cwd": Path(__file__).parents[4]}
    running = [
        subprocess.Popen([*command[:2], f"distributed.cli.dask_{name}", *arguments], **quiet)
        for name, arguments in (("scheduler", scheduler), ("worker", worker))
    ]
    bits, size = Bits(np.arange(8.0)), {"rounds": 20, "steps": 5, "seed": 3}
    here = [*temper(InOneProcess(bits), start(bits, [1, 2]), LADDER, **size)]
    handed = []
    try:
        while not (file.exists() and file.read_text().endswith("}")):
            assert running[0].poll() is None
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        with actors.workers(1, address) as client:
            client.wait_for_workers(1, 60)
            with pytest.raises(SchedulerLostError, match=r"the scheduler is gone.*go on from the last"):
                for now in temper(Actors(client, bits), start(bits, [1, 2]), LADDER, **size):
                    handed.append(now)
                    if now.round == 8:
                        running[0].kill()
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert handed == here[: len(handed)] and len(handed) >= 8
    rest = temper(InOneProcess(bits), handed[-1], LADDER, **size | {"rounds": 20 - len(handed)})
    assert [*handed, *rest] == here
