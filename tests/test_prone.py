"""ProNE against the paper's formulas with dense matrices, and what it makes of graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edges_support import Edge, publish_graph, publish_visits
from numpy.typing import NDArray
from scipy.special import iv
from stage_support import context_of

from nightjar.config import ProneConfig
from nightjar.errors import VocabularyError
from nightjar.formats.embeddings import Embeddings
from nightjar.stages.train.prone import LENGTH, NodeArtifacts, factorize, times_to_spread
from nightjar.store import Artifact, Identity, Staging, Store, fingerprint, publish

Dense = NDArray[np.float64]


def random_edges(n_nodes: int = 14, n_edges: int = 30, seed: int = 1) -> list[Edge]:
    generator = np.random.default_rng(seed)
    pairs = [(a, b) for a in range(n_nodes) for b in range(a)]
    chosen = generator.permutation(len(pairs))[:n_edges]
    weights = generator.integers(1, 5, n_edges)
    return [
        (f"n{pairs[row][0]:02}", f"n{pairs[row][1]:02}", float(weight))
        for row, weight in zip(chosen.tolist(), weights.tolist(), strict=True)
    ]


def nodes_of(edges: list[Edge]) -> list[str]:
    """In an order that is not that of the graph's table."""
    return sorted({end for edge in edges for end in edge[:2]}, key=lambda name: name[::-1])


def prone(
    root: Path, graph: Artifact, nodes: list[str], n_workers: int = 1, **config: Any
) -> Artifact:
    model = ProneConfig(**{"trainer": "prone", "vector_size": 4, "seed": 1} | config)
    tokens = publish_visits(root, nodes)
    versions = {"graph": graph.ref.version, "tokens": tokens.ref.version}
    identity = Identity(
        "embeddings", "m", {"of": fingerprint(model.model_dump()), "n": n_workers}, versions
    )

    def write(staging: Staging) -> None:
        context = context_of(staging, identity, n_workers=n_workers)
        factorize("m", model, NodeArtifacts(graph, tokens), context)

    return Store(root).open(publish(root, identity, write))


def dense_prone(edges: list[Edge], nodes: list[str], model: ProneConfig) -> Dense:
    """Sections 3.1 and 3.2 as in the authors' program, with numpy, and the averages."""
    n_nodes, size = len(nodes), model.vector_size
    weights = np.zeros((n_nodes, n_nodes))
    for edge in edges:
        a, b = nodes.index(edge[0]), nodes.index(edge[1])
        weights[a, b] += edge[2]  # type: ignore[misc]
        weights[b, a] += edge[2]  # type: ignore[misc]
    weights /= weights[weights > 0].mean()
    shares = weights / weights.sum(axis=1, keepdims=True)
    noise = shares.sum(axis=0) ** model.ns_exponent
    noise /= noise.sum()
    with np.errstate(divide="ignore"):
        matrix = np.where(weights > 0, np.log(shares) - np.log(noise), 0.0)
    left, values, _ = np.linalg.svd(matrix)
    vectors = units(left[:, :size] * np.sqrt(values[:size]))
    looped = weights + np.eye(n_nodes)
    averaging = looped / looped.sum(axis=1, keepdims=True)
    m = (1 - model.mu) * np.eye(n_nodes) - averaging
    terms = [vectors, 0.5 * m @ m @ vectors - vectors]
    while len(terms) < model.steps:
        terms.append(m @ m @ terms[-1] - 2 * terms[-1] - terms[-2])
    bessel = [iv(place, model.theta) * (1 if place == 0 else 2) for place in range(model.steps)]
    signs = [(-1) ** place for place in range(model.steps)]
    total = sum(s * b * term for s, b, term in zip(signs, bessel, terms, strict=True))
    left, values, _ = np.linalg.svd(looped @ (vectors - total), full_matrices=False)
    vectors = units(left * np.sqrt(values))
    still = looped.sum(axis=1) / looped.sum()
    for _ in range(model.spread):
        vectors = averaging @ (vectors - still @ vectors)
    return units(vectors)


def units(matrix: Dense) -> Dense:
    found: Dense = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return found


@pytest.mark.parametrize("spread", [0, 3])
def test_cosines_are_those_of_the_paper(spread: int, tmp_path: Path) -> None:
    edges = random_edges()
    nodes = nodes_of(edges)
    found = Embeddings.from_artifact(
        prone(tmp_path, publish_graph(tmp_path, edges), nodes, spread=spread)
    )
    model = ProneConfig(trainer="prone", vector_size=4, spread=spread)
    expected = dense_prone(edges, nodes, model)
    assert list(found.tokens) == nodes
    assert found.counts.tolist() == list(range(len(nodes), 0, -1))
    ours = units(found.matrix.astype(np.float64))
    np.testing.assert_allclose(ours @ ours.T, expected @ expected.T, atol=2e-4)
    np.testing.assert_allclose(np.linalg.norm(found.matrix, axis=1), LENGTH, rtol=1e-5)


