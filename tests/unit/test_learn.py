import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from greenai_nb.data.datasets import Dataset, Split
from greenai_nb.learn import accept_reject, rank_one
from greenai_nb.learn.accept_reject import Settings, fit_accept_reject
from greenai_nb.learn.fit import accuracy
from greenai_nb.learn.gradient import fit_sgd, multiply_accumulates
from greenai_nb.nets.architectures import mlp
from greenai_nb.theory.prior import HeavyTail


def one_pixel(labels: list[int]) -> Dataset:
    """Images of one pixel whose value tells them apart."""
    count = len(labels)
    images = torch.arange(1, count + 1, dtype=torch.uint8).mul(20).view(count, 1, 1, 1)
    split = Split(images, torch.tensor(labels))
    return Dataset("one pixel", split, split, split, ("a", "b"), "", "", "")


def test_accuracy_counts_right_answers(tiny_data):
    class Bright(torch.nn.Module):
        def forward(self, x):
            return x[:, 0].sum(2)[:, :3]

    net = Bright()
    by_hand = np.mean(
        [
            image[0].sum(1)[:3].argmax() == label
            for image, label in zip(tiny_data.test.images.float(), tiny_data.test.labels, strict=True)
        ]
    )
    assert accuracy(net, tiny_data.test) == pytest.approx(float(by_hand))


def test_sgd_takes_the_steps_of_a_plain_loop(tiny_data):
    torch.manual_seed(0)
    net = mlp(16, 5, 3)
    weights = [parameter.detach().clone().requires_grad_() for parameter in net.parameters()]
    fit_sgd(net, tiny_data, epochs=2, learning_rate=0.2, batch_size=20, l1=0.01, seed=3)
    generator, step = torch.Generator().manual_seed(3), 0
    for _ in range(2):
        for chosen in torch.randperm(60, generator=generator).split(20):
            logits = (tiny_data.train.flat()[chosen] @ weights[0].T).relu() @ weights[1].T
            loss = functional.cross_entropy(logits, tiny_data.train.labels[chosen])
            rate = 0.2 * (1 - step / 6)
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                moved = weight.data - rate * gradient
                weight.data = moved.sign() * (moved.abs() - rate * 0.01).clamp(min=0)
            step += 1
    for ours, known in zip(net.parameters(), weights, strict=True):
        assert torch.allclose(ours, known, atol=1e-6)


def test_operations_of_a_forward_pass_are_counted():
    assert multiply_accumulates(mlp(16, 5, 3), torch.zeros(7, 1, 4, 4)) == 7 * (16 * 5 + 5 * 3)


def chain(data, **given):
    settings = {"proposals": 400, "looks": 1, "hidden": 6, "seed": 1, **given}
    return fit_accept_reject(data, **settings)


def test_the_update_decides_as_a_forward_pass_in_double_precision(tiny_data):
    images = tiny_data.train.flat()
    torch.manual_seed(0)
    net = mlp(16, 6, 3)
    state = rank_one.init(net, images, tiny_data.train.labels)
    generator = np.random.default_rng(0)
    settings = Settings(temper=2.0, scale=0.3, step_hidden=0.5, step_output=0.5, output_share=0.4)
    accepted = 0
    for step in range(2000):
        move = accept_reject.propose(state, settings, generator)
        if step % 50 == 0:
            giant = 1e3 * generator.standard_normal()
            move = rank_one.Move(
                move.layer,
                move.row,
                move.column,
                giant,
                giant - float((state.output if move.layer else state.hidden)[move.row, move.column]),
                -30.0,
            )
        hidden, output = state.hidden.double(), state.output.double()

        def loss(hidden, output):
            logits = (hidden @ images.double().T).relu().T @ output.T
            return functional.cross_entropy(logits, tiny_data.train.labels, reduction="sum")

        before = loss(hidden, output)
        (output if move.layer else hidden)[move.row, move.column] = move.value
        exact = float(loss(hidden, output) - before)
        change, patch = rank_one.loss_change(state, move)
        assert change == pytest.approx(exact, abs=1e-3, rel=1e-4)
        threshold = np.log(generator.random())
        ours = threshold < -settings.temper * change + move.log_prior_ratio
        assert ours == (threshold < -settings.temper * exact + move.log_prior_ratio)
        if ours:
            accepted += 1
            rank_one.commit(state, move, patch)
    assert 200 < accepted < 1900


