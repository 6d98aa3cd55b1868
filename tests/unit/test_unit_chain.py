"""The fast chain: its arithmetic, its decisions, its law, and its bookkeeping."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp

from greenai_nb.learn import softmax_updates, unit_chain
from greenai_nb.learn.accept_reject import Settings
from greenai_nb.learn.unit_chain import fit_unit_chain
from greenai_nb.learn.unit_moves import BLOCK, HIDDEN, OUTPUT
from greenai_nb.theory.prior import HeavyTail

CLASSES = 10


def test_exponentials_and_logarithms_are_those_of_numpy():
    x = np.linspace(-60, 60, 4001).astype(np.float32)
    ours = np.array([softmax_updates.fast_exp(value) for value in x])
    assert np.allclose(ours, np.exp(x.astype(float)), rtol=1e-6)
    ours = np.array([softmax_updates.fast_log(value) for value in np.exp(x)])
    assert np.allclose(ours, np.log(np.exp(x).astype(float)), rtol=3e-7, atol=3e-7)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5000), st.floats(0.01, 3), st.integers(1, 10))
def test_the_loss_change_is_that_of_two_softmaxes_and_its_linear_part_is_below(seed, count, size, many):
    rng = np.random.default_rng(seed)
    logits, labels = 3 * rng.normal(size=(CLASSES, count)), rng.integers(0, CLASSES, count)
    direction = np.zeros(CLASSES, np.float32)
    direction[rng.permutation(CLASSES)[:many]] = rng.uniform(-1, 1, many)
    shift = rng.uniform(-size, size, count).astype(np.float32)
    mass = np.exp(logits - logits.max(0)).astype(np.float32)
    inverse, slope, growth = np.empty((3, count), np.float32)
    softmax_updates.normalize(mass, inverse)
    used, at_label = np.flatnonzero(direction), direction[labels]
    powers = np.empty((CLASSES, count), np.float32)
    found = softmax_updates.loss_change(mass, inverse, shift, direction, at_label, used, powers, growth)
    moved = logits + shift * direction[:, None].astype(float)
    images = np.arange(count)

    def losses(z):
        return logsumexp(z, axis=0) - z[labels, images]

    exact = (losses(moved) - losses(logits)).sum()
    assert found == pytest.approx(exact, abs=1e-6 * count + 1e-5, rel=1e-5)
    softmax_updates.slopes(mass, inverse, direction, at_label, used, slope)
    assert shift.astype(float) @ slope <= exact + 1e-6 * count + 1e-5
    softmax_updates.commit(mass, inverse, used, powers, growth)
    known = np.exp(moved - logsumexp(moved, axis=0))
    assert np.allclose(mass * inverse, known, atol=2e-6)


def small_chain(seed=0, images=300, pixels=30, hidden=8):
    """A chain on images of noise, whose weights are all in use."""
    rng = np.random.default_rng(seed)
    shown = (rng.integers(0, 256, (images, pixels)) * (rng.random((images, pixels)) < 0.4)).astype(
        np.uint8
    )
    return shown, unit_chain.chain_at(
        rng.normal(size=(hidden, pixels)) * 0.3,
        rng.normal(size=(CLASSES, hidden)),
        shown,
        rng.integers(0, CLASSES, images),
    )


COLD = Settings(
    temper=1.0, scale=0.2, scale_output=0.2, step_hidden=0.3, step_output=1.0, output_share=0.4
)
HOT = Settings(
    temper=0.003, scale=2.0, scale_output=2.0, step_hidden=2.0, step_output=3.0, output_share=0.8
)
OUTPUTS = Settings(temper=0.1, scale_output=5.0, step_output=0.5, output_share=1.0)


@pytest.mark.parametrize("law", [COLD, HOT, OUTPUTS], ids=["cold", "hot", "outputs"])
def test_every_recorded_decision_is_that_of_a_full_pass_in_double_precision(law):
    """Also those of giant steps, which the rule against large steps must reject."""
    shown, chain = small_chain()
    hidden, outgoing = chain.hidden.astype(float), chain.outgoing.astype(float)
    moves = unit_chain.sweep(chain, 160, law, np.random.default_rng(1))
    x, images = shown / 255, np.arange(len(shown))

    def loss():
        logits = np.maximum(x @ hidden.T, 0) @ outgoing
        return (logsumexp(logits, axis=1) - logits[images, chain.labels]).sum()

    before, refused = loss(), 0
    for move in moves:
        weights = (hidden, outgoing)[move["layer"]][move["unit"]]
        other = np.maximum(x @ hidden[move["unit"]], 0).max()
        reach = (np.abs(outgoing[move["unit"]]).max(), other)[move["layer"]]
        weights[move["column"]] += move["change"]
        after = loss()
        wanted = move["log_uniform"] < move["log_prior_ratio"] - law.temper * (after - before)
        too_far = abs(move["change"]) * reach > softmax_updates.LARGEST_STEP
        refused += too_far
        assert move["accepted"] == (wanted and not too_far)
        if np.isfinite(move["loss_change"]):
            assert move["loss_change"] == pytest.approx(after - before, abs=1e-3)
        if move["accepted"]:
            before = after
        else:
            weights[move["column"]] -= move["change"]
    assert len(moves) > 5000 and 500 < moves["accepted"].sum() < 4800
    assert refused > 20 or law is OUTPUTS
    assert np.allclose(chain.hidden, hidden, atol=1e-5)
    assert np.allclose(chain.outgoing, outgoing, atol=1e-5)


def test_the_prior_ratio_is_that_of_the_prior():
    _, chain = small_chain()
    hidden, outgoing = chain.hidden.astype(float), chain.outgoing.astype(float)
    law = Settings(temper=0.0, scale=0.2, scale_output=0.7, redraw_share=0.0, output_share=0.5)
    priors = HeavyTail(0.2), HeavyTail(0.7)
    for move in unit_chain.sweep(chain, 20, law, np.random.default_rng(2)):
        weights = (hidden, outgoing)[move["layer"]][move["unit"]]
        old, new = weights[move["column"]], weights[move["column"]] + move["change"]
        prior = priors[move["layer"]]
        known = prior.log_density(new) - prior.log_density(old)
        assert move["log_prior_ratio"] == pytest.approx(float(known), abs=1e-4)
        if move["accepted"]:
            weights[move["column"]] = new


def test_without_data_the_chain_returns_the_prior():
    _, chain = small_chain(images=5, pixels=4, hidden=3)
    chain.hidden[:], chain.outgoing[:] = 0, 0
    unit_chain.refresh(chain)
    law = Settings(
        temper=0.0, scale=0.05, scale_output=0.05, step_hidden=0.1, step_output=0.1, output_share=0.5
    )
    generator, draws = np.random.default_rng(3), []
    for _ in range(1500):
        unit_chain.sweep(chain, 6, law, generator)
        draws.append([*chain.hidden.ravel(), *chain.outgoing.ravel()])
    spread = np.abs(np.array(draws)[50::7]).ravel()
    assert stats.kstest(spread[::5], lambda x: 1 - HeavyTail(0.05).tail(x)).pvalue > 1e-3


def test_the_tracked_loss_stays_with_the_recomputed_one(tiny_data):
    """Cold, so that masses reach their floor and confident images count."""
    images, labels = tiny_data.train.images.flatten(1).numpy(), tiny_data.train.labels.numpy()
    rng = np.random.default_rng(4)
    chain = unit_chain.chain_at(rng.normal(size=(9, 16)), rng.normal(size=(3, 9)), images, labels)
    tracked, law = unit_chain.refresh(chain), Settings(temper=30.0, scale=0.1, scale_output=0.1)
    for _ in range(20):
        moves = unit_chain.sweep(chain, 500, law, rng)
        tracked += moves["loss_change"][moves["accepted"]].sum()
        true = unit_chain.refresh(chain)
        assert abs(tracked - true) < 1e-4 * len(labels) and true > 0
        tracked = true


def test_a_seed_gives_the_same_chain_and_the_start_is_left_alone(tiny_data):
    first, again, other = (
        fit_unit_chain(tiny_data, hidden=6, proposals=2000, seed=seed) for seed in (1, 1, 2)
    )
    weight = first.net[1].weight
    assert torch.equal(weight, again.net[1].weight) and not torch.equal(weight, other.net[1].weight)
    kept = weight.clone()
    more = fit_unit_chain(tiny_data, hidden=6, proposals=20_000, seed=3, start=first.net)
    assert torch.equal(kept, first.net[1].weight)
    assert more.trace.loss.iloc[-1] < first.trace.loss.iloc[-1]


def test_looking_does_not_change_the_chain(tiny_data, monkeypatch):
    refreshed, refresh = [], unit_chain.refresh
    monkeypatch.setattr(unit_chain, "BLOCKS_AT_ONCE", 7)
    monkeypatch.setattr(unit_chain, "refresh", lambda chain: refreshed.append(1) or refresh(chain))
    once = fit_unit_chain(tiny_data, hidden=6, proposals=20 * BLOCK, looks=1)
    times = len(refreshed)
    often = fit_unit_chain(tiny_data, hidden=6, proposals=20 * BLOCK, looks=6)
    assert len(refreshed) == 2 * times
    assert torch.equal(once.net[1].weight, often.net[1].weight)
    logits = once.net(tiny_data.train.scaled())
    true = torch.nn.functional.cross_entropy(logits, tiny_data.train.labels)
    assert once.trace.loss.iloc[-1] == pytest.approx(true.item(), abs=1e-4)


def test_the_trace_adds_the_records_up(tiny_data):
    trace = fit_unit_chain(tiny_data, hidden=6, proposals=4 * BLOCK, looks=4).trace
    assert trace.step.tolist() == [BLOCK, 2 * BLOCK, 3 * BLOCK, 4 * BLOCK]
    assert trace.operations.is_monotonic_increasing and 0 < trace.visited.iloc[-1] <= 1
    assert trace[["acceptance_hidden", "acceptance_output", "refused_early"]].stack().between(0, 1).all()


def test_bad_input_is_refused(tiny_data):
    with pytest.raises(ValueError, match="10 looks need 320 proposals at least, got 5"):
        fit_unit_chain(tiny_data, proposals=5)
    tiny_data.train.labels[0] = 7
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 2\], got 0 to 7"):
        fit_unit_chain(tiny_data, proposals=1000)
    with pytest.raises(ValueError, match=r"scale_output must be a number in \(0, inf\), got 0"):
        Settings(scale_output=0)
    with pytest.raises(ValueError, match="temper must be"):
        Settings(temper=-1)


def test_both_layers_move():
    _, chain = small_chain()
    moves = unit_chain.sweep(chain, 40, Settings(output_share=0.5), np.random.default_rng(5))
    assert set(moves["layer"]) == {HIDDEN, OUTPUT}
