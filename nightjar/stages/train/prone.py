"""ProNE: a graph's vectors by factorizing a sparse matrix, without walks.

Zhang, Dong, Wang, Tang and Ding 2019, "ProNE: Fast and Scalable Network Representation Learning",
doi:10.24963/ijcai.2019/594, in two steps:

- Factorization (section 3.1): the value of an edge from i to j is log p(j | i) - log n(j), with p
  the weight of the edge as a share of all that leave i, and n the noise distribution, the share of
  the p that j gets, to the power ``ns_exponent``. The matrix has as many values as the graph, and
  its largest singular vectors, times the square roots of the singular values, are a first set of
  vectors. They are found by random projection with power iterations (Halko, Martinsson and Tropp
  2011, arXiv:0909.4061, algorithms 4.4 and 5.1).
- Propagation (section 3.2): a band-pass filter of the graph's Laplacian, as a Chebyshev expansion
  of ``steps`` terms (equations 9 and 10), spreads them over the graph. So near and far structure
  add up. The authors' program orthogonalizes the result again, and so does this one.

A third step is ours: the mean of all is taken away, and each vector is replaced by the mean of its
neighbours' and its own, ``spread`` times. It is worth most where the graph has few edges, and does
harm where it has many (docs/experiments.md), so :func:`times_to_spread` counts neighbours.

Three things differ from that program. Direction is ignored: a cosine has none, and a node that
nothing leaves would have no vector. Weights are divided by their mean, so that the unit that they
are measured in does not matter. Vectors have the length :data:`LENGTH` instead of 1, which suits
a logistic regression with its usual penalty; cosines are the same.

The same bytes for any number of threads: each row of a product is summed by itself, and LAPACK and
BLAS, which do the small rest, run in one thread.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
import scipy.sparse
from numpy.typing import NDArray
from scipy.special import iv
from threadpoolctl import threadpool_limits

from nightjar.config.models import ProneConfig
from nightjar.core.stage import StageContext
from nightjar.errors import VocabularyError
from nightjar.formats.embeddings import blocks, stretches, write_vectors
from nightjar.stages.train.sparse_matrix import Floats, Products, SparseMatrix
from nightjar.store import Artifact, schemas
from nightjar.wording import counted

logger = logging.getLogger(__name__)

LENGTH = 3.0
"""Of every vector."""
_MOST_SPREAD = 10
_LEFT = 0.05
"""What averages may leave of differences that are not smooth."""
_EXTRA = 10
"""Directions beyond those wanted, so that the last ones wanted are found well."""
_POWER_ITERATIONS = 5


@dataclass(frozen=True)
class NodeArtifacts:
    """A graph, and the tokens of its walks, whose vocabulary orders the nodes."""

    graph: Artifact
    tokens: Artifact


@dataclass(frozen=True, eq=False)
class NodeGraph:
    """The nodes that get vectors, in vocabulary order, and their edges.

    ``weights`` is symmetric: row i has the weights of the edges between i and others, both
    directions added, as shares of their mean.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    """How often walks visit each."""
    weights: SparseMatrix
    dropped: dict[str, int]
    """Nodes without a vector, by the key of the manifest's counts."""


def read_graph(artifacts: NodeArtifacts, name: str = "NAME") -> NodeGraph:
    """The graph in the order of the vocabulary of its tokens.

    Nodes without an edge are left out: nothing is known about them. In memory: the edges, 12 bytes
    each, and 40 more while both directions are added. Raises VocabularyError for a graph with fewer
    than two connected nodes; ``name`` is the model's.
    """
    graph, tokens = artifacts.graph, artifacts.tokens
    edges = graph.read(schemas.EDGES)
    source, target, weight = (edges.column(key).to_numpy() for key in edges.column_names)
    nodes = graph.read(schemas.NODES, ["node"]).column("node")
    vocabulary = tokens.read("vocabulary", ["token", "count"])
    node_of = pc.index_in(vocabulary.column("token"), value_set=nodes.combine_chunks())
    node_of = pc.fill_null(node_of, -1).to_numpy().astype(np.int64)
    has_edge = np.zeros(len(nodes), np.bool_)
    has_edge[source] = has_edge[target] = True
    kept = np.flatnonzero((node_of >= 0) & has_edge[node_of])
    row_of = np.full(len(nodes), -1, np.int32)
    row_of[node_of[kept]] = np.arange(len(kept), dtype=np.int32)
    ours, theirs = row_of[source], row_of[target]
    is_kept = (ours >= 0) & (theirs >= 0) & (weight > 0)
    if len(kept) < 2 or not is_kept.any():
        raise VocabularyError(
            f"models.{name}: the graph has {counted(len(kept), 'node')} with edges, and there is "
            f"nothing to factorize; add edges to sources, or lower held_out"
        )
    shape = (len(kept), len(kept))
    one_way = scipy.sparse.csr_array(
        (weight[is_kept].astype(np.float64), (ours[is_kept], theirs[is_kept])), shape
    )
    both = (one_way + one_way.T).tocsr()
    both.sort_indices()
    values = (both.data / both.data.mean()).astype(np.float32)
    return NodeGraph(
        names=tuple(vocabulary.column("token").take(kept).to_pylist()),
        counts=vocabulary.column("count").to_numpy()[kept],
        weights=SparseMatrix(both.indptr.astype(np.int64), both.indices.astype(np.int32), values),
        dropped={
            "nodes_without_edges": int(len(nodes) - has_edge.sum()),
            "nodes_without_tokens": int(has_edge.sum()) - len(kept),
        },
    )


