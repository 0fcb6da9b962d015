"""Near duplicates: what signatures estimate, and which documents are dropped for them."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from corpus_support import Ingested, run_ingest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightjar.stages.ingest import duplicates
from nightjar.stages.ingest.duplicates import Bands, RepeatedKeys, signatures_of

WORDS = [f"word{number}" for number in range(2_000)]
NEAR = {"near_duplicates": {"threshold": 0.8, "shingle": 5}}


def shingles(text: str, n_words: int) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + n_words]) for i in range(max(1, len(words) - n_words + 1))}


def jaccard(one: str, other: str, n_words: int = 5) -> float:
    a, b = shingles(one, n_words), shingles(other, n_words)
    return len(a & b) / len(a | b)


def changed(rng: random.Random, text: str, n_words: int) -> str:
    words = text.split()
    for place in rng.sample(range(len(words)), n_words):
        words[place] = rng.choice(WORDS)
    return " ".join(words)


def agreement(*texts: str, n_words: int = 5) -> float:
    one, other = signatures_of(pa.array(texts, pa.large_string()), n_words)
    return float((one == other).mean())


def test_signatures_estimate_the_jaccard_similarity_of_shingles() -> None:
    rng = random.Random(1)
    errors = []
    for n_words, n_changed in ((30, 1), (100, 2), (100, 10), (800, 5), (800, 60)) * 40:
        one = " ".join(rng.choices(WORDS, k=n_words))
        other = changed(rng, one, n_changed)
        errors.append(agreement(one, other) - jaccard(one, other))
    assert abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 0.05  # sqrt(0.25 / 128) is 0.044


@pytest.mark.parametrize(
    ("one", "other", "n_words"),
    [
        ("The Cat, sat!", "the cat sat", 5),
        ("ÄRGER über Öl", "ÄRGER... über (Öl)", 2),
        ("我喜歡貓", "我 喜 歡 貓", 2),
        ("ฉันรัก", "ฉ ั น ร ั ก", 2),
        ("one", "ONE.", 5),
    ],
)
def test_only_words_count(one: str, other: str, n_words: int) -> None:
    assert agreement(one, other, n_words=n_words) == 1


@pytest.mark.parametrize(
    ("one", "other"), [("a b", "b a"), ("ab c", "a bc"), ("é", "è"), ("x", "x x")]
)
def test_other_words_give_other_signatures(one: str, other: str) -> None:
    assert agreement(one, other) < 0.1


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.95, 1.0])
def test_bands_meet_nearly_always_at_the_threshold(threshold: float) -> None:
    bands = Bands.of(threshold)
    assert 1 - (1 - threshold**bands.n_rows) ** bands.n_bands >= 0.99
    assert bands.n_bands * bands.n_rows <= 128


def ingest_texts(tmp_path: Path, texts: list[str], **settings_: object) -> Ingested:
    rows = "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts))
    (tmp_path / "a.jsonl").write_text(rows, encoding="utf-8")
    source = {"s": {"type": "jsonl", "path": "a.jsonl", "id_field": "id"}}
    return run_ingest(tmp_path, source, **settings_)


def test_texts_that_are_nearly_the_same_are_dropped_and_name_the_first(tmp_path: Path) -> None:
    rng = random.Random(2)
    texts = [" ".join(rng.choices(WORDS, k=200)) for _ in range(50)]
    near = [changed(rng, text, 1) for text in texts[:20]]
    far = [changed(rng, text, 60) for text in texts[20:40]]
    result = ingest_texts(tmp_path, [*texts, *near, *far], **NEAR)
    assert result.texts == texts + far
    rows = [row for row in result.quarantine if row["reason"] == "near_duplicate"]
    assert [row["detail"].split(",")[0] for row in rows] == [f"s:{i}" for i in range(20)]
    similarity = float(rows[0]["detail"].split()[-1])
    assert abs(similarity - jaccard(texts[0], near[0])) < 0.15
    assert result.counts["quarantined_near_duplicate"] == 20
    assert ingest_texts(tmp_path, [*texts, *near]).counts["documents_kept"] == 70


def test_a_chain_is_compared_with_what_is_kept(tmp_path: Path) -> None:
    """The third is like the second, which is dropped, but not like the first."""
    rng = random.Random(3)
    first = " ".join(rng.choices(WORDS, k=400))
    second = changed(rng, first, 6)
    third = changed(rng, second, 18)
    assert jaccard(first, second) > 0.85
    assert jaccard(first, third) < 0.65
    assert ingest_texts(tmp_path, [first, second, third], **NEAR).texts == [first, third]


def test_texts_without_a_word_are_no_duplicates_of_each_other(tmp_path: Path) -> None:
    assert ingest_texts(tmp_path, ["!!!", "???", "..."], **NEAR).texts == ["!!!", "???", "..."]


def test_the_threshold_alone_reads_nothing_again(tmp_path: Path) -> None:
    texts = ["one two three four five six seven", "eight nine ten"]
    ingest_texts(tmp_path, texts, **NEAR)
    (tmp_path / "artifacts" / "document_shards" / "marker").touch()
    published = sorted((tmp_path / "artifacts" / "document_shards").iterdir())
    ingest_texts(tmp_path, texts, near_duplicates={"threshold": 0.9, "shingle": 5})
    assert sorted((tmp_path / "artifacts" / "document_shards").iterdir()) == published


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=60),
    st.sampled_from([1, 2, 7, 1_000]),
)
def test_repeated_keys_are_found_however_few_fit_into_memory(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[int, int]], n_in_memory: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "KEYS_IN_MEMORY", n_in_memory)
        directory = tmp_path_factory.mktemp("keys") / "spilled"
        with RepeatedKeys(len(pairs), directory) as repeated:
            for start in range(0, len(pairs), 5):
                part = pairs[start : start + 5]
                keys = np.array([key for key, _ in part], np.uint64) * np.uint64(2**60 - 1)
                repeated.add(keys, np.array([row for _, row in part], np.int64))
            found = {row for rows in repeated.rows() for row in rows.tolist()}
    assert not directory.exists()
    assert found == {
        row for key, row in pairs if any(key == other and row != at for other, at in pairs)
    }
