"""The tokenize stage: documents in, sentences of ranks and a vocabulary out."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage_support import context_of

from nightjar.config import TokenizeConfig
from nightjar.errors import VocabularyError
from nightjar.model.tokenization.sentences import make_sentence_splitter
from nightjar.model.tokenization.tokenizers import make_tokenizer
from nightjar.stages.tokenize import cutting, tokenize, tokenize_stage, tokens_identity
from nightjar.stages.tokenize.ranking import Ranking, ranks_of
from nightjar.store import Artifact, Identity, Staging, Store, publish, schemas
from nightjar.wording import counted


def publish_documents(root: Path, texts: Sequence[str]) -> Artifact:
    """A documents artifact whose documents are called d0, d1, ..."""
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    table = pa.table(
        {
            "doc_id": [f"d{number}" for number in range(len(texts))],
            "source": ["test"] * len(texts),
            "text": list(texts),
            "content_sha256": digests,
            "n_chars": list(map(len, texts)),
            "language": [None] * len(texts),
        },
        schema=schemas.DOCUMENTS_SCHEMA,
    )
    identity = Identity(schemas.DOCUMENTS, "", {"content": digests})
    ref = publish(root, identity, lambda staging: staging.write("documents", table))
    return Store(root).open(ref)


def publish_tokens(root: Path, texts: Sequence[str], **config: Any) -> Artifact:
    """Tokenize ``texts``; the artifact is whole, or the test fails."""
    settings_ = TokenizeConfig(**config)
    documents = publish_documents(root, texts)

    def write(staging: Staging) -> None:
        tokenize(settings_, documents, context_of(staging))

    ref = publish(root, tokens_identity(settings_, documents.ref.version), write)
    assert Store(root).verify(ref) == []
    return Store(root).open(ref)


def words_of(tokens: Artifact) -> list[tuple[str, int, list[str]]]:
    """Document, number and words of each sentence."""
    vocabulary = tokens.read("vocabulary").column("token").to_pylist()
    return [
        (row["doc_id"], row["sentence"], [vocabulary[number] for number in row["token_ids"]])
        for row in tokens.read("sentences").to_pylist()
    ]


def test_documents_become_numbered_sentences_of_words(tmp_path: Path) -> None:
    texts = ["The cat sat. The dog ran!\n***\nBye.", "", "The end"]
    tokens = publish_tokens(tmp_path, texts)
    assert words_of(tokens) == [
        ("d0", 0, ["the", "cat", "sat"]),
        ("d0", 1, ["the", "dog", "ran"]),
        ("d0", 2, ["bye"]),
        ("d2", 0, ["the", "end"]),
    ]
    assert tokens.manifest.counts == {
        "documents_read": 3,
        "documents_without_tokens": 1,
        "sentences": 4,
        "tokens": 9,
        "token_too_long": 0,
        "token_too_short": 0,
        "vocabulary": 7,
    }


def test_ids_are_ranks_by_count_then_code_points(tmp_path: Path) -> None:
    texts = ["b a Z c ä c b", "c \U0001d4b3 z ﬀ", "b"]
    tokens = publish_tokens(tmp_path, texts, lowercase=False, normalization=None)
    assert tokens.read("vocabulary").to_pydict() == {
        "token_id": [0, 1, 2, 3, 4, 5, 6, 7],
        "token": ["b", "c", "Z", "a", "z", "ä", "ﬀ", "\U0001d4b3"],
        "count": [3, 3, 1, 1, 1, 1, 1, 1],
        "n_documents": [2, 2, 1, 1, 1, 1, 1, 1],
    }


def test_tables_have_the_declared_schemas(tmp_path: Path) -> None:
    tokens = publish_tokens(tmp_path, ["a b"])
    assert tokens.read("sentences").schema == schemas.SENTENCES_SCHEMA
    assert tokens.read("vocabulary").schema == schemas.VOCABULARY_SCHEMA


def test_too_short_and_too_long_tokens_are_dropped_and_counted(tmp_path: Path) -> None:
    texts = ["a bb ccc dddd a. Eeeee", "a"]
    tokens = publish_tokens(tmp_path, texts, min_token_chars=2, max_token_chars=3)
    assert words_of(tokens) == [("d0", 0, ["bb", "ccc"])]
    counts = tokens.manifest.counts
    assert (counts["token_too_short"], counts["token_too_long"]) == (3, 2)
    assert (counts["documents_without_tokens"], counts["tokens"]) == (1, 2)
    assert tokens.read("vocabulary").column("token").to_pylist() == ["bb", "ccc"]
    assert "(3)" in tokens.manifest.report["dropped"]["token_too_long"]


def test_empty_matches_of_a_pattern_count_as_too_short(tmp_path: Path) -> None:
    tokens = publish_tokens(tmp_path, ["q12 q"], tokenizer="regex", pattern=r"(?<=q)\d*")
    assert words_of(tokens) == [("d0", 0, ["12"])]
    assert tokens.manifest.counts["token_too_short"] == 1


def test_a_token_of_a_million_characters_is_dropped(tmp_path: Path) -> None:
    tokens = publish_tokens(tmp_path, ["short " + "x" * 1_000_000])
    assert words_of(tokens) == [("d0", 0, ["short"])]
    assert tokens.manifest.counts["token_too_long"] == 1


def test_a_vocabulary_of_one_word(tmp_path: Path) -> None:
    tokens = publish_tokens(tmp_path, ["buffalo Buffalo BUFFALO"])
    assert tokens.read("vocabulary").to_pylist() == [
        {"token_id": 0, "token": "buffalo", "count": 3, "n_documents": 1}
    ]
    assert words_of(tokens) == [("d0", 0, ["buffalo"] * 3)]


@pytest.mark.parametrize("texts", [[], [""], ["...", "!\n?", "👍🏽 ☃"], ["\u0301"]])
def test_no_token_at_all_says_how_many_documents_were_read(
    tmp_path: Path, texts: list[str]
) -> None:
    n_documents = counted(len(texts), "document") + r" \("
    with pytest.raises(VocabularyError, match=rf"no token is left of {n_documents}"):
        publish_tokens(tmp_path, texts)
    assert Store(tmp_path).versions(schemas.TOKENS) == []
    assert list((tmp_path / schemas.TOKENS).iterdir()) == []


def test_every_token_dropped_says_why(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match=r"too short: 2, as too long: 0.*min_token_chars"):
        publish_tokens(tmp_path, ["a b"], min_token_chars=2)


TEXTS = [
    "One fish. Two fish!\nRed fish", "", "Blue fish?", "...", "fish " * 7, "A. B. C", "two two one",
]  # fmt: skip


@pytest.mark.parametrize(("batch_tokens", "batch_documents"), [(1, 100), (4, 100), (10_000, 2)])
def test_many_small_batches_give_the_same_result_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_tokens: int, batch_documents: int
) -> None:
    whole = publish_tokens(tmp_path / "whole", TEXTS)
    monkeypatch.setattr(cutting, "BATCH_TOKENS", batch_tokens)
    monkeypatch.setattr(cutting, "BATCH_DOCUMENTS", batch_documents)
    monkeypatch.setattr(cutting, "READ_ROWS", 1)
    parts = publish_tokens(tmp_path / "parts", TEXTS)
    for table in ("sentences", "vocabulary"):
        assert parts.read(table).equals(whole.read(table))
    assert parts.manifest.counts == whole.manifest.counts


def test_the_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    first = publish_tokens(tmp_path / "first", TEXTS)
    second = publish_tokens(tmp_path / "second", TEXTS)
    assert first.manifest.files == second.manifest.files
    assert first.ref.version == second.ref.version


def test_identity_hangs_on_config_documents_and_unicode_version() -> None:
    config = TokenizeConfig()
    identity = tokens_identity(config, "a" * 12)
    assert identity.parents == {"documents": "a" * 12}
    assert identity.code == {
        "revision": tokenize_stage.REVISION,
        "unicode": unicodedata.unidata_version,
    }
    assert identity.config == config.shaping()
    others = {
        tokens_identity(config, "b" * 12).version,
        tokens_identity(TokenizeConfig(lowercase=False), "a" * 12).version,
        identity.version,
    }
    assert len(others) == 3


def test_progress_adds_up_to_every_document_and_token(tmp_path: Path) -> None:
    class Recorder:
        def __init__(self) -> None:
            self.phases: list[list[float | str | None]] = []

        def start(self, label: str, total: float | None, unit: str) -> None:
            self.phases.append([label, unit, total, 0])

        def advance(self, amount: float, note: str = "") -> None:
            self.phases[-1][3] += amount  # type: ignore[operator]

    documents = publish_documents(tmp_path, TEXTS)
    config = TokenizeConfig()
    recorder = Recorder()
    publish(
        tmp_path,
        tokens_identity(config, documents.ref.version),
        lambda staging: tokenize(config, documents, context_of(staging, progress=recorder)),
    )
    assert recorder.phases == [
        ["tokenize", "documents", 7, 7],
        ["rank tokens", "tokens", 21, 21],
    ]


@settings(deadline=None, max_examples=examples(25), suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.text(st.sampled_from("ab' .!\nÄ我3"), max_size=30), max_size=8).filter(
        lambda texts: any(character.isalnum() for text in texts for character in text)
    )
)
def test_stage_agrees_with_a_plain_loop(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    config = TokenizeConfig(max_token_chars=4)
    split, tokenizer = make_sentence_splitter(config), make_tokenizer(config)
    expected = []
    counts: Counter[str] = Counter()
    n_documents: Counter[str] = Counter()
    for number, text in enumerate(texts):
        kept = [[token for token in tokenizer(part) if len(token) <= 4] for part in split(text)]
        kept = [sentence for sentence in kept if sentence]
        expected += [(f"d{number}", place, sentence) for place, sentence in enumerate(kept)]
        counts.update(token for sentence in kept for token in sentence)
        n_documents.update({token for sentence in kept for token in sentence})
    if not expected:
        return
    tokens = publish_tokens(tmp_path_factory.mktemp("stage"), texts, max_token_chars=4)
    assert words_of(tokens) == expected
    vocabulary = tokens.read("vocabulary").to_pylist()
    ranked = sorted(counts, key=lambda token: (-counts[token], token))
    assert [row["token"] for row in vocabulary] == ranked
    assert [row["count"] for row in vocabulary] == [counts[token] for token in ranked]
    assert [row["n_documents"] for row in vocabulary] == [n_documents[token] for token in ranked]


def test_sentences_of_a_document_are_numbered_from_zero(tmp_path: Path) -> None:
    tokens = publish_tokens(tmp_path, ["A x. B! C? D", "E", "", "F x. G"])
    rows = tokens.read("sentences").to_pylist()
    for _, of_document in groupby(rows, key=lambda row: row["doc_id"]):
        numbers = [row["sentence"] for row in of_document]
        assert numbers == list(range(len(numbers)))
    assert [row["doc_id"] for row in rows] == ["d0"] * 4 + ["d1"] + ["d3"] * 2


def test_ranks_are_looked_up_piece_by_piece() -> None:
    tokens = pa.chunked_array([["c", "a"], ["x", "d"]])
    ranked = [pa.array(["a", "b"]), pa.array([], pa.string()), pa.array(["c", "d", "e"])]
    assert ranks_of(tokens, ranked).tolist() == [2, 0, -1, 3]
    assert ranks_of(pa.chunked_array([[]], pa.string()), ranked).tolist() == []


@pytest.mark.parametrize("n_rows", [0, 1, 3, 1000])
def test_vocabularies_are_added_up_whenever_enough_wait(
    n_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightjar.stages.tokenize.ranking.MERGED_ROWS", n_rows)
    words = [["b", "a"], [], ["c", "b", "d"], ["a"], ["e", "b"]]
    shards = [
        pa.table([part, [1] * len(part), [2] * len(part)], schema=schemas.SHARD_VOCABULARY_SCHEMA)
        for part in words
    ]
    found = Ranking.of(iter(shards)).table.to_pydict()
    assert found["token"] == ["b", "a", "c", "d", "e"]
    assert found["count"] == [3, 2, 1, 1, 1]
    assert found["n_documents"] == [6, 4, 2, 2, 2]
    assert found["token_id"] == [0, 1, 2, 3, 4]