def factorize(
    name: str,
    model: ProneConfig,
    artifacts: NodeArtifacts,
    context: StageContext,
) -> None:
    """Write ``vectors``, counts and report of ``model``, called ``name``; it has its own seed.

    Memory: 8 bytes a stored edge three times, and seven matrices of (nodes, vector_size + 10)
    float32. The result depends on the graph, the order of the vocabulary, the settings and the
    seed, not on the number of threads. Raises VocabularyError for a graph without edges.
    """
    if model.seed is None:
        raise ValueError(f"{name} has no seed")
    progress, staging = context.progress, context.staging
    found = read_graph(artifacts, name)
    weights = found.weights
    times = (
        times_to_spread(len(weights), len(weights.values)) if model.spread is None else model.spread
    )
    n_products = 2 * _POWER_ITERATIONS + 2 + times
    if model.steps > 1:
        n_products += 2 * model.steps - 1
    progress.start(f"factorize {name}", n_products, "products")
    with _in_one_thread(), Products.of(context.n_workers, progress.advance) as products:
        vectors = spectral(proximities(weights, model.ns_exponent), model, products)
        looped = _with_loops(weights)
        if model.steps > 1:
            vectors = propagated(looped, vectors, model, products)
        vectors = of_length(spread_out(looped, vectors, times, products), LENGTH)
    write_vectors(staging, found.names, found.counts, model.vector_size, stretches(vectors))
    staging.counts.update(
        vocabulary_kept=len(found.names), edges=len(weights.values) // 2, **found.dropped
    )
    staging.report.update(
        trainer=model.trainer, seed=model.seed, n_workers=context.n_workers, spread=times
    )
    logger.info(
        "%s: %s, %s factorized",
        name,
        counted(len(found.names), "node"),
        counted(len(weights.values), "value"),
    )


@contextmanager
def _in_one_thread() -> Iterator[None]:
    """LAPACK and BLAS in one thread: where they cut matrices decides how they round."""
    with threadpool_limits(1):
        yield


def proximities(weights: SparseMatrix, ns_exponent: float) -> SparseMatrix:
    """The value of each edge, log p(j | i) - log n(j) (section 3.1, equation 4)."""
    rows, columns = weights.rows, weights.columns
    shares = weights.values / weights.row_sums[rows]
    received = np.bincount(columns, shares, len(weights)) ** ns_exponent
    noise = received / received.sum()
    values = np.log(shares) - np.log(noise[columns])
    return SparseMatrix(weights.offsets, columns, values.astype(np.float32))


def spectral(matrix: SparseMatrix, model: ProneConfig, products: Products) -> Floats:
    """The largest left singular vectors times the roots of their values, (n, vector_size).

    Columns beyond the number of nodes are zero. Rows get length one.
    """
    n_rows = len(matrix)
    size = min(model.vector_size + _EXTRA, n_rows)
    other = matrix.transposed()
    drawn = np.random.default_rng(model.seed).standard_normal((n_rows, size), np.float32)
    base = _orthogonal(products.multiply(matrix, drawn))
    for _ in range(_POWER_ITERATIONS):
        base = _orthogonal(products.multiply(other, base))
        base = _orthogonal(products.multiply(matrix, base))
    seen = products.multiply(other, base)
    squares, turn = _principal(seen, model.vector_size)
    left = base @ (turn * squares**0.25).astype(np.float32)  # roots of the singular values
    return of_length(_padded(left, model.vector_size), 1.0)


