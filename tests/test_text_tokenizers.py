"""Sentences and tokens."""
# ruff: noqa: RUF001 (letters of many scripts are the matter here)

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightjar.config import TokenizeConfig
from nightjar.errors import ConfigError
from nightjar.model.tokenization import make_token_finder, make_word_finder
from nightjar.model.tokenization.character_classes import combining_characters
from nightjar.model.tokenization.sentences import make_sentence_splitter
from nightjar.model.tokenization.tokenizers import TOKENIZERS, make_tokenizer
from nightjar.stages.tokenize import tokens_identity

UDHR_DIR = Path(__file__).parents[2] / "shared" / "data" / "corpus" / "udhr"


def tokens_of(text: str, **config: Any) -> list[list[str]]:
    """Sentences of tokens, those without any left out."""
    settings = TokenizeConfig(**config)
    tokenizer = make_tokenizer(settings)
    sentences = map(tokenizer, make_sentence_splitter(settings)(text))
    return [sentence for sentence in sentences if sentence]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't stop the rock'n'roll", ["don't", "stop", "the", "rock'n'roll"]),
        ("DON’T and donʼt", ["don't", "and", "don't"]),
        ("'quoted' ‘words’ dogs' 'tis", ["quoted", "words", "dogs", "tis"]),
        (
            "state-of-the-art snake_case and/or",
            ["state", "of", "the", "art", "snake", "case", "and", "or"],
        ),
        ("pi is 3.14, not 1,000.5 or 7.", ["pi", "is", "3.14", "not", "1,000.5", "or", "7"]),
        ("v1.2 of a.b at 5pm", ["v1.2", "of", "a", "b", "at", "5pm"]),
        ("co\u00adoperate", ["cooperate"]),
        ("Straße ÉCOLE ﬁne Ｗｉｄｅ", ["straße", "école", "fine", "wide"]),
        ("cafe\u0301", ["caf\u00e9"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("می\u200cخواهم ١٢٫٥", ["می\u200cخواهم", "١٢٫٥"]),
        ("col·lecció צה״ל", ["col·lecció", "צה״ל"]),
        ("我爱你 ひら カタカナ 한국어", ["我", "爱", "你", "ひ", "ら", "カタカナ", "한국어"]),
        ("𠀀𠀁 and 𐐨𐐩", ["𠀀", "𠀁", "and", "𐐨𐐩"]),
        ("I ❤️ you 👍🏽 ☃", ["i", "you"]),
        ("... !? -- * \u0301", []),
    ],
)
def test_unicode_tokens(text: str, tokens: list[str]) -> None:
    found = [token for sentence in tokens_of(text) for token in sentence]
    assert found == tokens


def test_nfc_keeps_compatibility_characters_that_nfkc_folds() -> None:
    assert tokens_of("ﬁn m²", normalization="NFC") == [["ﬁn", "m", "²"]]
    assert tokens_of("ﬁn m²", normalization="forms") == [["fin", "m", "²"]]
    assert tokens_of("ﬁn m²", normalization="NFKC") == [["fin", "m2"]]
    assert tokens_of("cafe\u0301", normalization=None) == [["cafe\u0301"]]


def test_case_is_kept_when_asked_to() -> None:
    assert tokens_of("The ΟΔΟΣ", lowercase=False) == [["The", "ΟΔΟΣ"]]
    assert tokens_of("The ΟΔΟΣ", lowercase=True) == [["the", "οδος"]]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One two. Three four! Five? Six", ["One two.", "Three four!", "Five?", "Six"]),
        ("Say 'no.' Then (Yes!) “Go.” 3 came", ["Say 'no.'", "Then (Yes!)", "“Go.”", "3 came"]),
        ("see e.g. this and  etc.  that", ["see e.g. this and  etc.  that"]),
        ("J. Smith and Ö. Ek met. Then left", ["J. Smith and Ö. Ek met.", "Then left"]),
        ("a line\nanother\r\nthird\u2028fourth", ["a line", "another", "third", "fourth"]),
        ("你好。他说：「好！」然后走了", ["你好。", "他说：「好！」", "然后走了"]),
        ("क है। ख है। ग", ["क है।", "ख है।", "ग"]),
        ("3.14 is pi. www.x.org", ["3.14 is pi. www.x.org"]),
        ("Well... Yes… No", ["Well...", "Yes…", "No"]),
    ],
)
def test_sentence_boundaries(text: str, sentences: list[str]) -> None:
    config = TokenizeConfig(normalization=None, lowercase=False)
    assert make_sentence_splitter(config)(text) == sentences


