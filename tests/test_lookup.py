"""The library behind a registered model: the table, its index, and the questions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PROJECT_ROOT
from lookup_support import lookup_model, random_matrix, write
from numpy.typing import NDArray

from nightjar.model.lookup import (
    QueryError,
    TableDamaged,
    UnknownWords,
    VectorModel,
    VectorTable,
    answer,
    nearest,
)
from nightjar.model.lookup.nearest import cluster_rows, nearest_rows, row_lengths
from nightjar.model.lookup.token_index import edit_distances, fill_slots

WORDS = ("the", "king", "queen", "man", "woman", "Paris", "naïve", "日本", "a b", "don't", "x\ty")


# -- the index ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n_words", [1, 2, 3, 100, 5_000])
def test_every_token_is_found_and_no_other(tmp_path: Path, n_words: int) -> None:
    words = [f"w{number}é" for number in range(n_words)]
    table = VectorTable.open(write(tmp_path, words, random_matrix(n_words), stretch=997))
    order = np.random.default_rng(1).permutation(n_words)
    asked = [words[row] for row in order] + ["", "w", "é", "w-1é", "\ud800", "w0é\0"]
    expected = [*order, -1, -1, -1, -1, -1, -1]
    assert table.rows(asked).tolist() == expected
    assert [table.row(word) for word in asked[-50:]] == expected[-50:]


def test_tokens_with_the_same_hash_are_told_apart(tmp_path: Path) -> None:
    # CRC-32 of these two is the same, 0x4ddb0c25.
    words = ["plumless", "buckeroo"]
    import zlib  # noqa: PLC0415

    assert zlib.crc32(b"plumless") == zlib.crc32(b"buckeroo")
    both = VectorTable.open(write(tmp_path / "both", words, random_matrix(2)))
    assert both.rows(words * 20).tolist() == [0, 1] * 20
    one = VectorTable.open(write(tmp_path / "one", words[:1], random_matrix(1)))
    assert one.rows(words * 20).tolist() == [0, -1] * 20
    assert one.row("buckeroo") == -1


def test_slots_hold_every_row_once_even_when_all_hashes_are_equal() -> None:
    slots = fill_slots(np.full(50, 7, np.uint32))
    assert sorted(slots[slots > 0].tolist()) == list(range(1, 51))


# -- nearest rows ------------------------------------------------------------------------------


def brute_force(
    matrix: NDArray[np.float32],
    query: NDArray[np.float32],
    topn: int,
    excluded: list[int],
    least: float | None,
) -> list[int]:
    lengths = np.linalg.norm(matrix.astype(np.float64), axis=1)
    scores = matrix.astype(np.float64) @ query / np.linalg.norm(query.astype(np.float64))
    scores = np.divide(scores, lengths, out=np.zeros(len(matrix)), where=lengths > 0)
    rows = [row for row in range(len(matrix)) if row not in excluded]
    rows = [row for row in rows if least is None or scores[row] >= least]
    return sorted(rows, key=lambda row: (-scores[row], row))[:topn]


@pytest.mark.parametrize("n_queries", [1, 5, 40])
@pytest.mark.parametrize("topn", [1, 7, 300, 1_000])
@pytest.mark.parametrize("block_rows", [64, 65_536])
@pytest.mark.parametrize("least", [None, 0.3])
def test_nearest_rows_are_those_of_brute_force(
    monkeypatch: pytest.MonkeyPatch, n_queries: int, topn: int, block_rows: int, least: float | None
) -> None:
    monkeypatch.setattr(nearest, "_MIN_BLOCK_ROWS", 1)
    monkeypatch.setattr(nearest, "_MAX_BLOCK_ROWS", block_rows)
    monkeypatch.setattr(nearest, "_QUERIES_AT_ONCE", 16)
    matrix = random_matrix(300)
    matrix[17] = 0.0
    queries = random_matrix(n_queries, seed=2) * 5
    excluded = [[q, 299] for q in range(n_queries)]
    found = nearest_rows(matrix, row_lengths(matrix), queries, topn, excluded, least)
    for q in range(n_queries):
        expected = brute_force(matrix, queries[q], topn, excluded[q], least)
        assert found[q].rows.tolist() == expected
        assert (np.diff(found[q].similarities) <= 0).all()
        assert np.abs(found[q].similarities).max(initial=0) <= 1


def test_equal_similarities_are_in_the_order_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "_MIN_BLOCK_ROWS", 1)
    monkeypatch.setattr(nearest, "_MAX_BLOCK_ROWS", 4)
    matrix = np.tile(np.array([[1, 0], [0, 1]], np.float32), (10, 1))
    found = nearest_rows(matrix, row_lengths(matrix), matrix[:1], 5)
    assert found[0].rows.tolist() == [0, 2, 4, 6, 8]


def test_opposite_and_unrelated_words_come_last(tmp_path: Path) -> None:
    matrix = np.array([[1, 0], [-2, 0], [0, 0], [5, 0.1]], np.float32)
    model = lookup_model(tmp_path, ["a", "opposite", "zero", "near"], matrix)
    found = model.neighbors(["a"])[0]
    assert [near.token for near in found] == ["near", "zero", "opposite"]
    assert [near.similarity for near in found[1:]] == [0.0, -1.0]


def test_similarities_stay_within_one() -> None:
    # Rounding in float32 takes the product of two unit vectors above one for some of these.
    for vector in np.random.default_rng(3).standard_normal((100, 3)):
        matrix = np.outer(np.arange(1, 41), vector).astype(np.float32)
        found = nearest_rows(matrix, row_lengths(matrix), matrix[:1], 40)[0].similarities
        assert 1 - 1e-6 < found.min() <= found.max() <= 1.0


def test_a_query_of_zeros_has_no_answer_and_huge_values_no_overflow() -> None:
    matrix = random_matrix(10) * np.float32(1e25)
    queries = np.stack([np.zeros(8, np.float32), matrix[3]])
    found = nearest_rows(matrix, row_lengths(matrix), queries, 2)
    assert found[0].rows.size == 0
    assert found[1].rows[0] == 3
    assert np.isfinite(found[1].similarities).all()


# -- the files ---------------------------------------------------------------------------------


def test_vectors_counts_and_tokens_come_back(tmp_path: Path) -> None:
    matrix = random_matrix(len(WORDS))
    table = VectorTable.open(write(tmp_path, WORDS, matrix))
    np.testing.assert_array_equal(table.vectors, matrix)
    assert table.counts.tolist() == list(range(len(WORDS), 0, -1))
    assert table.tokens_of(np.arange(len(WORDS))) == list(WORDS)
    assert table.tokens_of(np.array([3, 0, 3])) == ["man", "the", "man"]
    assert len(table) == len(WORDS)
    with pytest.raises(ValueError, match="read-only"):
        table.vectors[0, 0] = 1


FILES = (
    "vectors.npy", "norms.npy", "counts.npy", "tokens.arrow", "hashes.npy", "slots.npy",
    "ngram_buckets.npy", "ngram_rows.npy", "lookup.json", "settings.json",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("left", [None, 0, 0.5, 0.99])
def test_a_cut_or_missing_file_is_named(tmp_path: Path, name: str, left: float | None) -> None:
    path = write(tmp_path, WORDS, random_matrix(len(WORDS)), has_ngrams=True) / name
    if left is None:
        path.unlink()
    else:
        os.truncate(path, int(path.stat().st_size * left))
    with pytest.raises(TableDamaged, match=name):
        VectorModel.open(tmp_path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, WORDS, random_matrix(len(WORDS))) / "lookup.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(TableDamaged, match="format 9; this code reads 1"):
        VectorModel.open(tmp_path)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_not_written(tmp_path: Path, wrong: float) -> None:
    matrix = random_matrix(len(WORDS))
    matrix[4, 2] = wrong
    with pytest.raises(QueryError, match="'woman' is not finite"):
        write(tmp_path, WORDS, matrix)
    with pytest.raises(TableDamaged):
        VectorModel.open(tmp_path)


def test_a_token_that_comes_twice_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="'b' has two vectors"):
        write(tmp_path, ["a", "b", "c", "d", "b"], random_matrix(5))


SHARED = """
import json, sys
from pathlib import Path
from nightjar.model.lookup import VectorTable

