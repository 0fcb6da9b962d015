"""Counting phrases: the same however a corpus is cut, merged or put on disk."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from phrases_support import found_in, shards_of

from nightjar.config.tokenize import PhrasesConfig
from nightjar.stages.tokenize.phrases.counts import PhraseCounts, count_shard, merge_counts
from nightjar.stages.tokenize.phrases.passes import KnownWords, find_phrases
from nightjar.stages.tokenize.phrases.phrase_table import (
    PhraseIds,
    PhraseTable,
    SentenceIds,
    apply_phrases,
    from_arrow,
    index_phrases,
    new_words,
    to_arrow,
)
from nightjar.store import schemas


def as_counter(counts: PhraseCounts) -> Counter[tuple[int, ...]]:
    rows = np.arange(len(counts))
    candidates = list(counts.words_of(rows))
    assert len(set(candidates)) == len(candidates)
    return Counter(dict(zip(candidates, counts.counts.tolist(), strict=True)))


def counted_plainly(
    sentences: list[list[int]], connectors: frozenset[int]
) -> Counter[tuple[int, ...]]:
    found: Counter[tuple[int, ...]] = Counter()
    for sentence in sentences:
        starts = [at for at, word in enumerate(sentence) if word not in connectors]
        for start, end in pairwise(starts):
            found[tuple(sentence[start : end + 1])] += 1
    return found


def shard(sentences: list[list[int]]) -> SentenceIds:
    ids = np.array([word for sentence in sentences for word in sentence], np.int32)
    return SentenceIds(ids, np.cumsum([0, *map(len, sentences)]))


def count(sentences: list[list[int]], connectors: frozenset[int], n_words: int) -> PhraseCounts:
    is_connector = np.isin(np.arange(n_words), list(connectors))
    one = shard(sentences)
    return count_shard(one.ids, one.offsets, is_connector)


def same(one: PhraseCounts, other: PhraseCounts) -> bool:
    return (
        one.runs == other.runs
        and one.starts.tolist() == other.starts.tolist()
        and one.pairs.tolist() == other.pairs.tolist()
        and one.counts.tolist() == other.counts.tolist()
    )


NUMBERS = st.lists(st.lists(st.integers(0, 7), max_size=10), max_size=15)


@settings(deadline=None, max_examples=examples(50))
@given(
    NUMBERS,
    st.frozensets(st.integers(0, 7), max_size=4),
    st.lists(st.integers(0, 15), max_size=5),
    st.randoms(use_true_random=False),
)
def test_counts_do_not_depend_on_how_the_corpus_is_cut_nor_on_the_order_of_merging(
    sentences: list[list[int]], connectors: frozenset[int], cuts: list[int], order: random.Random
) -> None:
    whole = count(sentences, connectors, 8)
    edges = [0, *sorted(cuts), len(sentences)]
    parts = [count(sentences[start:end], connectors, 8) for start, end in pairwise(edges)]
    order.shuffle(parts)
    assert same(merge_counts(parts), whole)
    assert as_counter(whole) == counted_plainly(sentences, connectors)
    assert whole.runs == tuple(sorted(whole.runs))


def test_many_long_runs_of_connector_words_are_counted_exactly() -> None:
    chosen = random.Random(1)
    sentences = [[chosen.randrange(40) for _ in range(60)] for _ in range(200)]
    connectors = frozenset(range(30))
    counts = count(sentences, connectors, 40)
    assert len(counts.runs) > 1000
    assert as_counter(counts) == counted_plainly(sentences, connectors)
    table = PhraseTable(
        phrases=[str(candidate) for candidate in counts.words_of(np.arange(len(counts)))],
        tokens=[
            tuple(map(str, candidate)) for candidate in counts.words_of(np.arange(len(counts)))
        ],
        counts=counts.counts,
        scores=np.zeros(len(counts)),
    )
    vocabulary = KnownWords.of(map(str, range(40)), frozenset(map(str, connectors)))
    vocabulary = vocabulary.extended(table, frozenset(map(str, connectors)))
    index = index_phrases(PhraseIds.of(table, vocabulary.id_of), vocabulary.is_connector)
    one = shard(sentences)
    joined = apply_phrases(one.ids, one.offsets, index)
    # Every candidate is a phrase, so two words that are no connector words are never left.
    plain = (joined.ids < 40) & ~vocabulary.is_connector[joined.ids]
    sentence_of = np.repeat(np.arange(len(sentences)), np.diff(joined.offsets))
    assert max(Counter(sentence_of[plain].tolist()).values()) == 1


def test_ids_of_any_size_are_told_apart() -> None:
    ids = [0, 1, 2**16, 2**24, 2**24 + 1]
    sentences = [[a, b] for a in ids for b in ids] * 2
    assert as_counter(count(sentences, frozenset(), 2**24 + 2)) == counted_plainly(
        sentences, frozenset()
    )


def test_counts_merged_on_disk_are_those_merged_in_memory(tmp_path: Path) -> None:
    chosen = random.Random(2)
    parts = [
        count([[chosen.randrange(50) for _ in range(20)] for _ in range(50)], frozenset([0, 1]), 50)
        for _ in range(7)
    ]
    spilled = merge_counts(iter(parts), spill_dir=tmp_path / "spilled", max_bytes=4096)
    assert isinstance(spilled.pairs.base, np.ndarray)
    assert same(spilled, merge_counts(parts))
    # The files have no names: nothing stays behind when a process is killed.
    assert list((tmp_path / "spilled").iterdir()) == []


def test_small_counts_are_not_put_on_disk(tmp_path: Path) -> None:
    parts = [count([[0, 1]], frozenset(), 2)] * 2
    merge_counts(parts, spill_dir=tmp_path / "spilled")
    assert not (tmp_path / "spilled").exists()


@pytest.mark.parametrize("sentences", [[], [[]], [["of"], ["of", "of"], []], [["a"], [], ["b"]]])
def test_a_corpus_without_candidates_has_no_phrases(sentences: list[list[str]]) -> None:
    config = PhrasesConfig(min_count=1, threshold=0.01, connector_words=["of"], passes=2)
    found, joined = found_in(sentences, config)
    assert found.tables == []
    assert joined == sentences


def test_no_shards_at_all_have_no_phrases() -> None:
    found = find_phrases([], list, PhrasesConfig())
    assert (found.tables, found.vocabulary.words) == ([], [])


def test_phrases_found_with_counts_on_disk_are_the_same(tmp_path: Path) -> None:
    chosen = random.Random(3)
    sentences = [[chosen.choice("abcdef") for _ in range(9)] for _ in range(300)]
    config = PhrasesConfig(min_count=1, threshold=0.02, connector_words=["a"], passes=2)
    cuts = list(range(20, 300, 20))
    found, joined = found_in(sentences, config, cuts, spill_dir=tmp_path, max_bytes=64)
    whole, whole_joined = found_in(sentences, config)
    assert to_arrow(found.tables).equals(to_arrow(whole.tables))
    assert joined == whole_joined
    assert len(found.tables) == 2


def test_ids_of_known_words_stay_and_phrases_follow_them() -> None:
    sentences = [["x", "new", "york"]] * 3 + [["new_york", "y"]]
    config = PhrasesConfig(min_count=1, threshold=0.01)
    found, _ = found_in(sentences, config)
    words, shards = shards_of(sentences)
    assert found.vocabulary.words[: len(words)] == words
    # "new_york" is a word already: its id is taken, and it is not there twice.
    assert found.vocabulary.words.count("new_york") == 1
    assert found.vocabulary.words[len(words) :] == new_words(found.tables[0], words)
    (one,) = shards
    assert found.join(one).offsets.tolist() == [0, 2, 4, 6, 8]


def test_the_phrase_table_comes_back_from_parquet(tmp_path: Path) -> None:
    sentences = [["new", "york", "city"], ["new", "york"]] * 3
    found, _ = found_in(sentences, PhrasesConfig(min_count=1, threshold=0.3, passes=2))
    assert len(found.tables) == 2
    table = to_arrow(found.tables)
    assert table.schema.equals(schemas.PHRASES_SCHEMA)
    pq.write_table(table, tmp_path / "phrases.parquet")
    back = from_arrow(pq.read_table(tmp_path / "phrases.parquet"))
    assert to_arrow(back).equals(table)
    assert [one.tokens for one in back] == [one.tokens for one in found.tables]
    assert table.column("pass").to_pylist() == sorted(table.column("pass").to_pylist())


def test_an_empty_phrase_table_comes_back_from_arrow() -> None:
    table = to_arrow([])
    assert table.schema.equals(schemas.PHRASES_SCHEMA)
    assert from_arrow(table) == []
    assert from_arrow(pa.Table.from_batches([], schema=schemas.PHRASES_SCHEMA)) == []


def test_a_phrase_of_words_that_a_vocabulary_does_not_have_is_left_out() -> None:
    table = PhraseTable(["a_b", "c_d"], [("a", "b"), ("c", "d")], np.ones(2, int), np.ones(2))
    index = index_phrases(PhraseIds.of(table, {"a": 0, "b": 1, "a_b": 2}), np.zeros(3, np.bool_))
    joined = apply_phrases(np.array([0, 1, 1], np.int32), np.array([0, 3]), index)
    assert joined.ids.tolist() == [2, 1]


_BOUNDS_CHECKED = """
import numpy as np
from test_phrases_counts import *
test_many_long_runs_of_connector_words_are_counted_exactly()
test_phrases_found_with_counts_on_disk_are_the_same(Path(sys.argv[1]))
try:
    count_shard(np.array([3, 1], np.int32), np.array([0, 2]), np.zeros(2, np.bool_))
except IndexError:
    print("checked")
"""


def test_no_kernel_reads_or_writes_out_of_bounds(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BOUNDS_CHECKED, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env=os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_OPT": "0"},  # numba caches none of it
    )
    assert done.stdout.split() == ["checked"], done.stderr


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"threshold": 0.0}, "above 0"),
        ({"scoring": "npmi"}, "between -1 and 1"),
        ({"delimiter": " "}, "white space"),
        ({"delimiter": ""}, "at least 1"),
        ({"min_count": 0}, "greater than or equal to 1"),
        ({"connector_words": "german"}, "english"),
    ],
)
def test_settings_that_mean_nothing_are_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PhrasesConfig(**keys)  # type: ignore[arg-type]
