"""The tokens artifact of walks: what is written, counted and left out."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from graph_support import Edge, batches_of, graph_config, make_graph, make_walks

from nightjar.core.executors import INLINE
from nightjar.stages.graph import walks_writing
from nightjar.store import Artifact, Store


class _Cluster:
    """An executor that says that it is a cluster, and processes pieces here, twice."""

    n_workers = 3
    is_cluster = True

    def release(self) -> None: ...

    def map(self, function: Any, pieces: Any, advance: Any) -> Any:
        assert len(pieces) > 1
        for piece in pieces:
            function(piece, advance)  # as when a worker is lost after it wrote
            yield function(piece, advance)


def _random_edges(n_nodes: int, n_edges: int) -> list[Edge]:
    draw = random.Random(n_edges)
    names = [f'n "{number}" n_out' for number in range(n_nodes)]
    return [(draw.choice(names), draw.choice(names)) for _ in range(n_edges)]


def _check(tokens: Artifact, graph: Artifact, length: int, per_node: int) -> None:
    """Compare counts, ranks, starts and edges with what the sentences say."""
    vocabulary = tokens.read("vocabulary").to_pylist()
    sentences = tokens.read("sentences").to_pylist()
    words = [row["token"] for row in vocabulary]
    walks = [[words[number] for number in row["token_ids"]] for row in sentences]
    visits = Counter(node for walk in walks for node in walk)
    ranked = sorted(visits.items(), key=lambda item: (-item[1], item[0]))
    assert [(row["token"], row["count"]) for row in vocabulary] == ranked
    assert [row["token_id"] for row in vocabulary] == list(range(len(ranked)))
    walks_with = Counter(node for walk in walks for node in set(walk))
    assert {row["token"]: row["n_documents"] for row in vocabulary} == walks_with

    assert all(row["doc_id"] == walk[0] for row, walk in zip(sentences, walks, strict=True))
    keys = [(row["doc_id"], row["sentence"]) for row in sentences]
    assert len(set(keys)) == len(keys)
    assert {round_ for _, round_ in keys} == set(range(per_node))
    assert [round_ for _, round_ in keys] == sorted(round_ for _, round_ in keys)

    ids = graph.read("nodes").column("node").to_pylist()
    edges = {(ids[row["source"]], ids[row["target"]]) for row in graph.read("edges").to_pylist()}
    assert all(pair in edges for walk in walks for pair in itertools.pairwise(walk))
    leaving = {source for source, _ in edges}
    assert all(2 <= len(walk) <= length for walk in walks)
    assert all(len(walk) == length or walk[-1] not in leaving for walk in walks)

    counts = tokens.manifest.counts
    assert counts["sentences"] == len(walks) == per_node * len(leaving)
    assert counts["tokens"] == sum(map(len, walks))
    assert counts["walks_of_one_node"] == per_node * (len(ids) - len(leaving))
    assert counts["walks_cut_short"] == sum(len(walk) < length for walk in walks)
    assert counts["nodes_not_visited"] == len(ids) - len(ranked)
    assert Store(tokens.directory.parents[1]).verify(tokens.ref) == []


@pytest.mark.parametrize("is_directed", [False, True])
@pytest.mark.parametrize(("p", "q"), [(1, 1), (0.5, 2)])
def test_sentences_are_walks(tmp_path: Path, is_directed: bool, p: float, q: float) -> None:
    walks = {"per_node": 3, "length": 7, "p": p, "q": q}
    config = graph_config(directed=is_directed, walks=walks)
    edges = [*_random_edges(60, 90), ("alone", "alone")]
    graph = make_graph(tmp_path, config, batches_of(edges))
    tokens = make_walks(tmp_path, config, graph)
    _check(tokens, graph, 7, 3)
    assert "alone" not in tokens.read("vocabulary").column("token").to_pylist()


def test_same_bytes_for_any_threads_and_on_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks_writing, "_BATCH_VISITS", 100)
    monkeypatch.setattr(walks_writing, "_PART_BATCHES", 2)
    config = graph_config(walks={"per_node": 4, "length": 9, "q": 2})
    graph = make_graph(tmp_path, config, batches_of(_random_edges(50, 120)))
    contexts = [{"n_workers": 1}, {"n_workers": 5}, {"executor": _Cluster()}]
    made = [
        make_walks(tmp_path, config, graph, str(place), **context)
        for place, context in enumerate(contexts)
    ]
    assert len(made[0].parts("sentences")) > 5
    assert made[0].manifest.files == made[1].manifest.files == made[2].manifest.files
    assert made[0].manifest.counts == made[1].manifest.counts == made[2].manifest.counts
    _check(made[0], graph, 9, 4)


def test_parts_hold_all_walks_of_long_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walks_writing, "_BATCH_VISITS", 10)  # fewer than a walk has
    config = graph_config(walks={"per_node": 2, "length": 30})
    graph = make_graph(tmp_path, config, batches_of([("a", "b"), ("b", "c")]))
    _check(make_walks(tmp_path, config, graph, executor=INLINE), graph, 30, 2)


def test_other_seeds_are_other_walks(tmp_path: Path) -> None:
    found = []
    for seed in (1, 1, 2):
        config = graph_config(walks={"per_node": 2, "length": 5, "seed": seed})
        graph = make_graph(tmp_path, config, batches_of(_random_edges(30, 60)), "one")
        tokens = make_walks(tmp_path, config, graph, f"w{len(found)}")
        found.append(tokens.read("sentences").to_pylist())
    assert found[0] == found[1] != found[2]
