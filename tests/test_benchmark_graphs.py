"""The generated graph of the benchmark of walks, and its measurements on a small one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import graphs_labelled, graphs_speed


def test_edges_are_distinct_and_a_few_nodes_have_most() -> None:
    sources, targets = graphs_speed.power_law_edges(2_000, 20_000)
    pairs = {frozenset(pair) for pair in zip(sources.tolist(), targets.tolist(), strict=True)}
    assert len(pairs) == 20_000
    assert all(len(pair) == 2 for pair in pairs)
    degrees = np.bincount(np.concatenate([sources, targets]), minlength=2_000)
    assert degrees.max() > 10 * np.median(degrees) > 0
    part = graphs_speed.part_of(sources, targets, 2_000)
    assert {frozenset(pair) for pair in part.tolist()} < pairs


def test_measurements_of_a_small_graph(tmp_path: Path) -> None:
    sources, targets = graphs_speed.power_law_edges(100, 400)
    np.save(tmp_path / "small.npy", np.stack([sources, targets], axis=1))
    settings = {
        "walks": {"first_order": (1.0, 1.0), "second_order": (0.5, 2.0)},
        "length": 10,
        "workers": 2,
        "our_walks": 300,
    }
    assert graphs_speed.build(tmp_path, "small")["build"]["edges"] == 400
    found = graphs_speed.walk(tmp_path, "small", settings)
    assert found["first_order"]["steps"] == found["second_order"]["steps"] > 0
    n_nodes = len(np.unique([sources, targets]))
    assert graphs_speed.write(tmp_path, "small", settings)["write"]["steps"] == 10 * n_nodes


def two_groups(directory: Path) -> tuple[Path, Path]:
    """Forty nodes in two groups, most edges within one; their group as label."""
    generator = np.random.default_rng(1)
    pairs = [(a, b) for a in range(40) for b in range(a)]
    drawn = generator.random(len(pairs))
    kept = [
        p for p, at in zip(pairs, drawn, strict=True) if at < (0.4 if sum(p) % 2 == 0 else 0.02)
    ]
    sources, targets = ([f"n{node}" for node in ends] for ends in zip(*kept, strict=True))
    edges, labels = directory / "edges.parquet", directory / "labels.tsv"
    pq.write_table(pa.table({"source": sources, "target": targets}), edges)
    lines = ["node\tlabel", *(f"n{node}\t{'ab'[node % 2]}" for node in range(40))]
    labels.write_text("\n".join(lines) + "\n")
    return edges, labels


@pytest.mark.parametrize("more", [[], ["--tune"]])
def test_labels_of_any_graph_are_scored(
    more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edges, labels = two_groups(tmp_path)
    figures = tmp_path / "figures.json"
    options = [
        "--graph",
        str(edges),
        "--labels",
        str(labels),
        "--json",
        str(figures),
        "--seeds",
        "1",
    ]
    models = ['{"trainer": "prone", "vector_size": 4}', '{"trainer": "word2vec", "vector_size": 8}']
    options += [option for model in models for option in ("--model", model)]
    few = ["--shares", "0.5", "--splits", "2", "--walks", '{"per_node": 5, "length": 8}']
    monkeypatch.setattr("sys.argv", ["graphs_labelled", *options, *few, *more])
    graphs_labelled.main()
    found = json.loads(figures.read_text())
    assert [one["settings"]["trainer"] for one in found["labelled"]] == ["prone", "word2vec"]
    assert found["labelled"][0]["f1"]["0.5"]["micro"]["mean"] > 0.8
    assert found["counts"]["nodes"] == 40
