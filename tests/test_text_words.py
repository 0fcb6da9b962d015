"""The kernel that cuts words gives what the tokenizer in Python gives, on any text."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from nightjar.config import TokenizeConfig
from nightjar.model.tokenization import make_sentence_splitter, make_tokenizer
from nightjar.stages.tokenize import word_ids as words
from nightjar.stages.tokenize.word_ids import WordCutter

DATA = Path(__file__).parents[2] / "shared" / "data"
CONFIGS = [
    TokenizeConfig(**options)
    for options in (
        {},
        {"lowercase": False},
        {"normalization": None},
        {"normalization": "NFKC"},
        {"normalization": "NFC", "hyphens": "keep"},
        {"hyphens": "keep", "apostrophes": "split"},
        {"split_sentences": False},
        {"min_token_chars": 2, "max_token_chars": 5},
        {"casefold": True},
        {"locale": "tr"},
    )
]
MARKS = (
    " .!?'\"()[]\\,-_\n\r\t\x85\x1c\u2028\u00a0\u2019\u2026\u02bc\uff07\u00b7\u200c"
    "\u00ad\u2010\u2011"
    "\u3002\uff01\u203c\u0964abAB19\u00e9\u0301\u0130\u03a3\u03c3\u00df\u0661\u066b\u00bd\u4e00\u3042"
    "\u30ab\u1100\u1161\uac00\u0e01\u0915\u093f\U0001d4b3\U00010400"
)
Sentence = tuple[int, list[str]]


def by_kernel(config: TokenizeConfig, texts: Sequence[str], n_at_once: int) -> list[Sentence]:
    """Document and words of each sentence that has any."""
    cutter = WordCutter(config, lambda: (make_sentence_splitter(config), make_tokenizer(config)))
    column = pa.array(texts, pa.large_string())
    found = []
    for first in range(0, len(texts), n_at_once):
        batch = cutter.cut(column.slice(first, n_at_once))
        ends = np.cumsum(batch.lengths)
        for document, start, end in zip(
            (batch.documents + first).tolist(), ends - batch.lengths, ends, strict=True
        ):
            found.append((document, batch.ids[start:end].tolist()))
    table = cutter.vocabulary()
    tokens = table.column("token").to_pylist()
    sentences = [(document, [tokens[number] for number in ids]) for document, ids in found]
    counts = np.bincount([n for _, ids in found for n in ids], minlength=len(tokens))
    assert table.column("count").to_pylist() == counts.tolist()
    pairs = {(document, word) for document, sentence in sentences for word in sentence}
    n_documents = [sum(word == token for _, word in pairs) for token in tokens[:5]]
    assert table.column("n_documents").to_pylist()[:5] == n_documents
    return sentences


def in_python(config: TokenizeConfig, texts: Sequence[str]) -> list[Sentence]:
    split, tokenize = make_sentence_splitter(config), make_tokenizer(config)
    lengths = range(config.min_token_chars, config.max_token_chars + 1)
    found = []
    for document, text in enumerate(texts):
        for sentence in split(text):
            kept = [token for token in tokenize(sentence) if len(token) in lengths]
            if kept:
                found.append((document, kept))
    return found


@settings(deadline=None, max_examples=examples(100))
@given(
    st.lists(st.text(st.sampled_from(MARKS) | st.characters(exclude_categories=["Cs"]))),
    st.sampled_from(CONFIGS),
    st.sampled_from([1, 3, 1_000]),
)
def test_any_text_is_cut_alike(texts: list[str], config: TokenizeConfig, n_at_once: int) -> None:
    assert by_kernel(config, texts, n_at_once) == in_python(config, texts)


@pytest.mark.parametrize(
    "config", [CONFIGS[0], CONFIGS[2], CONFIGS[4]], ids=lambda config: str(config.shaping())[14:40]
)
def test_every_character_of_the_basic_plane_is_cut_alike(config: TokenizeConfig) -> None:
    """Of Han, Hangul and private use, which are alike, a sample."""
    alike = (range(0x3400, 0xA000), range(0xAC00, 0xD7A4), range(0xE000, 0xF900))
    sampled = {code for stretch in alike for code in stretch[2:-2] if code % 41}
    codes = (code for code in range(0x10000) if not 0xD800 <= code < 0xE000)
    characters = [chr(code) for code in codes if code not in sampled]
    texts = [f"a{sign}b. {sign}C{sign}1{sign}2 {sign}. {sign} d.{sign}" for sign in characters]
    assert by_kernel(config, texts, 10_000) == in_python(config, texts)


def test_marks_in_any_order_are_cut_alike() -> None:
    rng = random.Random(1)
    for config in CONFIGS:
        texts = ["".join(rng.choices(MARKS, k=rng.randrange(30))) for _ in range(600)]
        assert by_kernel(config, texts, 100) == in_python(config, texts)


@pytest.mark.skipif(not DATA.is_dir(), reason="there is no ../shared/data")
def test_declarations_in_nineteen_languages_and_film_reviews_are_cut_alike() -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted(DATA.glob("corpus/udhr/*.txt"))]
    assert len(texts) >= 19
    reviews = pq.read_table(DATA / "imdb" / "reviews-00.parquet", columns=["text"])
    texts += reviews.column("text").to_pylist()[:1_000]
    for config in CONFIGS[:3]:
        assert by_kernel(config, texts, 1_000) == in_python(config, texts)


def test_tables_grow_with_the_vocabulary(monkeypatch: Any) -> None:
    monkeypatch.setattr(words, "_FIRST_TOKENS", 2)
    monkeypatch.setattr(words, "_FIRST_CHARACTERS", 4)
    texts = [f"word{number} word{number // 2} {'long' * 30}é" for number in range(500)]
    config = TokenizeConfig(max_token_chars=1_000)
    assert by_kernel(config, texts, 7) == in_python(config, texts)


def test_plain_text_needs_no_python() -> None:
    def never() -> Any:
        raise AssertionError("the kernel should do this")

    cutter = WordCutter(TokenizeConfig(), never)
    batch = cutter.cut(
        pa.array(
            ["A na\u00efve \u201ctest\u201d \u2013 it\u2019s\u2026 Gr\u00f6\u00dfe. \u0414\u0430!"],
            pa.large_string(),
        )
    )
    assert batch.lengths.tolist() == [4, 1, 1]
