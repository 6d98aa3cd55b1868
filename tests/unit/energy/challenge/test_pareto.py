"""The Pareto front against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from greenai_nb.energy.challenge.pareto import on_front


def dominated(cost, value, i):
    return any(
        cost[j] <= cost[i] and value[j] >= value[i] and (cost[j] < cost[i] or value[j] > value[i])
        for j in range(len(cost))
    )


@given(some.lists(some.tuples(some.integers(0, 5), some.integers(0, 5)), max_size=12))
def test_the_front_is_what_nobody_dominates(choices):
    cost, value = np.array(choices, float).reshape(-1, 2).T
    expected = [not dominated(cost, value, i) for i in range(len(cost))]
    assert on_front(cost, value).tolist() == expected


def test_equal_choices_are_both_on_it():
    assert on_front([1, 1, 2], [3, 3, 3]).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("cost", "value"), [([1, 2], [1]), ([[1]], [[1]]), ([np.nan], [1]), ([1], [np.nan])]
)
def test_what_is_no_choice_is_refused(cost, value):
    with pytest.raises(ValueError, match="cost"):
        on_front(cost, value)
