"""Node classification and link prediction: items by hand, answers against scikit-learn."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from edges_support import publish_graph
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.multiclass import OneVsRestClassifier

from nightjar.config import LinkPredictionBenchmark, NodeClassificationBenchmark
from nightjar.errors import BenchmarkError
from nightjar.promotion.statistics import compare_answers, on_shared_items
from nightjar.scoring.metrics import score
from nightjar.scoring.resampling import Resampling
from nightjar.stages.evaluate.benchmark_items import Answered, Examinee
from nightjar.stages.evaluate.label_learning import label_scores
from nightjar.stages.evaluate.link_prediction import HeldOutLinks
from nightjar.stages.evaluate.node_classification import LabelledNodes, assigned

Floats = NDArray[np.float32]


class Vectors:
    """A model that knows some nodes."""

    def __init__(self, nodes: list[str], matrix: Floats) -> None:
        self._rows = dict(zip(nodes, matrix, strict=True))
        self._size = matrix.shape[1]

    def vectors(self, nodes: list[str], unknown: str) -> Floats:
        assert unknown == "nan"
        none = np.full(self._size, np.nan, np.float32)
        return np.array([self._rows.get(node, none) for node in nodes])


def asked(nodes: list[str], matrix: Floats) -> Examinee:
    return Examinee(cast("Any", Vectors(nodes, matrix)), cast("Any", None), seed=1)


def measured(metric: str, found: Answered) -> float | None:
    covered = found.answers.only(found.answers.is_covered)
    return score(metric, covered.values, covered.gold)


def labels_config(path: Path, **more: Any) -> NodeClassificationBenchmark:
    return NodeClassificationBenchmark(type="node_classification", path=str(path), **more)


def several_labels(n_nodes: int = 60, n_labels: int = 5) -> tuple[LabelledNodes, Floats]:
    """Nodes with one to three labels, whose vectors say something about them."""
    generator = np.random.default_rng(2)
    has_label = np.zeros((n_nodes, n_labels), np.bool_)
    for row in has_label:
        row[generator.choice(n_labels, generator.integers(1, 4), replace=False)] = True
    noise = generator.normal(size=(n_nodes, 6))
    matrix = has_label @ generator.normal(size=(n_labels, 6)) + 0.7 * noise
    nodes = tuple(f"n{place}" for place in range(n_nodes))
    labels = tuple("abcde"[:n_labels])
    items = LabelledNodes(nodes, labels, has_label, train_share=0.5, splits=3)
    return items, matrix.astype(np.float32)


def test_f1_is_that_of_the_protocol_of_deepwalk() -> None:
    """One-vs-rest regression, as many labels as the node has, F1 by split, then the mean."""
    items, matrix = several_labels()
    found = items.answer(asked(list(items.nodes), matrix))
    micro, macro, n_right, n_asked = [], [], 0, 0
    for order in items._orders:
        learned, others = order[:30], order[30:]
        peer = OneVsRestClassifier(LogisticRegression(solver="liblinear"))
        peer.fit(matrix[learned].astype(np.float64), items.has_label[learned].astype(int))
        chances = peer.predict_proba(matrix[others].astype(np.float64))
        gold = items.has_label[others]
        predicted = np.zeros_like(gold)
        for row, chance in enumerate(chances):
            predicted[row, np.argsort(chance)[-gold[row].sum() :]] = True
        micro.append(f1_score(gold, predicted, average="micro"))
        macro.append(f1_score(gold, predicted, average="macro"))
        n_right += int((gold & predicted).sum())
        n_asked += int(gold.sum())
    assert measured("micro_f1", found) == pytest.approx(n_right / n_asked)
    assert measured("micro_f1", found) == pytest.approx(np.mean(micro), abs=0.005)
    assert measured("macro_f1", found) == pytest.approx(np.mean(macro), abs=1e-12)
    assert len(found.answers) == len(items) == len(items.item_names) == n_asked


def test_predicted_labels_are_assigned_to_the_labels_of_the_node() -> None:
    scores = np.array([[3.0, 2, 1, 0], [0, 1, 2, 3], [1, 1, 1, 1]])
    has_label = np.array([[1, 0, 1, 1], [1, 0, 0, 0], [0, 1, 1, 0]], np.bool_)
    # Predicted: {0, 1, 2}, {3} and, of equal ones the first, {0, 1}.
    assert assigned(scores, has_label).tolist() == [0, 2, 1, 3, 1, 0]


def test_a_label_that_no_known_node_has_comes_last_and_one_of_all_first() -> None:
    known = np.random.default_rng(1).normal(size=(8, 2))
    has_label = np.zeros((8, 3), np.bool_)
    has_label[:, 1], has_label[:4, 2] = True, True
    found = label_scores(known, has_label, known)
    assert np.all(found.argmax(axis=1) == 1)
    assert np.all(found.argmin(axis=1) == 0)


def test_a_label_of_one_node_is_asked_and_not_found(tmp_path: Path) -> None:
    path = tmp_path / "labels.tsv"
    rows = [f"n{i}\t{'rare' if i == 0 else 'ab'[i % 2]}" for i in range(20)]
    path.write_text("node\tlabel\n" + "\n".join(rows) + "\n")
    items = LabelledNodes.read(path, labels_config(path, splits=4))
    matrix = np.array([[i % 2, 1] for i in range(20)], np.float32)
    found = items.answer(asked([f"n{i}" for i in range(20)], 10 * matrix)).answers
    is_rare = np.array([name.startswith("n0:") for name in items.item_names])
    assert 0 < is_rare.sum() < 4
    assert (found.values[is_rare] != found.gold[is_rare]).all()
    assert (found.values[~is_rare] == found.gold[~is_rare]).all()


def test_more_nodes_than_wanted_are_sampled_by_their_ids(tmp_path: Path) -> None:
    rows = [f"n{node}\t{label}" for node in range(40) for label in ("ab" if node % 3 else "a")]
    path, turned = tmp_path / "labels.tsv", tmp_path / "turned.tsv"
    path.write_text("\n".join(["node\tlabel", *rows]), encoding="utf-8")
    turned.write_text("\n".join(["node\tlabel", *rows[::-1]]), encoding="utf-8")
    items, others = (
        LabelledNodes.read(file, labels_config(file, max_nodes=15)) for file in (path, turned)
    )
    assert len(items.nodes) == 15
    assert set(items.nodes) == set(others.nodes)
    labels = {
        node: has_label.sum() for node, has_label in zip(items.nodes, items.has_label, strict=True)
    }
    assert labels == {node: 2 if int(node[1:]) % 3 else 1 for node in items.nodes}
    whole = LabelledNodes.read(path, labels_config(path, max_nodes=40))
    assert set(items.nodes) < set(whole.nodes)


def test_unknown_nodes_are_neither_covered_nor_learned_from() -> None:
    items, matrix = several_labels()
    known = [place for place in range(60) if place % 3]
    found = items.answer(asked([items.nodes[place] for place in known], matrix[known]))
    nodes = found.answers.units[:, 0]
    assert found.answers.is_covered.tolist() == (nodes % 3 > 0).tolist()
    assert list(found.missing) == [items.nodes[place] for place in range(0, 60, 3)]


def test_two_models_are_compared_on_the_same_items_by_nodes() -> None:
    items, matrix = several_labels()
    worse = matrix + np.random.default_rng(3).normal(0, 2, matrix.shape).astype(np.float32)
    answers = [
        {"labels": items.answer(asked(list(items.nodes)[n:], vectors[n:])).answers}
        for vectors, n in ((matrix, 0), (worse, 5))
    ]
    ours, theirs = on_shared_items(answers, ["labels"])
    assert len(ours["labels"]) == len(theirs["labels"]) < len(items)
    draws = Resampling(200, 0.95, 1)
    for metric in ("micro_f1", "macro_f1"):
        found = compare_answers("labels", metric, ours["labels"], theirs["labels"], draws)
        assert found is not None
        assert found.difference > 0
        assert found.variance.value > 0
        assert found.variance.df < 55  # nodes are drawn, not items


@pytest.mark.parametrize("suffix", ["tsv", "parquet"])
def test_labels_are_read_from_text_and_parquet(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"labels.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table({"label": [1, 2, 1], "node": ["x", "x", "y"]}), path)
    else:
        path.write_text("label\tnode\n1\tx\n2\tx\n1\ty\n")
    items = LabelledNodes.read(path, labels_config(path))
    assert (items.nodes, items.labels) == (("x", "y"), ("1", "2"))
    assert items.has_label.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"node\tlabel\nx\ta\ny\tb\nx\ta\n", "line 4: the node 'x' has the label 'a' already in"),
        (b"node\tlabel\nx\ta\ny\ta\n", "all nodes have the label 'a'"),
        (b"node\tlabel\nx\ta\nx\tb\n", "the only node is 'x'"),
        (b"node\tlabel\nx\ta\ny\n", "line 3: expected 2 fields separated by tabs"),
        (b"node\tlabel\nx\ta\n" + b"x" * 5_000_000 + b"\n", "line 3: expected 2 fields"),
        (b"node\tlabel\nx\ta\n\xff\tb\n", "line 3: not UTF-8 text"),
        (b"node\tclass\nx\ta\n", "has no column label; it has node, class"),
        (b"id\tclass\nx\ta\n", "has no column node, label; it has id, class"),
        (b"node\tlabel\n", "there is no node with its label in it"),
        (b"", "has no column node, label; it has none"),
    ],
)
def test_labels_that_nothing_can_be_learned_from_are_refused(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "labels.tsv"
    path.write_bytes(content)
    with pytest.raises(BenchmarkError, match=message) as error:
        LabelledNodes.read(path, labels_config(path))
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 1_000


# -- links ----------------------------------------------------------------------------------


def ring(n_nodes: int = 12) -> list[tuple[str, str]]:
    names = [f"n{place:02}" for place in range(n_nodes)]
    return list(zip(names, names[1:] + names[:1], strict=True))


LINKS = LinkPredictionBenchmark(type="link_prediction")


def test_links_are_the_held_out_edges_and_pairs_without_an_edge(tmp_path: Path) -> None:
    edges, held = ring(), [("n00", "n05"), ("n03", "n09"), ("n07", "n10")]
    graph = publish_graph(tmp_path, edges, held)
    items = HeldOutLinks.held_out(graph, LINKS, seed=1)
    pairs = [frozenset(name.split(" - ")) for name in items.item_names]
    assert pairs[:3] == [frozenset(pair) for pair in held]
    assert items.is_edge.tolist() == [True] * 3 + [False] * 3
    assert not set(pairs[3:]) & {frozenset(pair) for pair in (*edges, *held)}
    assert all(len(pair) == 2 for pair in pairs)
    assert len(set(pairs)) == 6
    again = HeldOutLinks.held_out(graph, LINKS, seed=1)
    assert again.item_names == items.item_names
    assert HeldOutLinks.held_out(graph, LINKS, seed=2).item_names != items.item_names


def test_links_are_answered_with_cosines(tmp_path: Path) -> None:
    held = [("n00", "n05"), ("n03", "n09"), ("n07", "n10"), ("n01", "n06")]
    items = HeldOutLinks.held_out(publish_graph(tmp_path, ring(), held), LINKS, seed=1)
    matrix = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)
    names = [f"n{place:02}" for place in range(12)]
    found = items.answer(asked(names, matrix))
    units = dict(zip(names, matrix / np.linalg.norm(matrix, axis=1, keepdims=True), strict=True))
    cosines = [units[a] @ units[b] for a, b in (name.split(" - ") for name in items.item_names)]
    np.testing.assert_allclose(found.answers.values, cosines, atol=1e-6)
    assert measured("auc", found) == pytest.approx(roc_auc_score(items.is_edge, cosines))
    assert measured("average_precision", found) == pytest.approx(
        average_precision_score(items.is_edge, cosines)
    )


def test_a_pair_that_nothing_is_known_about_is_not_covered(tmp_path: Path) -> None:
    """An end without an edge in the graph, although the model has a vector; an unknown node."""
    held = [("n00", "alone"), ("n03", "n09"), ("n07", "n10")]
    items = HeldOutLinks.held_out(publish_graph(tmp_path, ring(), held), LINKS, seed=1)
    names = ["alone", *(f"n{place:02}" for place in range(12) if place != 3)]
    found = items.answer(asked(names, np.ones((12, 2), np.float32)))
    assert found.answers.is_covered[:3].tolist() == [False, False, True]
    assert list(found.missing) == ["n03"]
    assert items.is_edge.sum() == 3
    assert len(items) == 5


def test_many_held_out_edges_are_sampled(tmp_path: Path) -> None:
    names = [f"n{place:02}" for place in range(12)]
    held = [pair for pair in itertools.combinations(names, 2) if int(pair[1][1:]) % 5 == 0]
    config = LinkPredictionBenchmark(type="link_prediction", max_edges=10)
    items = HeldOutLinks.held_out(publish_graph(tmp_path, ring(), held), config, seed=1)
    assert len(held) > 10
    assert items.is_edge.sum() == 10
    assert len(items) == 20


def test_directed_edges_count_in_both_directions(tmp_path: Path) -> None:
    """Every other pair is an edge in one direction, so there is none to compare with."""
    names = [f"n{place}" for place in range(6)]
    pairs = list(itertools.combinations(names, 2))
    graph = publish_graph(tmp_path, pairs[1:], pairs[:1], directed=True)
    with pytest.raises(BenchmarkError, match="nearly all pairs of its 6 nodes are edges"):
        HeldOutLinks.held_out(graph, LINKS, seed=1)


def test_a_graph_that_holds_nothing_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"holds no edges out, .*: raise held_out"):
        HeldOutLinks.held_out(publish_graph(tmp_path, ring()), LINKS, seed=1)


def test_two_models_are_compared_on_links(tmp_path: Path) -> None:
    held = [(f"n{a:02}", f"n{b:02}") for a, b in ((0, 5), (3, 9), (7, 10), (1, 6), (2, 8))]
    items = HeldOutLinks.held_out(publish_graph(tmp_path, ring(), held), LINKS, seed=1)
    names = [f"n{place:02}" for place in range(12)]
    generator = np.random.default_rng(1)
    ours, theirs = (
        items.answer(asked(names, generator.normal(size=(12, 3)).astype(np.float32))).answers
        for _ in range(2)
    )
    for metric in ("auc", "average_precision"):
        found = compare_answers("links", metric, ours, theirs, Resampling(200, 0.95, 1))
        assert found is not None
        assert found.variance.value > 0
