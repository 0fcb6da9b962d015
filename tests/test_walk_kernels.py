"""Transitions of walks beside the exact probabilities of node2vec's paper, by chi-square."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from graph_support import Edge, batches_of, graph_config, make_graph
from numpy.typing import NDArray
from scipy.stats import chi2

from nightjar.config.corpora import WalksConfig
from nightjar.kernels.counted_draws import place_in_order
from nightjar.kernels.graph_rows import are_neighbors, may_be_neighbors
from nightjar.stages.graph.graph_loading import WalkableGraph

# Two triangles that share an edge, a tail, a hub, and something not connected to them.
_PAIRS = ["ab", "bc", "ca", "bd", "cd", "de", "ef", "cf", "ag", "ah", "ai", "xy", "yz"]
_Rows = dict[str, dict[str, float]]


def _edges(is_weighted: bool, is_directed: bool, has_loops: bool) -> list[Edge]:
    pairs = [*_PAIRS, "ba", "fa", "ed", "gb", "hc"] if is_directed else list(_PAIRS)
    pairs += ["aa", "dd"] if has_loops else []
    weights = [0.05, 1.0, 3.0, 0.5, 20.0, 2.0, 1.5]
    return [
        (a, b, weights[place % 7]) if is_weighted else (a, b) for place, (a, b) in enumerate(pairs)
    ]


def _rows(edges: list[Edge], is_directed: bool) -> _Rows:
    rows: _Rows = defaultdict(dict)
    for source, target, *weight in edges:
        rows[source][target] = weight[0] if weight else 1.0
        if not is_directed:
            rows[target][source] = rows[source][target]
    return rows


def _probabilities(rows: _Rows, before: str, node: str, p: float, q: float) -> dict[str, float]:
    """Section 3.2.2 of the paper; "" is before the start."""
    worth = {}
    for target, weight in rows[node].items():
        if before == "" or (p == q == 1):
            bias = 1.0
        elif target == before:
            bias = 1 / p
        else:
            bias = 1.0 if target in rows[before] else 1 / q
        worth[target] = weight * bias
    total = sum(worth.values())
    return {target: value / total for target, value in worth.items()}


def _load(root: Path, edges: list[Edge], is_directed: bool, **walks: float) -> WalkableGraph:
    config = graph_config(
        is_weighted=len(edges[0]) == 3, directed=is_directed, self_loops="keep", walks=walks
    )
    return WalkableGraph.load(make_graph(root, config, batches_of(edges)), config.walks)


def _ids(edges: list[Edge]) -> list[str]:
    return sorted({end for edge in edges for end in edge[:2]})


def _transitions(walks: NDArray[np.int32], ids: list[str]) -> Iterator[tuple[str, str, str]]:
    names = np.array([*ids, ""])
    padded = np.concatenate([np.full((len(walks), 1), -1, np.int32), walks], axis=1)
    for before, node, after in zip(
        padded[:, :-2].ravel(), padded[:, 1:-1].ravel(), padded[:, 2:].ravel(), strict=True
    ):
        if after >= 0:
            yield str(names[before]), str(names[node]), str(names[after])


def _p_value(counts: dict[tuple[str, str], Counter[str]], rows: _Rows, p: float, q: float) -> float:
    """Pearson's test of all transitions together; rare ones of a state are put together."""
    statistic, freedom = 0.0, 0
    for (before, node), found in counts.items():
        exact = _probabilities(rows, before, node, p, q)
        assert set(found) <= set(exact)
        n = sum(found.values())
        cells = [(found[target], n * share) for target, share in exact.items() if n * share >= 5]
        rest = n - sum(cell[0] for cell in cells), n - sum(cell[1] for cell in cells)
        if rest[1] >= 5:
            cells.append(rest)
        elif len(cells) < len(exact):  # too few to test: nearly impossible ones
            assert rest[0] < 25
        statistic += sum((seen - wanted) ** 2 / wanted for seen, wanted in cells)
        freedom += max(len(cells) - 1, 0)
    return float(chi2.sf(statistic, freedom))


def _counted(
    root: Path, edges: list[Edge], is_directed: bool, p: float, q: float, has_before: bool = False
) -> dict[tuple[str, str], Counter[str]]:
    """How often each node followed a node and, for walks of second order, the one before it."""
    graph = _load(root, edges, is_directed, p=p, q=q, length=8, per_node=300, seed=5)
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    is_second_order = has_before or p != 1 or q != 1
    for before, node, after in _transitions(graph.walk(0, graph.n_walks), _ids(edges)):
        counts[before if is_second_order else "", node][after] += 1
    return counts


@pytest.mark.parametrize(
    ("is_weighted", "is_directed", "has_loops", "p", "q"),
    [
        (False, False, False, 1, 1),
        (True, False, False, 1, 1),
        (True, True, True, 1, 1),
        (False, False, False, 0.25, 4),
        (False, False, False, 4, 0.25),
        (False, False, True, 0.5, 2),
        (False, True, False, 0.1, 0.5),
        (False, True, True, 2, 8),
        (True, False, False, 0.25, 4),
        (True, False, True, 3, 0.2),
        (True, True, False, 0.05, 1),
        (False, False, False, 1e6, 1e6),
        (True, False, False, 1e-6, 1),
        (True, True, True, 1e6, 1e-6),
    ],
)
def test_transitions_are_as_probable_as_in_the_paper(
    tmp_path: Path, is_weighted: bool, is_directed: bool, has_loops: bool, p: float, q: float
) -> None:
    edges = _edges(is_weighted, is_directed, has_loops)
    counts = _counted(tmp_path, edges, is_directed, p, q)
    assert _p_value(counts, _rows(edges, is_directed), p, q) > 1e-3


