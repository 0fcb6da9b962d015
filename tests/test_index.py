"""The approximate index of words: what it finds, how it is built, and what the commands say."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lookup_support import lookup_model, random_matrix
from nights_support import POOR, HandMade
from numpy.typing import NDArray
from rich.console import Console
from test_cli import assert_refused, nightjar

from nightjar.cli.indexes import index_models
from nightjar.config import load_config
from nightjar.errors import ArtifactDamaged, InputError, RecallTooLow, StoreNotWritable
from nightjar.model.lookup import ApproximateIndex, QueryError, TableDamaged, answer
from nightjar.model.lookup.nearest import nearest_rows, row_lengths
from nightjar.progress import SILENT
from nightjar.stages.index import IndexSettings, WordIndexRequest
from nightjar.stages.index.building import IndexedRows, build_index
from nightjar.store import Store

pytest.importorskip("usearch", reason="the extra 'index' is not installed")
SETTINGS = IndexSettings()


def indexed_rows(matrix: NDArray[np.float32], keys: NDArray[np.int64] | None = None) -> IndexedRows:
    return IndexedRows(matrix, row_lengths(matrix), keys)


def saved(
    path: Path, indexed: IndexedRows, settings: IndexSettings = SETTINGS, threads: int = 1
) -> ApproximateIndex:
    built = build_index(indexed, settings, threads, SILENT)
    built.save(path)
    expansion = built.report()["expansion_search"]
    return ApproximateIndex.open(path, expansion, indexed.rows_of_keys())


def test_it_answers_like_exact_search_with_exact_similarities(tmp_path: Path) -> None:
    matrix = random_matrix(3_000, 16) * np.float32(3)
    index = saved(tmp_path / "x", indexed_rows(matrix))
    queries, excluded = matrix[:50], [[row, row + 1] for row in range(50)]
    exact = nearest_rows(matrix, row_lengths(matrix), queries, 10, excluded, 0.3)
    found = index.nearest(matrix, row_lengths(matrix), queries, 10, excluded, 0.3)
    same = [len(set(a.rows) & set(b.rows)) for a, b in zip(found, exact, strict=True)]
    assert sum(same) >= 0.98 * sum(len(b.rows) for b in exact)
    for ours, theirs in zip(found, exact, strict=True):
        if ours.rows.tolist() == theirs.rows.tolist():
            np.testing.assert_allclose(ours.similarities, theirs.similarities, atol=1e-6)
        assert (np.diff(ours.similarities) <= 0).all()
    one = index.nearest(matrix, row_lengths(matrix), queries[:1], 10, excluded[:1], 0.3)
    assert one[0].rows.tolist() == found[0].rows.tolist()


def test_small_tables_and_rows_without_direction(tmp_path: Path) -> None:
    matrix = np.array([[1, 0], [0, 0], [0.6, 0.8]], np.float32)
    lengths = row_lengths(matrix)
    index = saved(tmp_path / "x", indexed_rows(matrix))
    assert len(index) == 2
    found = index.nearest(matrix, lengths, np.vstack([matrix, [[5, 0]]]).astype(np.float32), 10)
    assert [near.rows.tolist() for near in found] == [[0, 2], [], [2, 0], [0, 2]]
    assert found[3].similarities.tolist() == pytest.approx([1, 0.6])
    assert index.nearest(matrix, lengths, np.zeros((0, 2), np.float32), 3) == []


def test_keys_stand_for_rows(tmp_path: Path) -> None:
    matrix = np.eye(4, dtype=np.float32)
    keys = np.array([7, -1, 2, 5])
    index = saved(tmp_path / "x", indexed_rows(matrix, keys))
    found = index.nearest(matrix, row_lengths(matrix), matrix, 1)
    assert [near.rows.tolist() for near in found][::2] == [[0], [2]]
    assert len(index) == 3
    assert found[1].similarities.tolist() == [0]


def test_one_thread_gives_the_same_bytes(tmp_path: Path) -> None:
    matrix = random_matrix(9_000, 8)
    for name in ("a", "b"):
        saved(tmp_path / name, indexed_rows(matrix))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_too_little_recall_raises_the_settings_until_it_suffices() -> None:
    indexed = indexed_rows(random_matrix(5_000, 48))
    weak = replace(SETTINGS, connectivity=4, expansion_add=8, expansion_search=8)
    weak = replace(weak, max_expansion_search=128, min_recall=0.9)
    built = build_index(indexed, weak, 2, SILENT)
    first, last = built.trials[0], built.trials[-1]
    assert first.recall < 0.9 <= last.recall
    assert last.connectivity > first.connectivity
    assert built.index.connectivity == last.connectivity
    assert built.index.expansion_search == last.expansion_search
    assert built.report()["recall_at_10"] == last.recall


def test_an_index_that_finds_too_little_is_refused() -> None:
    indexed = indexed_rows(random_matrix(3_000, 64))
    hopeless = IndexSettings(
        connectivity=2, expansion_add=2, expansion_search=2, max_connectivity=2,
        max_expansion_search=4,
    )  # fmt: skip
    with pytest.raises(RecallTooLow, match=r"less than 0\.95; nothing was published"):
        build_index(indexed, hopeless, 1, SILENT)


def test_a_full_disk_is_named() -> None:
    built = build_index(indexed_rows(random_matrix(300)), SETTINGS, 1, SILENT)
    with pytest.raises(StoreNotWritable, match="/dev/full: the index cannot be written"):
        built.save(Path("/dev/full"))


def test_rows_with_the_same_vector_count_as_found() -> None:
    built = build_index(indexed_rows(np.ones((500, 4), np.float32)), SETTINGS, 1, SILENT)
    assert built.trials[0].recall == 1.0


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    saved(tmp_path / "x", indexed_rows(random_matrix(300)))
    content = (tmp_path / "x").read_bytes()
    for name, damaged in (("cut", content[: len(content) // 2]), ("junk", b"x" * 500)):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(TableDamaged, match=name):
            ApproximateIndex.open(tmp_path / name, 64)
    with pytest.raises(TableDamaged, match="missing"):
        ApproximateIndex.open(tmp_path / "gone", 64)


def test_many_threads_ask_at_once(tmp_path: Path) -> None:
    matrix = random_matrix(2_000)
    lengths = row_lengths(matrix)
    index = saved(tmp_path / "x", indexed_rows(matrix))
    expected = [near.rows.tolist() for near in index.nearest(matrix, lengths, matrix[:64], 5)]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda q: index.nearest(matrix, lengths, matrix[q : q + 1], 5), range(64))
    assert [near[0].rows.tolist() for near in found] == expected


def test_a_model_answers_approximate_questions(tmp_path: Path) -> None:
    words = [f"w{number}" for number in range(2_000)]
    model = lookup_model(tmp_path / "model", words)
    with pytest.raises(QueryError, match="no approximate index here"):
        model.neighbors(["w1"], approximate=True)
    table = model.table
    model.approximate_index = saved(tmp_path / "x", IndexedRows(table.vectors, table.norms))
    for task, items, more in (
        ("neighbors", ["w1", "w2"], {}),
        ("neighbors", ["w1", "w2"], {"negative": ["w3"]}),
        ("neighbors", [table.vectors[5].tolist()], {}),
        ("analogy", ["w1", "w2", "w3"], {}),
    ):
        given = {"task": task, "topn": 5, **more}
        exact, found = (answer(model, items, {**given, "approximate": on}) for on in (False, True))
        names = [[near["token"] for near in listed] for listed in found]
        assert names == [[near["token"] for near in listed] for listed in exact]
    with pytest.raises(QueryError, match="approximate is 1, expected true or false"):
        answer(model, ["w1"], {"task": "neighbors", "approximate": 1})


def test_without_usearch_the_message_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    indexed = indexed_rows(random_matrix(300))
    saved(path, indexed)
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(QueryError, match=r"pip install 'nightjar\[index\]'"):
        ApproximateIndex.open(path, 64)
    with pytest.raises(InputError, match=r"pip install 'nightjar\[index\]'"):
        build_index(indexed, SETTINGS, 1, SILENT)


# -- the command line --------------------------------------------------------------------------


def test_index_publishes_an_artifact_of_each_champion(finished_copy: Path) -> None:
    done = nightjar("index", "-c", finished_copy, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"cbow", "glove"}
    store = Store(finished_copy.parent / "artifacts")
    for name, shown in found.items():
        index = store.open(store.find(shown["artifact"]))
        assert index.manifest.name == name
        assert index.manifest.report["recall_at_10"] == shown["recall_at_10"] >= 0.95
        assert store.is_published("embeddings", index.manifest.parents["embeddings"])
        assert store.verify(index.ref) == []
    again = nightjar("index", "glove", "-c", finished_copy)
    assert again.returncode == 0
    assert "started" not in again.stderr
    assert found["glove"]["artifact"] in again.stdout


def test_approximate_neighbors_build_the_index_once(finished_copy: Path) -> None:
    command = ("neighbors", "government", "-m", "glove", "-c", finished_copy, "--json")
    exact = json.loads(nightjar(*command).stdout)
    first = nightjar(*command, "--approximate")
    assert first.returncode == 0, first.stderr
    assert "index glove: recall@10" in first.stderr
    found = json.loads(first.stdout)["glove"]["neighbors"]
    near = {entry["token"] for entry in found}
    assert len(near & {entry["token"] for entry in exact["glove"]["neighbors"]}) >= 9
    second = nightjar(*command, "--approximate")
    assert second.stderr == ""
    assert second.stdout == first.stdout


def test_a_damaged_index_is_told_and_can_be_set_aside(finished_copy: Path) -> None:
    loaded = load_config(finished_copy, [])
    (found,) = index_models(loaded, "cbow", None, Console(stderr=True))
    assert found.index is not None
    path = found.index.file_path("index.usearch")
    content = path.read_bytes()
    for damaged in (b"x" * 64 + content[64:], content[:-1] + bytes([content[-1] ^ 1])):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactDamaged, match="Set it aside with"):
            index_models(loaded, "cbow", None, Console(stderr=True))
    assert nightjar("verify", "-c", finished_copy).returncode == 1
    assert nightjar("verify", "-c", finished_copy, "--set-aside").returncode == 1
    assert nightjar("index", "cbow", "-c", finished_copy).returncode == 0
    assert nightjar("verify", "-c", finished_copy).returncode == 0


def test_every_version_has_an_index_of_its_own(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    project.night()
    project.write_vectors(POOR)
    project.night()
    console = Console(stderr=True)
    by_name = {
        (what, night): index_models(project.loaded, what, night, console)[0].index
        for what, night in (("words", None), ("words@2", None), ("words", 1), ("words", 2))
    }
    champion, blocked, first, second = (
        None if index is None else index.ref for index in by_name.values()
    )
    assert champion == first != blocked == second


def test_vectors_of_other_bytes_have_another_index(tmp_path: Path) -> None:
    """Two trainings of one version may differ: threads."""
    model = lookup_model(tmp_path / "model", ["a", "b"])
    one, other = (WordIndexRequest("m", "e1", digest, model, 1) for digest in ("d1", "d2"))
    assert one.identity.version != other.identity.version
    assert one.identity.parents == other.identity.parents == {"embeddings": "e1"}


def test_an_unknown_model_is_refused(finished_config: Path) -> None:
    assert_refused(nightjar("index", "glovee", "-c", finished_config), 2, "did you mean 'glove'?")