@pytest.mark.parametrize(
    ("n_nodes", "n_values", "times"),
    [
        (2_708, 10_556, 10),
        (3_860, 75_690, 4),
        (4_777, 184_590, 3),
        (10_312, 667_966, 2),
        (9, 72, 9),
    ],
)
def test_many_neighbours_are_averaged_less_often(n_nodes: int, n_values: int, times: int) -> None:
    """Cora, protein interactions, words of Wikipedia, BlogCatalog, and nine nodes all connected."""
    assert times_to_spread(n_nodes, n_values) == times


def test_the_report_says_how_often_vectors_were_averaged(tmp_path: Path) -> None:
    edges = random_edges()
    graph, nodes = publish_graph(tmp_path, edges), nodes_of(edges)
    assert prone(tmp_path, graph, nodes).manifest.report["spread"] == times_to_spread(
        len(nodes), 2 * len({frozenset(edge[:2]) for edge in edges})
    )
    assert prone(tmp_path, graph, nodes, spread=3).manifest.report["spread"] == 3


def test_threads_do_not_change_a_byte(tmp_path: Path) -> None:
    edges = random_edges(60, 300)
    graph, nodes = publish_graph(tmp_path, edges), nodes_of(edges)
    one, three = (prone(tmp_path, graph, nodes, n_workers=n) for n in (1, 3))
    assert one.manifest.files[0].sha256 == three.manifest.files[0].sha256


def test_the_unit_of_weights_and_the_direction_do_not_matter(tmp_path: Path) -> None:
    edges = random_edges()
    nodes = nodes_of(edges)
    heavier = [(a, b, 1024 * weight) for a, b, weight in edges]  # type: ignore[misc]
    graphs = [
        publish_graph(tmp_path, edges),
        publish_graph(tmp_path, heavier),
        publish_graph(tmp_path, [(b, a, w) for a, b, w in edges], directed=True),  # type: ignore[misc]
    ]
    found = [Embeddings.from_artifact(prone(tmp_path, graph, nodes)).matrix for graph in graphs]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_communities_are_near_each_other(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    pairs = [(a, b) for a in range(40) for b in range(a)]
    edges: list[Edge] = [
        (f"n{a:02}", f"n{b:02}")
        for a, b in pairs
        if generator.random() < (0.4 if a % 2 == b % 2 else 0.05)
    ]
    nodes = nodes_of(edges)
    found = prone(tmp_path, publish_graph(tmp_path, edges), nodes)
    ours = units(Embeddings.from_artifact(found).matrix.astype(np.float64))
    is_same = np.equal.outer(*[np.array([int(node[1:]) % 2 for node in nodes])] * 2)
    cosines = ours @ ours.T
    assert cosines[is_same].mean() > 0.5
    assert cosines[~is_same].mean() < 0.0


def test_nodes_without_edges_have_no_vector_and_are_counted(tmp_path: Path) -> None:
    edges = random_edges()
    nodes = nodes_of(edges)
    graph = publish_graph(tmp_path, edges, alone=["alone", "lost"])
    found = prone(tmp_path, graph, [nodes[0], "alone", *nodes[1:-1]])
    assert found.manifest.counts["nodes_without_edges"] == 2
    assert found.manifest.counts["nodes_without_tokens"] == 1
    assert list(Embeddings.from_artifact(found).tokens) == nodes[:-1]


def test_small_graphs_fill_up_with_zeros(tmp_path: Path) -> None:
    edges: list[Edge] = [("a", "b"), ("b", "c")]
    found = prone(tmp_path, publish_graph(tmp_path, edges), ["b", "a", "c"], vector_size=8)
    matrix = Embeddings.from_artifact(found).matrix
    assert matrix.shape == (3, 8)
    assert not matrix[:, 3:].any()
    assert np.isfinite(matrix).all()


def test_a_graph_without_edges_is_refused(tmp_path: Path) -> None:
    graph = publish_graph(tmp_path, [], alone=["a", "b"])
    with pytest.raises(VocabularyError, match=r"models\.m: the graph has 0 nodes with edges"):
        prone(tmp_path, graph, ["a", "b"])