@pytest.mark.parametrize(
    ("is_weighted", "p", "q", "other_p", "other_q"),
    [(False, 1, 1, 1.5, 1), (False, 0.5, 2, 0.5, 1.5), (True, 2, 0.5, 1.5, 0.5)],
)
def test_the_comparison_notices_other_probabilities(
    tmp_path: Path, is_weighted: bool, p: float, q: float, other_p: float, other_q: float
) -> None:
    edges = _edges(is_weighted, False, False)
    rows = _rows(edges, False)
    counts = _counted(tmp_path, edges, False, p, q, has_before=True)
    assert _p_value(counts, rows, p, q) > 1e-3
    assert _p_value(counts, rows, other_p, other_q) < 1e-6
    rows["c"]["d"] *= 1.5
    assert _p_value(counts, rows, p, q) < 1e-6


def test_walks_end_where_no_edge_leaves(tmp_path: Path) -> None:
    edges: list[Edge] = [("a", "b"), ("b", "c"), ("d", "b")]
    for p in (1, 2):
        graph = _load(tmp_path / str(p), edges, is_directed=True, p=p, length=6, per_node=2)
        walks = graph.walk(0, graph.n_walks)
        rest = [-1] * 6
        expected = [[0, 1, 2], [1, 2], [2], [3, 1, 2]]
        assert sorted(walks.tolist()) == sorted(2 * [(walk + rest)[:6] for walk in expected])


@pytest.mark.parametrize(("p", "q"), [(1, 1), (0.5, 2)])
def test_walks_do_not_depend_on_each_other(tmp_path: Path, p: float, q: float) -> None:
    graph = _load(tmp_path, _edges(True, False, False), False, p=p, q=q, length=9, per_node=40)
    whole = graph.walk(0, graph.n_walks)
    for size in (1, 7, 130):
        pieces = [
            graph.walk(first, min(size, graph.n_walks - first))
            for first in range(0, graph.n_walks, size)
        ]
        assert np.array_equal(np.concatenate(pieces), whole)
    rounds = whole[:, 0].reshape(40, graph.n_nodes)
    assert (np.sort(rounds, axis=1) == np.arange(graph.n_nodes)).all()
    assert len({tuple(starts) for starts in rounds.tolist()}) == 40


def test_walks_elsewhere_stay_when_the_graph_grows(tmp_path: Path) -> None:
    edges = _edges(False, False, False)
    more = [*edges, ("0 first by id", "x")]

    def walks(name: str, edges: list[Edge]) -> dict[tuple[str, int], list[str]]:
        graph = _load(tmp_path / name, edges, False, length=9, per_node=3, p=2)
        ids = _ids(edges)
        found = graph.walk(0, graph.n_walks).tolist()
        named = [[ids[node] for node in walk] for walk in found]
        return {(walk[0], place // len(ids)): walk for place, walk in enumerate(named)}

    before, after = walks("before", edges), walks("after", more)
    untouched = {key: walk for key, walk in before.items() if key[0] not in "xyz"}
    assert len(untouched) == 27
    assert untouched.items() <= after.items()


@pytest.mark.parametrize("is_directed", [False, True])
def test_neighbors_beside_a_set(tmp_path: Path, is_directed: bool) -> None:
    draw = np.random.default_rng(4)
    pairs = {(int(a), int(b)) for a, b in draw.zipf(1.6, (400, 2)) if max(a, b) < 80}
    edges: list[Edge] = [(f"{a:03}", f"{b:03}") for a, b in sorted(pairs)]
    graph = _load(tmp_path, edges, is_directed, q=2)
    ids = _ids(edges)
    expected = set(edges) if is_directed else set(edges) | {(b, a) for a, b in edges}
    n_in_vain = 0
    for source, before in enumerate(ids):
        for target, after in enumerate(ids):
            is_edge = are_neighbors(*graph.rows, not is_directed, source, target)
            assert is_edge == ((before, after) in expected)
            may_be = may_be_neighbors(graph.neighborhood.words, not is_directed, source, target)
            assert may_be or not is_edge
            n_in_vain += may_be and not is_edge
    assert n_in_vain < 0.05 * len(ids) ** 2


@pytest.mark.parametrize("size", [1, 2, 3, 64, 65, 1000])
def test_order_is_a_permutation(size: int) -> None:
    orders = [
        [int(place_in_order(np.uint64(at), np.uint64(size), np.uint64(key))) for at in range(size)]
        for key in (1, 2)
    ]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(size))
    if size >= 64:
        assert orders[0] != orders[1]
        assert sum(a == b for a, b in zip(*orders, strict=True)) < 8


def test_settings_have_bounds() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        WalksConfig(p=0)
