import numpy as np
import pytest

from greenai_nb.theory import game
from greenai_nb.theory.prior import HeavyTail
from greenai_nb.theory.space import Space, nodes
from greenai_nb.theory.toy import options, toy


@pytest.fixture(scope="module")
def built():
    return toy(0.05)


def test_losses_are_those_of_the_network_written_out(built):
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((20, 2))
    rows = options(inputs)
    for decision in rng.integers(0, len(built.space.points), 30):
        b1, b2, a = np.split(built.space.points[decision], [2, 4])
        for x, outcome in zip(inputs, rows, strict=True):
            f = a[0] * np.sign(b1 @ x) + a[1] * np.sign(b2 @ x)
            for label, row in zip((-1, 1), outcome, strict=True):
                known = np.log1p(np.exp(-label * np.clip(f, -4, 4)))
                assert built.losses[row, decision] == pytest.approx(known)


def test_smeared_losses_are_averages_over_moved_scales(built):
    decision = 12_345
    b, a = np.split(built.space.points[decision], [4])
    noise = HeavyTail(0.05).sample((400_000, 2), np.random.default_rng(1))
    h = np.sign(b.reshape(2, 2) @ [1.0, 0.5])
    f = np.clip((a + noise) @ h, -4, 4)
    row = options(np.array([[1.0, 0.5]]))[0, 1]
    simulated = np.log1p(np.exp(-f))
    error = simulated.std() / np.sqrt(len(f))
    assert built.smeared[row, decision] == pytest.approx(simulated.mean(), abs=5 * error)


def test_the_grid_is_fine_enough(built):
    """Another, finer quadrature gives the same loss of the mixture."""
    outcomes = np.random.default_rng(2).choice(4, 30, p=[0.7, 0.1, 0.1, 0.1])
    finer = toy(0.05, one_scale=nodes(HeavyTail(0.05), (-2, 3), 2))
    coarse, fine = (
        game.play(each.losses, each.space.log_mass, game.fixed(outcomes), 30, 1.0, 4.0).mixture[-1]
        for each in (built, finer)
    )
    assert coarse == pytest.approx(fine, rel=1e-4)


def test_equal_masses_on_quantiles_break_the_mixture_bound(built):
    """The trap: no node of the grid sits in the tail, where the good networks are."""
    outcomes, prior = [3] * 40, HeavyTail(0.05)
    quantiles = prior.quantile((np.arange(61) + 0.5) / 61)[:, None]
    trap = toy(0.05, one_scale=Space(quantiles, np.full(61, -np.log(61))))
    network = game.hindsight(built.smeared, outcomes, built.price)
    for each, holds in ((built, True), (trap, False)):
        trace = game.play(each.losses, each.space.log_mass, game.fixed(outcomes), 40, 1.0, 4.0)
        assert (trace.mixture[-1] <= network[-1]) is np.bool_(holds)


def test_inputs_on_an_edge_are_refused():
    with pytest.raises(ValueError, match="diagonal"):
        options(np.array([[1.0, -1.0]]))
    with pytest.raises(ValueError, match=r"clip .* got -1.0"):
        toy(0.05, clip=-1.0)