def propagated(
    looped: SparseMatrix, vectors: Floats, model: ProneConfig, products: Products
) -> Floats:
    """The filtered vectors (section 3.2), orthogonalized, of length one, (n, vector_size).

    ``looped`` is the graph with a loop at each node, and D the same with rows scaled to sum 1. With
    M = (1 - mu) I - D, the terms are Bessel functions of ``theta`` times Chebyshev polynomials of
    M, as in the authors' program.
    """
    scaled = _averaging(looped)
    keep = np.float32(1 - model.mu)

    def step(of: Floats) -> Floats:
        spread = products.multiply(scaled, of)
        np.subtract(keep * of, spread, out=spread)
        return spread

    before, now = vectors, np.float32(0.5) * step(step(vectors)) - vectors
    total = _bessel(0, model.theta) * before - 2 * _bessel(1, model.theta) * now
    for term in range(2, model.steps):
        after = step(step(now))
        after -= 2 * now
        after -= before
        total += (2 if term % 2 == 0 else -2) * _bessel(term, model.theta) * after
        before, now = now, after
    filtered = products.multiply(looped, vectors - total)
    squares, turn = _principal(filtered, model.vector_size)
    # X V is U S, and U is wanted times the root of S.
    turned = filtered @ (turn * _inverse(squares**0.25)).astype(np.float32)
    return of_length(_padded(turned, model.vector_size), 1.0)


def spread_out(looped: SparseMatrix, vectors: Floats, times: int, products: Products) -> Floats:
    """Each vector replaced by the weighted mean of its neighbours' and its own, ``times`` times.

    What all nodes share would be all that is left of it in the end, so it is taken away: the mean
    by the weights of the nodes' edges, each time, and the scale.
    """
    if not times:
        return vectors
    scaled, sums = _averaging(looped), looped.row_sums
    shares = (sums / sums.sum()).astype(np.float32)
    for _ in range(times):
        vectors = vectors - shares @ vectors
        largest = np.abs(vectors).max()
        if largest > 0:
            vectors /= largest
        vectors = products.multiply(scaled, vectors)
    return vectors


def times_to_spread(n_nodes: int, n_values: int) -> int:
    """How often to average a graph whose nodes have d = ``n_values`` / ``n_nodes`` neighbours.

    In a random graph of d neighbours each average leaves 2 / sqrt(d) of what is not smooth (Alon
    and Boppana: Nilli 1991, doi:10.1016/0012-365X(91)90112-F). More of them than leave a twentieth
    leave nothing else: the vectors fall into few dimensions. A graph of at most four neighbours has
    no such bound, and gets ten.
    """
    left = 2 / np.sqrt(n_values / n_nodes)
    if left >= 1:
        return _MOST_SPREAD
    return int(min(max(round(np.log(_LEFT) / np.log(left)), 1), _MOST_SPREAD))


def _averaging(looped: SparseMatrix) -> SparseMatrix:
    """Rows scaled to sum 1."""
    values = looped.values / looped.row_sums[looped.rows]
    return SparseMatrix(looped.offsets, looped.columns, values.astype(np.float32))


def of_length(vectors: Floats, length: float) -> Floats:
    """Rows scaled to ``length``; a row of zeros stays."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    scale = np.divide(length, norms, out=np.zeros_like(norms), where=norms > 0)
    scaled: Floats = vectors * scale[:, np.newaxis].astype(np.float32)
    return scaled


def _bessel(order: int, theta: float) -> np.float32:
    return np.float32(iv(order, theta))


def _with_loops(weights: SparseMatrix) -> SparseMatrix:
    """The graph with an edge of weight one from each node to itself."""
    n_rows = len(weights)
    matrix = scipy.sparse.csr_array(
        (weights.values, weights.columns, weights.offsets), (n_rows, n_rows)
    )
    looped = (matrix + scipy.sparse.eye_array(n_rows, dtype=np.float32, format="csr")).tocsr()
    looped.sort_indices()
    return SparseMatrix(
        looped.indptr.astype(np.int64), looped.indices.astype(np.int32), looped.data
    )


def _orthogonal(matrix: Floats) -> Floats:
    """Orthogonal columns of length one that span the same space; zero where it has fewer.

    By X'X in double precision: a tenth of the time of a QR decomposition.
    """
    squares, turn = _principal(matrix, matrix.shape[1])
    return matrix @ (turn * _inverse(np.sqrt(squares))).astype(np.float32)


def _inverse(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """One over each of ``values``, zero for zero."""
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


def _principal(matrix: Floats, most: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The largest eigenvalues of X'X and their vectors as columns, at most ``most``.

    A vector's sign is arbitrary, so its largest value is made positive. Values that are zero but
    for rounding are zero.
    """
    moments = np.zeros((matrix.shape[1], matrix.shape[1]))
    for rows in blocks(len(matrix)):
        part = matrix[rows].astype(np.float64)
        moments += part.T @ part
    values, vectors = np.linalg.eigh(moments)
    first = slice(None, -most - 1, -1)
    values, vectors = values[first], vectors[:, first]
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(len(values))])
    floor = max(float(values[0]), 0.0) * len(moments) * float(np.finfo(np.float32).eps) ** 2
    return np.where(values > floor, values, 0.0), vectors


def _padded(matrix: Floats, size: int) -> Floats:
    missing = size - matrix.shape[1]
    return np.pad(matrix, ((0, 0), (0, missing))) if missing > 0 else matrix