def test_only_line_breaks_end_sentences_without_split_sentences() -> None:
    assert tokens_of("One. Two.\nThree. Four", split_sentences=False) == [
        ["one", "two"],
        ["three", "four"],
    ]


def test_whitespace_tokenizer_keeps_everything_between_spaces() -> None:
    assert tokens_of("New_York is big .\nYes!", tokenizer="whitespace", lowercase=False) == [
        ["New_York", "is", "big", "."],
        ["Yes!"],
    ]


def test_regex_tokenizer_takes_whole_matches_whatever_the_groups() -> None:
    text = "Mail a@b.org or c@d.org now"
    assert tokens_of(text, tokenizer="regex", pattern=r"[a-z]+@[a-z.]+") == [["a@b.org", "c@d.org"]]
    assert tokens_of(text, tokenizer="regex", pattern=r"([a-z]+)@(b|d)") == [["a@b", "c@d"]]
    assert tokens_of(text, tokenizer="regex", pattern=r"(?i)[A-Z]{4}") == [["mail"]]


@pytest.mark.parametrize("pattern", ["[a-z]*", "", "a|", r"\b", "(?=a)", "$"])
def test_pattern_that_matches_the_empty_string_is_refused_while_planning(pattern: str) -> None:
    config = TokenizeConfig(tokenizer="regex", pattern=pattern)
    with pytest.raises(ConfigError, match="matches the empty string"):
        tokens_identity(config, "0" * 12)


def test_every_tokenizer_of_the_config_exists() -> None:
    literal = TokenizeConfig.model_fields["tokenizer"].annotation
    assert set(TOKENIZERS) == set(literal.__args__)  # type: ignore[union-attr]


TEXTS = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from(list("aZ9 .,'’!-_\n\u0301\u093f\u200d我ひ́٫𝒜\U0001f600")),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(TEXTS)
def test_unicode_tokens_stand_in_the_normalised_text_in_order(text: str) -> None:
    config = TokenizeConfig()
    for sentence in make_sentence_splitter(config)(text):
        plain = sentence.replace("\u00ad", "")
        plain = plain.replace("\u2019", "'").replace("\u02bc", "'").replace("\uff07", "'")
        position = 0
        for token in make_tokenizer(config)(sentence):
            assert token
            position = plain.index(token, position) + len(token)
            assert unicodedata.category(token[0])[0] in "LN"
            assert not any(character.isspace() for character in token)


@settings(deadline=None)
@given(TEXTS)
def test_every_letter_and_digit_of_the_text_is_in_some_token(text: str) -> None:
    def letters(part: str) -> list[str]:
        return [character for character in part if unicodedata.category(character)[0] in "LN"]

    config = TokenizeConfig()
    tokenizer = make_tokenizer(config)
    for sentence in make_sentence_splitter(config)(text):
        expected = letters(sentence.replace("\u02bc", "'"))
        assert letters("".join(tokenizer(sentence))) == expected


