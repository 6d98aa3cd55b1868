import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from greenai_nb.theory import moving
from greenai_nb.theory.decentralised import parallel
from greenai_nb.theory.space import signs

HALVES = [range(4), range(4, 8)]
LADDER = (5.0, 1.5)
XOR = np.array([0.0, 1.0, 1.0, 0.0])
some_losses = arrays(float, 8, elements=st.floats(0, 3))


@pytest.fixture(scope="module")
def losses():
    rng = np.random.default_rng(0)
    inputs, weights = rng.choice([-1.0, 1.0], (12, 8)), rng.choice([-1.0, 1.0], 8)
    return parallel.perceptron_losses(inputs, np.sign(inputs @ weights + 0.5))


@pytest.fixture(scope="module")
def ring():
    rng = np.random.default_rng(1)
    return parallel.ring_losses(rng.normal(size=8), rng.normal(0, 0.3, 8))


@pytest.fixture(scope="module")
def two_modes():
    wrong = (signs(4).points < 0).sum(1)
    return np.minimum(wrong, 4 - wrong + 0.3)


def workers(losses, inverse_temperature):
    return [parallel.metropolis(losses, inverse_temperature, bits) for bits in HALVES]


def distance(chain, losses, inverse_temperature):
    target = parallel.gibbs(losses, inverse_temperature)
    return moving.total_variation(parallel.stationary(chain), target)


def imbalance(chain, distribution):
    """How far the probability flow from s to t is from that from t to s, at most."""
    flow = distribution[:, None] * chain
    return np.abs(flow - flow.T).max()


def test_losses_are_those_of_one_vector_at_a_time(losses):
    rng = np.random.default_rng(0)
    inputs, weights = rng.choice([-1.0, 1.0], (12, 8)), rng.choice([-1.0, 1.0], 8)
    w = signs(8).points[77]
    margins = np.sign(inputs @ weights + 0.5) * (inputs @ w) / np.sqrt(8)
    assert losses[77] == pytest.approx(np.mean([-np.log(1 / (1 + np.exp(-2 * m))) for m in margins]))
    couplings, fields = rng.normal(size=8), rng.normal(size=8)
    energy = -sum(couplings[j] * w[j] * w[(j + 1) % 8] + fields[j] * w[j] for j in range(8))
    assert parallel.ring_losses(couplings, fields)[77] == pytest.approx(energy)


@given(some_losses, st.floats(0, 10))
def test_chains_are_chains_and_single_flips_are_reversible(losses, inverse_temperature):
    target = parallel.gibbs(losses, inverse_temperature)
    alone = [
        parallel.metropolis(losses, inverse_temperature, range(3)),
        parallel.heat_bath(losses, inverse_temperature, 1),
    ]
    others = [parallel.heat_bath(losses, inverse_temperature, bit) for bit in (0, 2)]
    for chain in [*alone, parallel.on_stale_state(alone[1], *others)]:
        assert chain.min() >= 0
        assert chain.sum(1) == pytest.approx(1, abs=1e-12)
    assert max(imbalance(chain, target) for chain in alone) <= 1e-14


def test_one_bit_flips_as_by_hand():
    chain = parallel.metropolis(np.array([0.0, 2.0]), 0.5, [0])
    assert chain == pytest.approx(np.array([[1 - np.exp(-1), np.exp(-1)], [1, 0]]))
    assert parallel.spectral_gap(chain) == pytest.approx(1 - np.exp(-1))
    assert parallel.heat_bath(np.array([0.0, 2.0]), 0.5, 0)[0, 1] == pytest.approx(1 / (1 + np.e))


def test_two_workers_on_a_stale_state_miss_the_gibbs_distribution(losses):
    first, second = workers(losses, 10)
    stale = parallel.on_stale_state(first, second)
    assert distance(stale, losses, 10) >= 0.02
    assert distance(first @ second, losses, 10) <= 1e-12
    assert imbalance(stale, parallel.gibbs(losses, 10)) > 1e-3
    assert max(imbalance(worker, parallel.gibbs(losses, 10)) for worker in (first, second)) <= 1e-14


def test_workers_without_interaction_may_be_stale():
    left, right = np.random.default_rng(0).random((2, 16))
    apart = np.add.outer(left, right).ravel()
    assert distance(parallel.on_stale_state(*workers(apart, 3)), apart, 3) <= 1e-12


