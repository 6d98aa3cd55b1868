import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenai_nb.theory.decentralised import gossip

GRAPHS = {"ring": gossip.ring(16), "grid": gossip.grid(4, 4), "complete": gossip.complete(16)}


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_the_distance_shrinks_at_the_rate_of_the_eigenvalue(graph):
    weights = gossip.metropolis_weights(graph)
    far = gossip.distances(weights, np.random.default_rng(0).normal(size=16), 400)
    by_size = np.sort(np.abs(np.linalg.eigvalsh(weights)))
    assert gossip.second_eigenvalue(weights) == pytest.approx(by_size[-2], abs=1e-12)
    assert gossip.measured_rate(far) == pytest.approx(by_size[-2], abs=1e-6)


@pytest.mark.parametrize("nodes", [3, 5, 8, 16])
def test_the_ring_has_a_closed_form(nodes):
    eigenvalues = (1 + 2 * np.cos(2 * np.pi * np.arange(1, nodes) / nodes)) / 3
    weights = gossip.metropolis_weights(gossip.ring(nodes))
    assert gossip.second_eigenvalue(weights) == pytest.approx(np.abs(eigenvalues).max(), abs=1e-12)


@given(st.integers(2, 9), st.integers(0, 1_000))
def test_every_round_keeps_the_mean_and_contracts(nodes, seed):
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((nodes, nodes)) < 0.3, 1) | np.eye(nodes, k=1, dtype=bool)
    weights, values = gossip.metropolis_weights(upper | upper.T), rng.normal(size=nodes)
    assert weights == pytest.approx(weights.T)
    assert weights.sum(1) == pytest.approx(1, abs=1e-12)
    assert weights.min() >= 0
    assert (weights @ values).mean() == pytest.approx(values.mean())
    far = gossip.distances(weights, values, 10)
    assert np.all(far[1:] <= gossip.second_eigenvalue(weights) * far[:-1] + 1e-12)


def test_graphs_have_their_edges():
    assert gossip.ring(5).sum(1).tolist() == [2] * 5
    assert gossip.ring(2).sum(1).tolist() == [1, 1]
    assert gossip.grid(2, 3).sum(1).tolist() == [2, 3, 2, 2, 3, 2]
    assert gossip.grid(2, 3)[0].nonzero()[0].tolist() == [1, 3]
    assert gossip.complete(4).sum(1).tolist() == [3] * 4


def test_the_rate_of_a_known_sequence():
    assert gossip.measured_rate(3 * 0.7 ** np.arange(200)) == pytest.approx(0.7)
    assert gossip.measured_rate(np.array([1.0, 0.25])) == pytest.approx(0.25)


def test_a_graph_in_two_parts_is_refused():
    with pytest.raises(ValueError, match=r"no path leads to \[0, 2\] from \[1, 3\]\. Add an edge"):
        gossip.metropolis_weights(
            np.equal.outer(np.arange(4) % 2, np.arange(4) % 2) & ~np.eye(4, dtype=bool)
        )


def test_what_is_no_graph_is_refused():
    one_way = np.eye(3, k=1, dtype=bool)
    for graph in (one_way, np.ones((3, 3), dtype=bool)):
        with pytest.raises(ValueError, match="symmetric"):
            gossip.metropolis_weights(graph)
    with pytest.raises(ValueError, match="values that differ"):
        gossip.measured_rate(np.zeros(3))
    with pytest.raises(ValueError, match="rounds"):
        gossip.distances(gossip.metropolis_weights(gossip.ring(3)), np.ones(3), 0)
