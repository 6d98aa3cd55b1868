import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from greenai_nb.nets.architectures import mlp
from greenai_nb.prune import dropout_energy
from greenai_nb.prune.dropout_energy import (
    evolve,
    exactly,
    fit_edropout,
    margin_energies,
    rivals,
    search_by_evolution,
    search_by_metropolis,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_energy_is_minus_the_mean_margin_by_hand():
    hidden = torch.rand(5, 4)
    output, labels = torch.randn(3, 4), torch.tensor([0, 1, 2, 1, 0])
    masks = torch.rand(6, 4) < 0.5
    for mask, got in zip(masks, margin_energies(hidden, output, labels, masks), strict=True):
        margins = []
        for x, y in zip(hidden, labels.tolist(), strict=True):
            logits = (output * mask) @ x
            margins.append(logits[y] - max(logits[j] for j in range(3) if j != y))
        assert got == pytest.approx(-float(sum(margins)) / 5, abs=1e-6)


def test_genes_of_rivals_come_from_where_the_code_takes_them():
    masks = torch.rand(8, 4000, generator=generator(1)) < 0.5
    new = rivals(masks, generator(2))
    # A gene is the parent's with probability .1; else another mask's: of 8 random ones half agree.
    assert (new == masks).float().mean() == pytest.approx(0.1 + 0.9 * 0.5, abs=0.02)
    # Mutation: 1 - a where b = c, else 0. So a quarter of the mutated genes is on.
    assert new.float().mean() == pytest.approx(0.5 - 0.9 * 0.1 * 0.25, abs=0.02)
    ones = torch.ones(8, 4000, dtype=torch.bool)
    assert rivals(ones, generator()).float().mean() == pytest.approx(1 - 0.09, abs=0.01)


def test_a_generation_never_raises_an_energy():
    masks = torch.rand(8, 12, generator=generator(1)) < 0.5
    target = torch.rand(12, generator=generator(3)) < 0.5

    def energy(which):
        return (which != target).sum(1).float()

    energies = energy(masks)
    for _ in range(200):
        before = energies.clone()
        evolve(masks, energies, energy, generator(4), torch.clone)
        assert (energies <= before).all() and torch.equal(energies, energy(masks))
    random = generator(5)
    for _ in range(300):
        evolve(masks, energies, energy, random)
    assert energies.min() <= 2


def test_searches_come_near_the_best_of_all_masks():
    hits = np.zeros(2)
    for seed in range(6):
        torch.manual_seed(seed)
        hidden, output = torch.rand(30, 8), torch.randn(3, 8)
        labels = torch.randint(0, 3, (30,))
        chosen = itertools.combinations(range(8), 4)
        every = torch.tensor([[unit in each for unit in range(8)] for each in chosen])
        best = margin_energies(hidden, output, labels, every).sort().values

        def energy(which, hidden=hidden, output=output, labels=labels):
            return margin_energies(hidden, output, labels, which)

        found = [
            search_by_evolution(energy, 8, 4, 7, generator(seed)),
            search_by_metropolis(energy, 8, 4, 63, generator(seed)),
        ]
        assert min(found) >= best[0] - 1e-6
        hits += np.array(found) <= float(best[2]) + 1e-6
    assert (hits >= 4).all()


@given(st.integers(0, 12), st.integers(0, 10_000))
def test_masks_are_repaired_by_the_fewest_changes(kept, seed):
    masks = torch.rand(8, 12, generator=generator(seed)) < 0.5
    exact = exactly(masks.float(), kept, generator(seed))
    assert (exact.sum(1) == kept).all()
    assert torch.equal((exact != masks).sum(1), (masks.sum(1) - kept).abs())


def test_training_keeps_as_many_units_as_asked_and_learns(tiny_data):
    torch.manual_seed(0)
    net = mlp(16, 12, 3)
    fit = fit_edropout(net, tiny_data, epochs=6, learning_rate=0.5, batch_size=10, units=5)
    into, out = fit.net[1].weight, fit.net[3].weight
    assert int(into.any(1).sum()) == 5 and torch.equal(into.any(1), out.any(0))
    assert fit.trace.loss.iloc[-1] < fit.trace.loss.iloc[0]
    free = fit_edropout(net, tiny_data, epochs=1, batch_size=10)
    assert 1 <= int(free.net[1].weight.any(1).sum()) <= 12
    with pytest.raises(ValueError, match="at most the 12"):
        fit_edropout(net, tiny_data, epochs=1, units=13)


def test_an_interrupt_gives_masks_and_weights_of_the_finished_epoch(tiny_data, monkeypatch):
    seen = []

    def look(net, split):
        if seen:
            raise KeyboardInterrupt
        seen.append(net[1].weight.clone())
        return 0.5

    monkeypatch.setattr(dropout_energy, "accuracy", look)
    with pytest.warns(UserWarning, match="epoch 2 of 2: the network is that of epoch 1"):
        done = fit_edropout(mlp(16, 12, 3), tiny_data, epochs=2, batch_size=10, units=5)
    assert done.interrupted and torch.equal(done.net[1].weight, seen[0])