def test_a_simulation_of_the_stale_pair_ends_as_enumerated(losses):
    rng, walkers = np.random.default_rng(2), 20_000
    state = rng.integers(256, size=walkers)
    for _ in range(100):
        written = state.copy()
        for low in (0, 4):
            flipped = state ^ 2 ** rng.integers(low, low + 4, walkers)
            accepted = rng.random(walkers) < np.exp(-10 * (losses[flipped] - losses[state]))
            written ^= np.where(accepted, state ^ flipped, 0)
        state = written
    seen = np.bincount(state, minlength=256)

    def p_value(distribution):
        rare = walkers * distribution < 5
        pooled = [np.append(x[~rare], x[rare].sum()) for x in (seen, walkers * distribution)]
        return stats.chisquare(*pooled).pvalue

    stale = parallel.on_stale_state(*workers(losses, 10))
    assert p_value(parallel.stationary(stale)) > 0.01
    assert p_value(parallel.gibbs(losses, 10)) < 1e-9


def test_xor_never_settles():
    stale = parallel.on_stale_state(*(parallel.metropolis(XOR, 10, [bit]) for bit in (0, 1)))
    assert stale[1, 2] == stale[2, 1] == 1
    assert parallel.stationary(stale)[[1, 2]].sum() >= 0.999
    assert distance(stale, XOR, 10) >= 0.999


def test_colours_are_exact_and_all_at_once_is_not(ring):
    baths = [parallel.heat_bath(ring, 1, bit) for bit in range(8)]
    even, odd = (parallel.on_stale_state(*baths[colour::2]) for colour in (0, 1))
    one_by_one = np.linalg.multi_dot(baths[::2])
    assert even == pytest.approx(one_by_one, abs=1e-14)
    assert distance(even @ odd, ring, 1) <= 1e-12
    assert distance(parallel.on_stale_state(*baths), ring, 1) >= 0.2


def test_exact_swaps_keep_both_distributions_and_mix(two_modes):
    cold, hot = (parallel.gibbs(two_modes, inverse_temperature) for inverse_temperature in LADDER)
    pair = np.kron(cold, hot)
    move, swap = parallel.tempering(two_modes, LADDER), parallel.exact_swaps(two_modes, LADDER)
    assert swap.sum(1) == pytest.approx(1, abs=1e-12)
    assert imbalance(swap, pair) <= 1e-14
    assert np.abs(pair @ move @ swap - pair).max() <= 1e-12
    alone = parallel.metropolis(two_modes, LADDER[0], range(4))
    assert parallel.spectral_gap(move @ swap) >= 20 * parallel.spectral_gap(alone)
    always = parallel.stationary(move @ parallel.certain_swaps(16)).reshape(16, 16)
    assert moving.total_variation(always.sum(1), cold) >= 0.1


def test_the_stationary_distribution_is_what_many_steps_lead_to(losses):
    chain = parallel.on_stale_state(*workers(losses, 3))
    assert parallel.stationary(chain) == pytest.approx(np.linalg.matrix_power(chain, 500)[0], abs=1e-12)


@pytest.mark.parametrize("ladder", [(1.5, 5.0), (2.0, 2.0)])
@pytest.mark.parametrize("build", [parallel.tempering, parallel.exact_swaps])
def test_a_ladder_out_of_order_is_refused(build, ladder):
    with pytest.raises(ValueError, match=f"larger, got {ladder[0]} and {ladder[1]}"):
        build(XOR, ladder)


def test_bad_chains_are_refused():
    flat = np.zeros(4)
    with pytest.raises(ValueError, match=r"2, 4, 8, .* got 3"):
        parallel.metropolis(np.zeros(3), 1, [0])
    with pytest.raises(ValueError, match=r"some of 0 to 1, got \[2\]"):
        parallel.metropolis(flat, 1, [2])
    with pytest.raises(ValueError, match="inverse_temperature"):
        parallel.heat_bath(flat, -1, 0)
    one = parallel.metropolis(flat, 1, [0, 1])
    with pytest.raises(ValueError, match="two workers flip the same bit"):
        parallel.on_stale_state(one, one)
    with pytest.raises(ValueError, match="never reach each other"):
        parallel.stationary(
            parallel.on_stale_state(*(parallel.metropolis(flat, 1, [b]) for b in (0, 1)))
        )
    with pytest.raises(ValueError, match="rows"):
        parallel.stationary(one / 2)
