"""Where tokens stand in the raw text."""
# ruff: noqa: RUF001 (letters of many scripts are the matter here)

from __future__ import annotations

from typing import Any

import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_support import LANGUAGES, TOKENIZER_OF, config, declaration, declarations

from nightjar.config import TokenizeConfig
from nightjar.model.tokenization import (
    Token,
    make_normaliser,
    make_sentence_splitter,
    make_token_finder,
    make_word_finder,
    train_subword,
)
from nightjar.model.tokenization.sentences import make_sentence_finder
from nightjar.model.tokenization.tokenizers import _places

SPELLING = str.maketrans(
    {"\u2019": "'", "\u02bc": "'", "\u2010": "-", "\u00ad": None, "\u0e33": "\u0e4d\u0e32"}
)
"""What the tokenizers unicode and thai do to a word besides normalising it; sara am apart."""


def check_round_trip(text: str, settings_: TokenizeConfig, definition: str | None = None) -> None:
    normalise = make_normaliser(settings_)
    found = make_token_finder(settings_, definition)(text)
    assert [token.text for token in found] == make_word_finder(settings_, definition)(text)
    for token in found:
        raw = normalise(text[token.start : token.end])
        assert raw.translate(SPELLING) == token.text.removeprefix("▁").translate(SPELLING)
    ends = [token.end for token in found]
    assert all(end <= token.start for end, token in zip(ends, found[1:], strict=False))


@pytest.mark.parametrize("language", LANGUAGES)
def test_round_trip_of_the_declaration_of_human_rights(language: str) -> None:
    text = declaration(language)
    check_round_trip(text, config(TOKENIZER_OF.get(language, "unicode")))
    check_round_trip(text.upper(), config(normalization="NFC", hyphens="keep"))
    check_round_trip(text, config("whitespace", split_sentences=False))
    check_round_trip(text, config("regex", pattern=r"\S+"))


@pytest.mark.parametrize(
    ("language", "code"),
    [("eng", "en"), ("fra", "fr"), ("tur", "tr"), ("hin", "hi"), ("arb", "ar"), ("kor", None)],
)
def test_round_trip_of_spacy_s_tokens(language: str, code: str | None) -> None:
    check_round_trip(declaration(language), config("spacy", spacy_language=code))


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
def test_round_trip_of_pieces_less_their_mark(algorithm: str) -> None:
    settings_ = config("subword", subword_algorithm=algorithm, subword_vocabulary=2_000)
    definition = train_subword(settings_, declarations("eng", "fra", "cmn_hans"))
    for language in ("eng", "fra", "fin", "cmn_hans"):
        check_round_trip(declaration(language), settings_, definition)


@pytest.mark.parametrize(
    ("text", "keys", "tokens"),
    [
        ("ﬁne Ｗｉｄｅ", {}, [("fine", 0, 3), ("wide", 4, 8)]),
        ("cafe\u0301s x", {}, [("caf\u00e9s", 0, 6), ("x", 7, 8)]),
        ("İstanbul'da", {}, [("i\u0307stanbul'da", 0, 11)]),
        ("İ I", {"locale": "tr"}, [("i", 0, 1), ("ı", 2, 3)]),
        ("co\u00adop don’t", {}, [("coop", 0, 5), ("don't", 6, 11)]),
        ("½ km²", {"normalization": "NFKC"}, [("1", 0, 1), ("2", 0, 1), ("km2", 2, 5)]),
        (
            "ﷺ",
            {"normalization": "NFKC"},
            [("صلى", 0, 1), ("الله", 0, 1), ("عليه", 0, 1), ("وسلم", 0, 1)],
        ),
        ("각 \u1100\u1161\u11a8 x", {}, [("각", 0, 1), ("각", 2, 5), ("x", 6, 7)]),
        ("ガ㌔", {"normalization": "NFKC"}, [("ガキロ", 0, 2)]),
        (
            "1½ \ufb01ne 2\ufe0f\u20e3x",
            {},
            [("1", 0, 1), ("½", 1, 2), ("fine", 3, 6), ("2x", 7, 11)],
        ),
        ("ทำน้ำ", {"tokenizer": "thai"}, [("ทำ", 0, 2), ("น้ำ", 2, 5)]),
        ("Straße", {"casefold": True}, [("strasse", 0, 6)]),
        ("A. \r\n\n B.\u2028C", {}, [("a", 0, 1), ("b", 7, 8), ("c", 10, 11)]),
        ("a bb ccc", {"min_token_chars": 2, "max_token_chars": 2}, [("bb", 2, 4)]),
    ],
)
def test_places_are_those_of_the_raw_text(
    text: str, keys: dict[str, Any], tokens: list[tuple[str, int, int]]
) -> None:
    assert make_token_finder(config(**keys))(text) == [Token(*token) for token in tokens]


TEXTS = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from(
            list("aIİßΣΐ9 .,'’!-\n\r\u2028\u0301\u0307\u0323\u0345\u093f\u200d")
            + list("我、。が\u3099ｶﾞ½ﬁ\u1100\u1161\u11a8\U000e0100")
        ),
    ),
    max_size=50,
)  # fmt: skip
KEYS = st.fixed_dictionaries(
    {
        "normalization": st.sampled_from(["forms", "NFC", "NFKC", None]),
        "lowercase": st.just(value=True),
        "casefold": st.booleans(),
        "locale": st.sampled_from([None, "tr", "lt"]),
        "split_sentences": st.booleans(),
    }
)


@settings(deadline=None, max_examples=examples(100))
@given(TEXTS, KEYS)
def test_sentences_and_characters_are_found_where_they_came_from(
    text: str, keys: dict[str, Any]
) -> None:
    settings_ = TokenizeConfig.model_validate(keys)
    normalise = make_normaliser(settings_)
    spans = make_sentence_finder(settings_)(text)
    assert [normalise(text[start:end]) for start, end in spans] == (
        make_sentence_splitter(settings_)(text)
    )
    for start, end in spans:
        raw = text[start:end]
        starts, ends = _places(raw, normalise)
        assert len(starts) == len(ends) == len(normalise(raw))
        assert starts == sorted(starts)
        assert ends == sorted(ends)


@settings(deadline=None, max_examples=examples(100))
@given(TEXTS, KEYS)
def test_tokens_are_those_of_the_word_finder(text: str, keys: dict[str, Any]) -> None:
    settings_ = TokenizeConfig.model_validate(keys)
    found = make_token_finder(settings_)(text)
    assert [token.text for token in found] == make_word_finder(settings_)(text)
    assert all(0 <= token.start < token.end <= len(text) for token in found)
