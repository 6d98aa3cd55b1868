"""Proposals and selections: what a move may draw, and with what law."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from priors import Student, Truncated
from scipy import stats

from greenai_nb.learn.moves import (
    Redraw,
    ScaleMixture,
    SignFlip,
    StudentStep,
    Unit,
    Weights,
)
from greenai_nb.theory.prior import HeavyTail

OLD = np.array([-2.0, 0.0, 0.5])


def drawn(proposal, old=OLD, count=20_000):
    generator = np.random.default_rng(0)
    return np.array([proposal.draw(old, generator) for _ in range(count)])


@pytest.mark.parametrize(
    ("proposal", "known"),
    [
        (ScaleMixture(0.3, 0.0), stats.norm(0, 0.3)),
        (StudentStep(0.3), stats.cauchy(0, 0.3)),
        (StudentStep(0.3, 3.0), stats.t(3, 0, 0.3)),
    ],
)
def test_steps_have_the_law_that_they_name_around_the_old_value(proposal, known):
    for moved in (drawn(proposal) - OLD).T:
        assert stats.kstest(moved, known.cdf).pvalue > 1e-3


@pytest.mark.parametrize("proposal", [StudentStep(0.3), ScaleMixture(0.3, 0.0), ScaleMixture(0.3, 1.5)])
def test_symmetric_steps_go_up_as_often_as_down_and_do_not_depend_on_where_they_start(proposal):
    assert proposal.symmetric
    there, back = drawn(proposal) - OLD, drawn(proposal, OLD[::-1]) - OLD[::-1]
    assert np.allclose(there, back)
    for moved in there.T:
        up, down = moved[moved > 0], -moved[moved < 0]
        assert abs(len(up) - len(down)) < 4 * np.sqrt(len(moved))
        assert stats.ks_2samp(up, down).pvalue > 1e-3


def test_the_scale_mixture_has_one_size_for_a_move_spread_evenly_over_decades():
    moved = drawn(ScaleMixture(0.3, 1.5), np.zeros(2000), 300)
    decades = np.log10(moved.std(1) / 0.3)
    assert stats.kstest(decades, stats.uniform(-1.5, 3).cdf).pvalue > 1e-3
    assert np.allclose(drawn(ScaleMixture(0.3, 0.0)).std(0), 0.3, rtol=0.05)


@pytest.mark.parametrize("prior", [HeavyTail(0.2), Student(0.2), Truncated(0.2, 1.0)])
def test_a_redraw_comes_from_its_prior_and_states_its_density(prior):
    proposal = Redraw(prior)
    assert not proposal.symmetric
    assert (
        stats.ks_2samp(drawn(proposal)[:, 0], prior.sample(20_000, np.random.default_rng(1))).pvalue
        > 1e-3
    )
    by_hand = sum(float(prior.log_density(value)) for value in (0.1, -0.7))
    assert proposal.log_density(np.array([0.1, -0.7]), OLD[:2]) == pytest.approx(by_hand)


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_a_flip_undoes_itself(values):
    generator, flip = np.random.default_rng(0), SignFlip()
    assert flip.symmetric
    once = flip.draw(np.array(values), generator)
    assert once.tolist() == [-value for value in values]
    assert flip.draw(once, generator).tolist() == values


@pytest.mark.parametrize(
    "make",
    [
        lambda: ScaleMixture(0.0),
        lambda: StudentStep(-1.0),
        lambda: StudentStep(1.0, 0.0),
        lambda: ScaleMixture(float("nan")),
        lambda: ScaleMixture(1.0, -1.0),
        lambda: Weights("1.weight", 0),
        lambda: Unit("1.weight", -2),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(make):
    with pytest.raises(ValueError, match=r"(step|degrees_of_freedom|decades|count) must be a number"):
        make()


def small_weights(units=5, shape=(3, 2, 2)):
    return {"filter": torch.zeros(units, *shape), "bias": torch.zeros(units)}


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 3), st.data())
def test_selections_give_distinct_places_and_blocks_stay_in_one_unit(units, channels, side, data):
    weights = small_weights(units, (channels, side, side))
    size = channels * side**2
    generator = np.random.default_rng(data.draw(st.integers(0, 1000)))
    few, many = data.draw(st.integers(1, size)), data.draw(st.integers(1, units * size))
    drawn_from = {
        Weights("filter", many): many,
        Weights("bias"): 1,
        Unit("filter"): size,
        Unit("filter", few): few,
    }
    for selection, count in drawn_from.items():
        selection.check(weights)
        name, index = selection.draw(weights, generator)
        assert name == selection.parameter and index.dtype == np.int64
        assert len(set(index.tolist())) == len(index) == count
        assert set(index.tolist()) <= set(range(weights[name].numel()))
        if not isinstance(selection, Weights):
            assert len(set((index // size).tolist())) == 1


@pytest.mark.parametrize("selection", [Weights("filter", 3), Unit("filter"), Unit("filter", 5)])
def test_every_weight_is_selected_equally_often(selection):
    weights, generator = small_weights(), np.random.default_rng(0)
    counts = sum(np.bincount(selection.draw(weights, generator)[1], minlength=60) for _ in range(12_000))
    assert np.allclose(counts, counts.mean(), atol=5 * np.sqrt(counts.mean()))


def test_what_cannot_be_selected_is_refused_and_what_exists_is_named():
    weights = small_weights()
    for selection in (Weights("2.weight"), Unit("2.weight"), Unit("2.weight", 2)):
        with pytest.raises(ValueError, match=r"no parameter '2.weight', it has filter, bias"):
            selection.check(weights)
    with pytest.raises(ValueError, match="cannot select 61 weights of filter, which has 60"):
        Weights("filter", 61).check(weights)
    with pytest.raises(ValueError, match="cannot select 13 weights of one unit of filter, which has 12"):
        Unit("filter", 13).check(weights)
    for selection in (Unit("bias"), Unit("bias", 1)):
        with pytest.raises(ValueError, match=r"'bias' has no units to select; .* units: filter"):
            selection.check(weights)