@settings(deadline=None)
@given(TEXTS)
def test_splitting_sentences_loses_nothing_but_white_space(text: str) -> None:
    split = make_sentence_splitter(TokenizeConfig(normalization=None, lowercase=False))
    assert "".join("".join(split(text)).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("language", "words", "mean_length"),
    [("eng", ["everyone", "has", "the", "right", "to", "life"], (4, 6)), ("hin", ["है"], (3, 6)),
     ("rus", ["право", "на", "жизнь"], (5, 8)), ("cmn_hans", ["人", "权"], (1, 1.2)),
     ("ell_monotonic", ["δικαίωμα"], (4, 7)), ("kor", ["모든", "사람은"], (2, 4))],
)  # fmt: skip
def test_real_text_in_many_scripts(
    language: str, words: list[str], mean_length: tuple[float, float]
) -> None:
    path = UDHR_DIR / f"{language}.txt"
    if not path.is_file():
        pytest.skip("the shared UDHR texts are not here")
    sentences = tokens_of(path.read_text(encoding="utf-8"))
    tokens = [token for sentence in sentences for token in sentence]
    assert set(words) <= set(tokens)
    assert len(sentences) > 60
    assert mean_length[0] <= sum(map(len, tokens)) / len(tokens) <= mean_length[1]


def test_endless_combining_marks_end_after_thirty() -> None:
    """Sorting them takes time quadratic in their number: hours, for these."""
    config = TokenizeConfig(max_token_chars=100)
    text = "x a" + "\u0316\u0301" * 500_000 + " y " + "\u0344" * 1_000_000 + " z"
    found = make_token_finder(config)(text)
    assert [len(token.text) for token in found] == [1, 30, 1, 1]
    assert [text[token.start] for token in found] == ["x", "a", "y", "z"]
    assert make_word_finder(config)(text) == [token.text for token in found]


def test_combining_characters_are_all_that_begin_with_one_once_decomposed() -> None:
    """Or normalisation would still sort them, however many."""
    found = re.compile(f"[{combining_characters()}]")
    for code in (*range(0xD800), *range(0xE000, 0x110000)):
        decomposed = unicodedata.normalize("NFKD", chr(code))
        assert bool(found.match(chr(code))) == (unicodedata.combining(decomposed[0]) != 0)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("1½ cups, 5½ eggs", ["1", "½", "cups", "5", "½", "eggs"]),
        ("10² metres, 10⁻⁶, CO₂, x₁", ["10", "²", "metres", "10", "⁶", "co₂", "x₁"]),
        ("Xbox™ note¹ E=mc² №5 20℃ 5㎏", ["xbox", "note", "¹", "e", "mc", "²", "5", "20", "5"]),
        ("step①, ❷b, ⑽x, Henry Ⅷ", ["step", "①", "❷", "b", "⑽", "x", "henry", "ⅷ"]),
        (
            "ＡＢＣ１２ ｶﾞｰﾄﾞ ﬁne ﬂy ĳs ſee ǈub",
            ["abc12", "ガード", "fine", "fly", "ijs", "see", "ljub"],
        ),
        ("𝓯𝓪𝓷𝓬𝔂 𝐁𝐨𝐥𝐝𝟏 ℒ ﻛﺘﺎﺏ ⾦ µm և", ["fancy", "bold1", "l", "كتاب", "金", "μm", "և"]),
        ("press 2️⃣ or 3⃣, ©️ a\ufe0fb", ["press", "2", "or", "3", "ab"]),
        ("foo\u2060bar a\u200eb\u202cc x\u034fy", ["foobar", "abc", "xy"]),
        ("葛\U000e0100城 ᠭ\u180b", ["葛", "城", "ᠭ"]),
        ("x\u3164y \u3164 می\u200cخواهم", ["x", "y", "می\u200cخواهم"]),
        ("ﷺ محمدﷺ", ["ﷺ", "محمدﷺ"]),
    ],
)
def test_no_token_says_anything_else_than_its_text(text: str, tokens: list[str]) -> None:
    assert [token for sentence in tokens_of(text) for token in sentence] == tokens


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
def test_what_shows_nothing_is_removed_by_each_normal_form(form: str) -> None:
    assert tokens_of("2️⃣ 葛\U000e0100", normalization=form) == [["2", "葛"]]
