"""Workers without a server: each averages with its neighbours in a graph until all agree.

With degrees d, Metropolis weights are symmetric and their rows sum to one, so the mean never changes:

    W_ij = 1 / (1 + max(d_i, d_j))  for neighbours,      W_ii = 1 - sum of the others.

Each round maps x to W x, and the distance to the mean shrinks at least by the second largest modulus of
an eigenvalue of W; in the long run it shrinks exactly at that rate.

Source: Xiao and Boyd, *Fast linear iterations for distributed averaging* (2004).
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray as Array
from scipy.sparse.csgraph import connected_components

from greenai_nb.checks import finite, whole

AGREED = 1e-9  # of the first distance; below it rounding would blur the rate
LAST_SHARE = 4  # the rate is read over the last quarter of the rounds

Graph = Bool[Array, "nodes nodes"]
Weights = Float[Array, "nodes nodes"]


def ring(nodes: int) -> Graph:
    """Each node has two neighbours, and the last one is beside the first."""
    whole(nodes=nodes)
    apart = np.abs(np.subtract.outer(np.arange(nodes), np.arange(nodes)))
    return (apart == 1) | ((apart == nodes - 1) & (nodes > 1))


def grid(rows: int, columns: int) -> Graph:
    """Nodes in rows and columns, each beside up to four others."""
    whole(rows=rows, columns=columns)
    down, across = (np.eye(size, k=1) + np.eye(size, k=-1) for size in (rows, columns))
    return (np.kron(down, np.eye(columns)) + np.kron(np.eye(rows), across)) > 0


def complete(nodes: int) -> Graph:
    """Each node is a neighbour of every other."""
    whole(nodes=nodes)
    return ~np.eye(nodes, dtype=bool)


def metropolis_weights(graph: Graph) -> Weights:
    """The weights with which each node averages itself and its neighbours.

    Raises ``ValueError`` unless the graph is symmetric, without loops, and connected.
    """
    if graph.ndim != 2 or not np.array_equal(graph, graph.T) or graph.diagonal().any():
        raise ValueError("the graph must be a symmetric matrix with an empty diagonal: list edges twice")
    count, island = connected_components(graph)
    if count > 1:
        islands = " from ".join(str(np.flatnonzero(island == n).tolist()) for n in range(count))
        raise ValueError(f"the nodes never agree: no path leads to {islands}. Add an edge between them")
    degree = graph.sum(1)
    weights = graph / (1 + np.maximum.outer(degree, degree))
    return weights + np.diag(1 - weights.sum(1))


def second_eigenvalue(weights: Weights) -> float:
    """The second largest modulus of an eigenvalue: the share of the distance that a round leaves."""
    return float(np.abs(np.linalg.eigvalsh(weights - 1 / len(weights))).max())


def distances(weights: Weights, values: Float[Array, " nodes"], rounds: int) -> Float[Array, " times"]:
    """Euclidean distance of the nodes' values from their mean, before the first round and after each."""
    whole(rounds=rounds)
    values, mean, far = finite("values", values), np.mean(values), []
    for _ in range(rounds + 1):
        far.append(float(np.linalg.norm(values - mean)))
        values = weights @ values
    return np.array(far)


def measured_rate(far: Float[Array, " times"]) -> float:
    """The factor by which a round shrinks the distance, read off the last rounds before agreement.

    It is zero where all agree after one round. Raises ``ValueError`` where they agree at the start.
    """
    if len(far) < 2 or not far[0] > 0:
        raise ValueError("at least one round is needed, and values that differ at its start")
    agreed = np.flatnonzero(far <= AGREED * far[0])
    last = int(agreed[0]) - 1 if len(agreed) else len(far) - 1
    span = max(1, last // LAST_SHARE)
    return float((far[last] / far[last - span]) ** (1 / span)) if last else 0.0
