"""The generated graph of the benchmark of walks, and its measurements on a small one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks import graphs_speed


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
