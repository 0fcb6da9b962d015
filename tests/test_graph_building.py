"""The graph artifact beside what a dictionary of edges says."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from graph_support import Edge, batches_of, graph_config, make_graph

from nightjar.errors import SourceError
from nightjar.stages.graph import graph_building
from nightjar.store import Artifact


def _edges(artifact: Artifact) -> dict[tuple[str, str], float]:
    """Every row of ``edges`` by the ids of its nodes, after checking the order of the rows."""
    ids = artifact.read("nodes").column("node").to_pylist()
    rows = artifact.read("edges").to_pylist()
    order = [(row["source"], row["target"]) for row in rows]
    assert order == sorted(set(order))
    return {(ids[row["source"]], ids[row["target"]]): row["weight"] for row in rows}


def _expected(edges: list[Edge], is_directed: bool, how: str, keeps_loops: bool) -> dict[Any, Any]:
    """The same by brute force; weights of an edge given again are added or the largest is kept."""
    found: dict[tuple[str, str], list[float]] = {}
    for source, target, *weight in edges:
        if source == target and not keeps_loops:
            continue
        ends = (source, target) if is_directed else tuple(sorted((source, target)))
        found.setdefault((ends[0], ends[1]), []).append(weight[0] if weight else 1.0)
    once = {ends: (sum if how == "sum" else max)(given) for ends, given in found.items()}
    return once if is_directed else once | {(b, a): weight for (a, b), weight in once.items()}


@pytest.mark.parametrize("is_directed", [False, True])
@pytest.mark.parametrize("how", ["once", "sum"])
@pytest.mark.parametrize("loops", ["drop", "keep"])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_equals_brute_force(
    tmp_path: Path, is_directed: bool, how: str, loops: str, is_weighted: bool
) -> None:
    draw = random.Random(f"{is_directed} {how} {loops} {is_weighted}")
    names = ["n_out", 'a "b"', "ß c", "", "10", "9", "node", "x"]
    edges: list[Edge] = [
        (draw.choice(names), draw.choice(names), float(draw.choice((0.5, 1, 2, 8))))
        for _ in range(60)
    ]
    if not is_weighted:
        edges = [edge[:2] for edge in edges]
    settings = {"directed": is_directed, "duplicate_edges": how, "self_loops": loops}
    config = graph_config(is_weighted, **settings)
    artifact = make_graph(tmp_path, config, batches_of(edges, 7))
    expected = _expected(edges, is_directed, how, loops == "keep")
    assert _edges(artifact) == expected

    nodes = artifact.read("nodes").to_pylist()
    ids = sorted({end for edge in edges for end in edge[:2]})
    assert [row["node"] for row in nodes] == ids
    for row in nodes:
        assert row["n_out"] == sum(source == row["node"] for source, _ in expected)
        assert row["n_in"] == sum(target == row["node"] for _, target in expected)
        leaving = (weight for (source, _), weight in expected.items() if source == row["node"])
        assert row["strength"] == sum(leaving)

    counts = artifact.manifest.counts
    n_loops = sum(edge[0] == edge[1] for edge in edges)
    n_distinct = len(expected if is_directed else {tuple(sorted(ends)) for ends in expected})
    assert counts["rows"] == 60
    assert counts["self_loops_dropped"] == (n_loops if loops == "drop" else 0)
    assert counts["edges"] == n_distinct
    assert counts["duplicate_edges"] == 60 - counts["self_loops_dropped"] - n_distinct
    assert artifact.manifest.report["is_weighted"] == (is_weighted or how == "sum")


def test_order_of_rows_and_blocks_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(1)
    edges: list[Edge] = [
        (f"n{draw.randrange(40)}", f"n{draw.randrange(40)}", draw.random()) for _ in range(500)
    ]
    config = graph_config(is_weighted=True, held_out=0.2)
    whole = make_graph(tmp_path, config, batches_of(edges), "whole")
    draw.shuffle(edges)
    monkeypatch.setattr(graph_building, "_BLOCK_ROWS", 60)
    monkeypatch.setattr("nightjar.stages.graph.node_numbers._SETTLED_IDS", 10)
    parts = make_graph(tmp_path, config, batches_of(edges, 17), "parts")
    assert whole.manifest.counts["held_out"] > 10
    for before, after in zip(whole.manifest.files, parts.manifest.files, strict=True):
        assert (before.name, before.sha256) == (after.name, after.sha256)


def test_auto_adds_weights_of_sources_that_have_them(tmp_path: Path) -> None:
    twice = [("a", "b"), ("b", "a"), ("b", "c")]
    plain = make_graph(tmp_path, graph_config(), batches_of(twice), "plain")
    assert _edges(plain)["a", "b"] == 1
    # A batch of a source without weights, in a corpus where another has them.
    mixed = [*batches_of(twice), *batches_of([("a", "b", 0.25)])]
    weighted = make_graph(tmp_path, graph_config(is_weighted=True), mixed, "weighted")
    assert _edges(weighted) == {
        ("a", "b"): 2.25,
        ("b", "a"): 2.25,
        ("b", "c"): 1,
        ("c", "b"): 1,
    }


@pytest.mark.parametrize("is_directed", [False, True])
def test_held_out_edges_are_gone_and_stay_the_same(tmp_path: Path, is_directed: bool) -> None:
    draw = random.Random(3)
    pairs = sorted({tuple(sorted(draw.sample(range(60), 2))) for _ in range(900)})
    edges: list[Edge] = [(f"n{a}", f"n{b}") for a, b in pairs]
    if is_directed:
        edges += [(b, a) for a, b in edges[::2]]
    config = graph_config(held_out=0.25, directed=is_directed)

    def held_out(artifact: Artifact) -> set[tuple[str, str]]:
        ids = artifact.read("nodes").column("node").to_pylist()
        rows = artifact.read("held_out").to_pylist()
        return {(ids[row["source"]], ids[row["target"]]) for row in rows}

    tonight = make_graph(tmp_path, config, batches_of(edges), "tonight")
    out = held_out(tonight)
    assert 0.15 < len(out) / len(edges) < 0.35
    assert not out & set(_edges(tonight))
    everything = make_graph(tmp_path, graph_config(directed=is_directed), batches_of(edges), "all")
    kept = set(_edges(tonight)) | out | (set() if is_directed else {(b, a) for a, b in out})
    assert kept == set(_edges(everything))
    if is_directed:  # both directions together
        assert {(b, a) for a, b in out if (b, a) in edges} <= out

    more: list[Edge] = [("a new one", f"n{number}") for number in range(30)]
    tomorrow = held_out(make_graph(tmp_path, config, batches_of(more + edges[5:]), "tomorrow"))
    same = set(edges[5:])
    ends = {frozenset(pair) for pair in out if pair in same or pair[::-1] in same}
    assert {frozenset(pair) for pair in tomorrow if "a new one" not in pair} == ends


def test_no_node_is_isolated_by_holding_out(tmp_path: Path) -> None:
    star: list[Edge] = [("hub", f"leaf {number}") for number in range(200)]
    chain: list[Edge] = [(f"c{number}", f"c{number + 1}") for number in range(200)]
    config = graph_config(held_out=0.9)
    artifact = make_graph(tmp_path, config, batches_of(star + chain))
    assert min(artifact.read("nodes").column("n_out").to_pylist()) == 1
    assert artifact.manifest.counts["isolated_nodes"] == 0
    assert artifact.manifest.counts["held_out"] > 50  # of the chain


def test_isolated_nodes_are_counted(tmp_path: Path) -> None:
    artifact = make_graph(tmp_path, graph_config(), batches_of([("a", "b"), ("c", "c")]))
    assert artifact.manifest.counts["isolated_nodes"] == 1
    assert artifact.read("nodes").column("node").to_pylist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("settings", "edges", "message"),
    [
        ({}, [], "no edge: no source has a row"),
        ({}, [("a", "a"), ("b", "b")], "2 rows: 2 lead from a node to itself"),
        ({"self_loops": "keep"}, [("a", "a")], "one node"),
        ({"is_weighted": True}, [("a", "b", float("nan"))], "from 'a' to 'b' has the weight nan"),
        ({"is_weighted": True}, [("a", "b", -1.0)], "has the weight -1.0"),
        ({"is_weighted": True}, [("a", "b", 1e300)], "has the weight 1e\\+300"),
        ({"is_weighted": True}, [("a", "b", 3e38), ("b", "a", 3e38)], "add up to more"),
    ],
)
def test_refused(tmp_path: Path, settings: dict[str, Any], edges: list[Edge], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        make_graph(tmp_path, graph_config(**settings), batches_of(edges))


def test_missing_ids_are_refused(tmp_path: Path) -> None:
    batch = pa.record_batch({"source": ["a", None], "target": ["b", "c"]})
    with pytest.raises(SourceError, match="no source or no target"):
        make_graph(tmp_path, graph_config(), [batch])


def test_sources_of_any_stretch() -> None:
    offsets = pa.array([0, 0, 3, 3, 4, 9, 9]).to_numpy()
    whole = graph_building._sources(offsets, 0, 9).tolist()
    assert whole == [1, 1, 1, 3, 4, 4, 4, 4, 4]
    for first in range(9):
        for end in range(first + 1, 10):
            assert graph_building._sources(offsets, first, end).tolist() == whole[first:end]
    assert Counter(whole) == {1: 3, 3: 1, 4: 5}