def test_every_way_to_find_the_loss_change_trains_the_same_network(tiny_data):
    fast, plain = chain(tiny_data), chain(tiny_data, change=rank_one.loss_change_by_forward)
    for ours, known in zip(fast.net.parameters(), plain.net.parameters(), strict=True):
        assert torch.equal(ours, known)
    assert fast.trace.acceptance_hidden.iloc[-1] > 0


def test_a_seed_gives_the_same_chain_and_another_seed_another(tiny_data):
    first, again, other = (chain(tiny_data, seed=seed).net[1].weight for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_without_data_the_chain_returns_the_prior():
    data = one_pixel([0, 1, 0, 1])
    settings = Settings(
        temper=0.0, scale=0.2, scale_output=0.2, step_hidden=0.4, step_output=0.4, output_share=0.5
    )
    draws, start = [], None
    for seed in range(400):
        fit = fit_accept_reject(
            data, hidden=2, proposals=60, settings=settings, seed=seed, start=start, looks=1
        )
        start = fit.net
        draws += torch.cat([weight.flatten() for weight in fit.net.parameters()]).tolist()
    spread = np.abs(draws)
    assert stats.kstest(spread[::3], lambda x: 1 - HeavyTail(0.2).tail(x)).pvalue > 1e-3
    assert np.mean(spread) == pytest.approx(0.1, abs=0.02)


def test_the_chain_draws_from_the_gibbs_law_of_two_weights():
    """Only the output layer moves: its two weights have a law that a grid can hold."""
    data = one_pixel([0, 0, 1, 0])
    settings = Settings(temper=1.5, scale_output=0.5, step_output=1.0, output_share=1.0)
    start = mlp(1, 1, 2)
    start[1].weight.data.fill_(3.0)
    start[3].weight.data.zero_()
    grid = np.linspace(-30, 30, 1201)
    first, second = np.meshgrid(grid, grid, indexing="ij")
    log_law = HeavyTail(0.5).log_density(first) + HeavyTail(0.5).log_density(second)
    for value, label in zip(data.train.flat()[:, 0].numpy() * 3.0, data.train.labels, strict=True):
        margin = (first - second) * value * (1 if label == 0 else -1)
        log_law = log_law - 1.5 * np.logaddexp(0, -margin)
    law = np.exp(log_law - log_law.max())
    law /= law.sum()
    draws = []
    for seed in range(1500):
        fit = fit_accept_reject(
            data, hidden=1, proposals=20, settings=settings, seed=seed, start=start, looks=1
        )
        start = fit.net
        draws.append(start[3].weight.flatten().tolist())
    margin = np.array(draws)[100:] @ [1, -1]
    known = np.sort((first - second).ravel()), np.argsort((first - second).ravel())
    cumulative = np.cumsum(law.ravel()[known[1]])
    for quantile in (0.1, 0.5, 0.9):
        at = known[0][np.searchsorted(cumulative, quantile)]
        assert np.mean(margin <= at + 0.025) == pytest.approx(quantile, abs=0.06)


def test_rejected_proposals_leave_nothing_behind(tiny_data):
    net = mlp(16, 6, 3)
    state = rank_one.init(net, tiny_data.train.flat(), tiny_data.train.labels)
    before = [
        t.clone() for t in (state.hidden, state.output, state.logits, state.losses, state.activations)
    ]
    generator = np.random.default_rng(0)
    for _ in range(200):
        rank_one.loss_change(state, accept_reject.propose(state, Settings(), generator))
    after = (state.hidden, state.output, state.logits, state.losses, state.activations)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_chain_lowers_the_loss_and_does_not_change_its_start(tiny_data):
    first = chain(tiny_data, proposals=50)
    kept = [weight.clone() for weight in first.net.parameters()]
    more = chain(tiny_data, proposals=3000, start=first.net)
    assert more.trace.loss.iloc[-1] < first.trace.loss.iloc[-1] < np.log(3) + 0.1
    assert all(torch.equal(a, b) for a, b in zip(kept, first.net.parameters(), strict=True))


def test_the_trace_has_what_it_promises(tiny_data):
    trace = chain(tiny_data, looks=4).trace
    assert trace.step.tolist() == [100, 200, 300, 400]
    assert {"loss", "accuracy", "seconds", "operations", "acceptance_hidden", "visited"} <= set(trace)
    assert trace.operations.is_monotonic_increasing and 0 < trace.visited.iloc[-1] <= 1


def test_too_few_proposals_are_refused(tiny_data):
    with pytest.raises(ValueError, match="10 looks need"):
        fit_accept_reject(tiny_data, proposals=5)