def private_kb():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))

import numpy as np
table = VectorTable.open(Path(sys.argv[1]))
np.ones((4, 4), np.float32) @ np.ones((4, 4), np.float32)
before = private_kb()
total = float(table.vectors.sum(dtype=np.float64))
print(json.dumps(total), flush=True)
sys.stdin.readline()  # until all processes have read everything
print(private_kb() - before, flush=True)
sys.stdin.readline()  # until all have counted: what one process alone maps is private
"""


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_four_processes_share_the_memory_of_one_model(tmp_path: Path) -> None:
    n_words = 50_000
    matrix = random_matrix(n_words, 256)  # 51 MB
    write(tmp_path, [f"w{number}" for number in range(n_words)], matrix, stretch=10_000)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SHARED, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT_ROOT,
        )
        for _ in range(4)
    ]
    totals = [json.loads(told(process)) for process in processes]
    for process in processes:
        tell(process, "count")
    growth = [int(told(process)) for process in processes]
    for process in processes:
        process.communicate("end\n", timeout=60)
    expected = float(matrix.sum(dtype=np.float64))
    assert totals == pytest.approx([expected] * 4)
    assert max(growth) < 5_000  # kB, of 51,000 that each has read


# -- questions ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VectorModel:
    return lookup_model(tmp_path_factory.mktemp("model"), WORDS)


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_neighbors_of_words_leave_out_the_word(model: VectorModel) -> None:
    found = model.neighbors(["king", "日本"], topn=3)
    vectors = model.vectors(WORDS)
    for word, answers in zip(["king", "日本"], found, strict=True):
        place = WORDS.index(word)
        expected = brute_force(vectors, vectors[place], 3, [place], None)
        assert [near.token for near in answers] == [WORDS[row] for row in expected]
        similarities = [cosine(vectors[place], vectors[row]) for row in expected]
        assert [near.similarity for near in answers] == pytest.approx(similarities, abs=1e-6)


def test_synonyms_are_all_neighbors_above_a_threshold(model: VectorModel) -> None:
    everything = model.neighbors(["king"], topn=len(WORDS))[0]
    least = everything[4].similarity
    assert model.neighbors(["king"], topn=len(WORDS), threshold=least)[0] == everything[:5]


def test_several_words_and_analogies_follow_3cosadd(model: VectorModel) -> None:
    units = {word: vector / np.linalg.norm(vector) for word, vector in
             zip(WORDS, model.vectors(WORDS), strict=True)}  # fmt: skip
    query = units["king"] + units["woman"] - units["man"]
    places = [WORDS.index(word) for word in ("king", "woman", "man")]
    expected = [WORDS[row] for row in brute_force(model.vectors(WORDS), query, 4, places, None)]
    together = model.neighbors_of_mean(["king", "woman"], ["man"], topn=4)
    assert [near.token for near in together] == expected
    analogy = model.analogies([("man", "king", "woman")], topn=4)[0]
    assert [near.token for near in analogy] == expected


def test_similarity_and_odd_one_out(tmp_path: Path) -> None:
    matrix = np.array([[1, 0], [1, 0.1], [0.9, 0], [0, 1]], np.float32)
    model = lookup_model(tmp_path, ["a", "b", "c", "odd"], matrix)
    assert model.similarities([("a", "c"), ("a", "odd")]).tolist() == pytest.approx([1, 0])
    assert model.odd_one_out(["a", "odd", "b", "c"]).word == "odd"


def test_clusters_are_the_two_topics_and_the_same_every_time() -> None:
    generator = np.random.default_rng(5)
    topics = np.eye(2, 6, dtype=np.float32)
    labels = generator.integers(0, 2, 60)
    rows = topics[labels] + generator.normal(0, 0.1, (60, 6)).astype(np.float32)
    found = cluster_rows(rows, 2, seed=1)
    assert found[0] == 0
    assert len(set(zip(labels.tolist(), found.tolist(), strict=True))) == 2
    np.testing.assert_array_equal(found, cluster_rows(rows, 2, seed=1))
    assert cluster_rows(rows[:1].repeat(5, axis=0), 3, seed=1).tolist() == [0] * 5


def test_encode_is_the_mean_of_the_known_words(model: VectorModel) -> None:
    found = model.encode(["The KING, the unheard-of king.", "naïve"], unknown="error")
    the, king, naive = model.vectors(["the", "king", "naïve"])
    np.testing.assert_allclose(found[0], (2 * the + 2 * king) / 4, rtol=1e-5)
    np.testing.assert_allclose(found[1], naive, rtol=1e-6)


def test_a_text_without_a_known_word(model: VectorModel) -> None:
    with pytest.raises(QueryError, match=r"1 of 2 texts .* item 1: nothing"):
        model.encode(["king", "nothing"])
    assert np.isnan(model.encode(["nothing"], unknown="nan")).all()
    assert not model.encode(["nothing", ""], unknown="zero").any()


def test_rank_puts_the_nearest_first_and_what_is_unknown_last(model: VectorModel) -> None:
    texts = ["nothing", "the man", "king!", "queen queen"]
    ranked = model.rank("A king.", texts)
    assert ranked[0] == (2, pytest.approx(1.0, abs=1e-6))
    assert ranked[-1] == (0, 0.0)
    assert sorted(place for place, _ in ranked) == [0, 1, 2, 3]


def test_no_items_are_no_answers(model: VectorModel) -> None:
    assert answer(model, [], {}).shape == (0, 8)
    assert answer(model, [], {"task": "neighbors"}) == []
    assert answer(model, [], {"task": "encode"}).shape == (0, 8)
    assert answer(model, [], {"task": "rank", "query": "king"}) == []


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("kin", "king"),
        ("qeuen", "queen"),
        ("paris", "Paris"),
        ("kingdomless", "king"),
        ("wooman", "woman"),
    ],
)
def test_an_unknown_word_gets_suggestions(model: VectorModel, word: str, meant: str) -> None:
    with pytest.raises(UnknownWords, match=f"{word}: did you mean {meant}") as caught:
        model.vectors(["king", word])
    assert caught.value.words == (word,)


@pytest.mark.parametrize("word", ["King", "KING", " king", "king.", "\uff2b\uff29\uff2e\uff27"])
def test_an_unknown_word_is_read_as_the_tokenizer_writes_it(model: VectorModel, word: str) -> None:
    assert model.read_as([word, "king", "Paris", "zebra"]) == ["king", "king", "Paris", "zebra"]
    np.testing.assert_array_equal(model.vectors([word]), model.vectors(["king"]))
    assert model.neighbors([word], 3) == model.neighbors(["king"], 3)
    assert model.neighbors_of_mean([word], ["queen"]) == model.neighbors_of_mean(
        ["king"], ["queen"]
    )
    assert model.analogies([(word, "queen", "the")]) == model.analogies([("king", "queen", "the")])
    assert model.similarities([(word, "king")]) == pytest.approx([1.0])
    assert model.clusters([word, "king"], 1) == [0, 0]
    assert model.odd_one_out([word, "king", "queen"]).word == "queen"
    (reading,) = model.readings([word])
    assert reading.remark == f"{word} is read as king"
    assert [known.remark for known in model.readings(["king", "Paris"])] == ["", ""]


def test_a_word_that_is_composed_or_unknown_says_of_what(tmp_path: Path) -> None:
    model = VectorModel.open(write(tmp_path, ["king", "the"], random_matrix(2), has_ngrams=True))
    assert model.subwords is not None
    n_known, n_ngrams = model.subwords.n_known("kingdom")
    assert 0 < n_known < n_ngrams
    (reading,) = model.readings(["kingdom"])
    assert reading.remark == (
        f"kingdom is not in the vocabulary: its vector is composed from {n_known} of its "
        f"{n_ngrams} n-grams"
    )
    assert model.subwords.n_known("x" * 1_001) == (0, 0)
    with pytest.raises(UnknownWords, match="None of its n-grams has a vector to compose one from"):
        model.vectors([""])
    with pytest.raises(UnknownWords, match=r"or a word is longer than 1,000 characters"):
        model.vectors(["x" * 1_001])


@pytest.mark.parametrize("word", ["", "zzzzzz", "\ud800", "a" * 5_000, "\n"])
def test_an_unknown_word_like_no_other_gets_none(model: VectorModel, word: str) -> None:
    with pytest.raises(UnknownWords) as caught:
        model.vectors([word])
    assert "did you mean" not in str(caught.value)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


def slow_distance(a: str, b: str) -> int:
    """Optimal string alignment, one cell at a time."""
    table = {(i, -1): i + 1 for i in range(-1, len(a))} | {
        (-1, j): j + 1 for j in range(-1, len(b))
    }
    for i, letter in enumerate(a):
        for j, other in enumerate(b):
            table[i, j] = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (letter != other)
            )
            if i and j and letter == b[j - 1] and a[i - 1] == other:
                table[i, j] = min(table[i, j], table[i - 2, j - 2] + 1)
    return table[len(a) - 1, len(b) - 1]


def test_edit_distances_are_those_of_the_textbook() -> None:
    generator = np.random.default_rng(1)
    words = ["".join(generator.choice(list("abc"), generator.integers(1, 8))) for _ in range(200)]
    for word in ["a", "abc", "cabab", "bbbbbbbb"]:
        expected = [slow_distance(word, other) for other in words]
        assert edit_distances(word, words).tolist() == expected
    assert edit_distances("a", []).tolist() == []


@pytest.mark.parametrize(
    ("items", "parameters", "message"),
    [
        (["king"], {"tpon": 3}, "no parameter 'tpon'; did you mean 'topn'"),
        (["king"], {"task": "sing"}, "task is 'sing', choose vector, neighbors"),
        (["king"], {"task": 3}, "task is 3"),
        (["king"], {"topn": 0}, "topn is 0"),
        (["king"], {"topn": 2.5}, "topn is 2.5, expected a whole number"),
        (["king"], {"topn": True}, "topn is True, expected a whole number"),
        (["king"], {"threshold": float("nan")}, "threshold is nan"),
        (["king"], {"threshold": 2}, "choose -1 to 1"),
        (["king"], {"seed": -1}, "seed is -1"),
        (["king"], {"negative": "man"}, "negative is 'man', expected a list"),
        (["king"], {"negative": [3]}, r"negative\[0\] is 3"),
        (["king"], {"together": 1}, "expected true or false"),
        (["king"], {"unknown": "zero"}, "choose error or nan"),
        (["king", 3], {}, r"item 1 is 3 \(int\), expected a word"),
        ([None], {"task": "encode"}, r"item 0 is None \(NoneType\), expected a text"),
        (["king", "man"], {"task": "analogy"}, "three words"),
        (["king"], {"task": "similarity"}, "two words"),
        (["king", "man"], {"task": "odd_one_out"}, "at least 3 words"),
        (["king"], {"task": "cluster", "n_clusters": 2}, "choose 1 to 1"),
        (["king"], {"task": "rank"}, "needs the parameter query"),
        ([], {"task": "neighbors", "together": True}, "no word is given"),
        ([[1.0, 2.0]], {"task": "neighbors"}, "item 0 is not a vector of 8 numbers"),
        ([[float("nan")] * 8], {"task": "neighbors"}, "not finite"),
        ([["a"] * 8], {"task": "neighbors"}, "item 0 is not a vector"),
        (["king", [0.5] * 8], {"task": "neighbors"}, "either words or vectors"),
        ([{"a": 1}], {}, "item 0 is {'a': 1}, expected a question"),
        ([0.5, 1.0], {"task": "neighbors"}, "item 0 is not a vector of 8 numbers"),
        ([{"items": ["king"]}, "king"], {}, "item 1 is 'king', expected a question"),
        ([{"items": "king"}], {}, "expected a question: an object with a list 'items'"),
        ([{"items": ["king"]}], {"topn": 3}, "their parameters belong into them"),
        ([{"items": [{"items": []}]}], {}, "has words, vectors or texts, no questions"),
        ([{"items": ["king"], "tsk": "odd"}], {}, "item 0: there is no parameter 'tsk'; did you"),
        ([{"items": ["xyzzy"]}], {}, "item 0: .* has no vector for 1 word"),
    ],
)
def test_a_wrong_question_says_what_is_wrong(
    model: VectorModel, items: list[Any], parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        answer(model, items, parameters)


def test_whole_questions_have_an_answer_each(model: VectorModel) -> None:
    first = {"items": ["king"], "task": "neighbors", "topn": 2}
    found = answer(model, [first, {"items": ["king", "queen"]}, {"items": []}], {})
    assert found[0] == answer(model, ["king"], {"task": "neighbors", "topn": 2})
    assert found[1] == answer(model, ["king", "queen"], {}).tolist()
    assert found[2] == []


def test_a_model_of_one_word(tmp_path: Path) -> None:
    model = lookup_model(tmp_path, ["alone"])
    assert model.neighbors(["alone"]) == [[]]
    assert answer(model, ["alone"], {"task": "cluster", "n_clusters": 1}) == [0]
    assert model.similarities([("alone", "alone")])[0] == pytest.approx(1, abs=1e-6)
