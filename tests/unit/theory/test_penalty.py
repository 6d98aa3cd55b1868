import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenai_nb.theory.divergence import translation_divergence
from greenai_nb.theory.penalty import block_penalty, coordinate_price, penalty

scales = st.floats(1e-6, 1e3)
blocks = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=20)


@given(blocks, scales)
def test_the_penalty_is_the_formula_of_the_slide(block, scale):
    active = [abs(w) for w in block if w != 0]
    known = 4 * len(active) * math.log1p(sum(active) / (scale * len(active))) if active else 0
    assert penalty([block], scale) == pytest.approx(known)
    assert penalty([block, block], scale, 7) == pytest.approx(2 * known + 7 * math.log(2))


@given(blocks, scales)
def test_pooling_a_block_is_never_cheaper_than_its_weights(block, scale):
    assert penalty([block], scale) >= coordinate_price(np.array(block), scale).sum() * (1 - 1e-9)


@given(blocks, scales, st.floats(1.01, 100))
def test_the_penalty_falls_as_the_scale_grows(block, scale, factor):
    assert block_penalty(block, scale * factor) <= block_penalty(block, scale)
    if any(abs(w) > 1e-6 * scale for w in block):
        assert block_penalty(block, scale * factor) < block_penalty(block, scale)


@given(blocks, scales, st.randoms(use_true_random=False))
def test_the_order_of_weights_and_their_signs_do_not_matter(block, scale, random):
    shuffled = [w * random.choice([-1, 1]) for w in random.sample(block, len(block))]
    assert block_penalty(shuffled, scale) == pytest.approx(block_penalty(block, scale))


@given(blocks, scales, st.integers(1, 50))
def test_zero_coordinates_are_free(block, scale, zeros):
    assert block_penalty(block + [0.0] * zeros, scale) == pytest.approx(block_penalty(block, scale))


def test_a_block_of_zeros_costs_nothing_and_equal_weights_pool_without_loss():
    assert block_penalty(np.zeros(3), 1e-9) == 0
    assert block_penalty([2.0, -2.0, 0.0], 0.5) == pytest.approx(coordinate_price([2.0, 2.0], 0.5).sum())


def test_three_thousand_vectors_cost_no_less_than_their_divergence(slack):
    """Sizes over ten decades; also the quantiles that the theory knows."""
    rng = np.random.default_rng(0)
    shares, jensen = [], []
    for _ in range(3000):
        length = rng.integers(1, 400)
        decades = np.sort(rng.uniform(-5, 5, 2))
        vector = rng.choice([-1, 1], length) * 10 ** rng.uniform(*decades, length)
        vector *= rng.random(length) < rng.uniform(0.05, 1)
        if vector.any():
            price = penalty([vector], 1.0)
            shares.append(translation_divergence(vector).sum() / price)
            jensen.append(coordinate_price(vector, 1.0).sum() / price)
    assert max(shares) <= 1 and max(jensen) <= 1 + 1e-12
    assert min(shares) < 0.1 and max(shares) > 0.9
    slack("divergence of a vector below its penalty", "3,000 vectors", max(shares), 1.0, 1 - max(shares))


def test_bad_arguments_are_named_with_their_range():
    with pytest.raises(ValueError, match=r"scale .* got -1.0"):
        penalty([[1.0]], -1.0)
    with pytest.raises(ValueError, match="block is empty"):
        penalty([[]], 1.0)
    with pytest.raises(ValueError, match=r"block .*nan"):
        penalty([[1.0, math.nan]], 1.0)
    with pytest.raises(ValueError, match=r"block .*-inf"):
        penalty([np.array([1.0, -math.inf], np.float32)], 1.0)
    with pytest.raises(ValueError, match=r"binary_weights .* got -1"):
        penalty([], 1.0, -1)
