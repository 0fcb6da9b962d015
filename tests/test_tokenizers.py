"""Tokenizers of many languages, their options and their libraries."""
# ruff: noqa: RUF001 (letters of many scripts are the matter here)

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizer_support import LANGUAGES, TOKENIZER_OF, config, declaration, words

from nightjar.config import TokenizeConfig
from nightjar.model.tokenization import (
    LibraryMissing,
    TokenizerError,
    dictionary_words,
    make_sentence_splitter,
    make_tokenizer,
)
from nightjar.model.tokenization.dictionary_words import MAX_CHARS

# -- words of the world ------------------------------------------------------------------

FIRST_ARTICLE = {
    "arb": "الناس متساوين في الكرامة والحقوق",
    "ben": "মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার",
    "cmn_hans": "人人 自由 尊严 权利 平等 教育 国家 享有",
    "cmn_hant": "人人 自由 尊嚴 權利 平等 教育 國家 享有",
    "ell_monotonic": "όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι",
    "eng": "all human beings are born free and equal in dignity",
    "fin": "kaikki ihmiset syntyvät vapaina ja tasavertaisina",
    "fra": "tous les êtres humains naissent libres et égaux en dignité l'homme",
    "heb": "כל בני האדם נולדו בני חורין ושווים",
    "hin": "सभी मनुष्यों को गौरव और अधिकारों के",
    "jpn": "人間 は 自由 尊厳 権利 平等 教育 国家 すべて",
    "kor": "모든 인간은 태어날 때부터 자유로우며",
    "pol": "wszyscy ludzie rodzą się wolni i równi",
    "rus": "все люди рождаются свободными и равными",
    "spa": "todos los seres humanos nacen libres e iguales",
    "tam": "மனிதப் பிறிவியினர் சகலரும் உரிமைகளையும்",
    "tha": "มนุษย์ ทั้งหลาย เกิด มา และ เสมอภาค ใน สิทธิ",
    "tur": "bütün insanlar hür haysiyet ve haklar bakımından eşit",
    "vie": "tất cả mọi người sinh ra đều được tự do",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_of_the_declaration_of_human_rights(language: str) -> None:
    found = words(declaration(language), TOKENIZER_OF.get(language, "unicode"))
    assert set(FIRST_ARTICLE[language].split()) <= set(found)
    assert 1.5 < sum(map(len, found)) / len(found) < 10


def test_chinese_words_are_those_of_the_dictionary_and_other_scripts_are_words_too() -> None:
    text = "人人生而自由,在尊严和权利上一律平等。See the Übersicht, don't 3.14 カタカナ"
    assert words(text, "chinese") == [
        "人人", "生而自由", "在", "尊严", "和", "权利", "上", "一律平等",
        "see", "the", "übersicht", "don't", "3.14", "カタカナ",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (None, ["選挙管理委員会", "に", "行っ", "た"]),
        ("C", ["選挙管理委員会", "に", "行っ", "た"]),
        ("B", ["選挙", "管理", "委員会", "に", "行っ", "た"]),
        ("A", ["選挙", "管理", "委員", "会", "に", "行っ", "た"]),
    ],
)
def test_japanese_mode_says_how_long_the_units_are(mode: str | None, expected: list[str]) -> None:
    assert words("選挙管理委員会に行った。", "japanese", japanese_mode=mode) == expected


def test_japanese_sentence_beyond_what_sudachi_takes_loses_nothing() -> None:
    sentence = "東京特許許可局の庭には二羽にわとりがいる、" * 4_000  # 250 kB, no full stop
    found = words(sentence, "japanese")
    assert "".join(found) == sentence.replace("、", "")
    short = words(sentence[: MAX_CHARS // 2], "japanese")
    assert found[: len(short) - 1] == short[:-1]
    # A cut between two windows is where a word ends: all repetitions are cut alike.
    assert set(found) == set(words("東京特許許可局の庭には二羽にわとりがいる、" * 2, "japanese"))


def test_thai_words_and_those_of_other_scripts() -> None:
    text = "มนุษย์ทั้งหลายเกิดมา in 1948 (ค.ศ.) ๒๔๙๑ rock'n'roll"
    assert words(text, "thai") == [
        "มนุษย์", "ทั้งหลาย", "เกิด", "มา", "in", "1948", "ค", "ศ", "๒๔๙๑", "rock'n'roll",
    ]  # fmt: skip


def test_thai_sara_am_that_nfkc_takes_apart_is_found_in_the_dictionary() -> None:
    for form in ("forms", "NFKC", "NFC", None):
        assert words("การทำงานน้ำ", "thai", normalization=form) == ["การทำงาน", "น้ำ"]


def test_thai_tokenizer_writes_nothing_and_connects_to_nothing(tmp_path: Path) -> None:
    config("thai")
    code = (
        "import socket, sys\n"
        "def refuse(*_): raise AssertionError('connects')\n"
        "socket.socket.connect = refuse\n"
        "from nightjar.config import TokenizeConfig\n"
        "from nightjar.model.tokenization import make_word_finder\n"
        "find = make_word_finder(TokenizeConfig(tokenizer='thai'))\n"
        "assert find('เกิดมา') == ['เกิด', 'มา'], find('เกิดมา')\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if "PYTHAINLP" not in key}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "HOME": str(home)},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == []


def test_spacy_cuts_by_the_rules_of_a_language() -> None:
    assert words("I don't know, e.g. this.", "spacy", spacy_language="en") == [
        "i", "do", "n't", "know", "e.g.", "this",
    ]  # fmt: skip
    assert words("Das ist z.B. gut.", "spacy", spacy_language="de")[2] == "z.b."
    assert words("don't", "spacy") == ["don't"]


@pytest.mark.parametrize(
    ("language", "message"),
    [("zh", "choose tokenizer: chinese"), ("ja", "tokenizer: japanese"), ("th", "tokenizer: thai"),
     ("ko", "tokenizer: unicode"), ("qq", "no blank pipeline for 'qq'")],
)  # fmt: skip
def test_languages_that_spacy_has_no_rules_for_are_refused(language: str, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        words("a", "spacy", spacy_language=language)


@pytest.mark.parametrize(
    ("tokenizer", "module", "installing"),
    [
        ("chinese", "rjieba", r"nightjar\[chinese\]"),
        ("japanese", "sudachipy", "pip install sudachipy sudachidict-core"),
        ("japanese", "sudachidict_core", r"nightjar\[japanese\]"),
        ("thai", "pythainlp.tokenize.newmm", r"nightjar\[thai\]"),
        ("subword", "tokenizers", r"nightjar\[subword\]"),
        ("spacy", "spacy", r"nightjar\[spacy\]"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, tokenizer: str, module: str, installing: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(
        dictionary_words, "_segmenter", dictionary_words._segmenter.__wrapped__
    )  # forget what it loaded
    with pytest.raises(LibraryMissing, match=installing):
        make_tokenizer(TokenizeConfig.model_validate({"tokenizer": tokenizer}), "{}")


def test_planning_and_whitespace_import_no_library_of_other_tokenizers() -> None:
    code = (
        "import sys, nightjar.model.tokenization, nightjar.stages.tokenize.cutting\n"
        "print([n for n in ('rjieba', 'sudachipy', 'pythainlp', 'tokenizers', 'spacy') "
        "if n in sys.modules])"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


# -- options -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "tokens"),
    [
        ({}, ["don't", "re", "read", "the", "e", "mail", "2010", "11", "x"]),
        ({"hyphens": "keep"}, ["don't", "re-read", "the", "e-mail", "2010-11", "x"]),
        (
            {"apostrophes": "split"},
            ["don", "t", "re", "read", "the", "e", "mail", "2010", "11", "x"],
        ),
    ],
)
def test_apostrophes_and_hyphens_inside_words(keys: dict[str, str], tokens: list[str]) -> None:
    text = "Don’t re-read the e\u2011mail 2010-11 -x- --"
    assert words(text, **keys) == tokens
    assert words(text, **keys, normalization="NFC") == tokens


def test_options_of_words_hold_for_other_scripts_than_the_tokenizer_s_own() -> None:
    assert words("人人 re-read", "chinese", hyphens="keep") == ["人人", "re-read"]
    assert words("มา l'an", "thai", apostrophes="split") == ["มา", "l", "an"]


@pytest.mark.parametrize("locale", ["tr", "az"])
@pytest.mark.parametrize("form", ["forms", "NFC", "NFKC", None])
def test_turkish_i_has_its_dot_or_has_none(locale: str, form: str | None) -> None:
    text = "ISPARTA İYİ ışık I\u0307zmir"
    expected = ["ısparta", "iyi", "ışık", "izmir"]
    assert words(text, locale=locale, normalization=form) == expected
    assert words("İ ISI")[1] == "isi"


def test_a_dot_is_the_letter_s_own_beyond_a_mark_below() -> None:
    assert words("I\u0323\u0307k", locale="tr", normalization=None) == ["i\u0323k"]
    assert words("I\u0301\u0307k", locale="tr", normalization=None) == ["ı\u0301\u0307k"]


def test_lithuanian_keeps_the_dot_below_an_accent() -> None:
    assert words("Ì Jį I\u0301 Į\u0303 IR", locale="lt") == [
        "i\u0307\u0300", "jį", "i\u0307\u0301", "į\u0307\u0303", "ir",
    ]  # fmt: skip
    assert words("Ì") == ["ì"]


def test_casefold_writes_what_lower_case_keeps() -> None:
    assert words("Straße ΟΔΟΣ") == ["straße", "οδος"]
    assert words("Straße ΟΔΟΣ", casefold=True) == ["strasse", "οδοσ"]
    # U+0390 folds to three characters, which are put together again.
    assert words("\u0390", casefold=True) == ["\u0390"]
    assert words("ISI Straße", casefold=True, locale="tr") == ["ısı", "strasse"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"japanese_mode": "A"}, "japanese_mode is for tokenizer: japanese"),
        ({"tokenizer": "chinese", "spacy_language": "en"}, "spacy_language is for"),
        ({"subword_vocabulary": 10}, "subword_vocabulary is for tokenizer: subword"),
        ({"tokenizer": "subword", "hyphens": "keep"}, "subword has rules of its own"),
        ({"tokenizer": "whitespace", "apostrophes": "split"}, "whitespace has rules of its own"),
        (
            {"tokenizer": "subword", "subword_path": "t.json", "subword_algorithm": "bpe"},
            "give either",
        ),
        ({"lowercase": False, "casefold": True}, "casefold says how to lower-case"),
        ({"lowercase": False, "locale": "tr"}, "locale says how to lower-case"),
    ],
)
def test_keys_without_effect_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TokenizeConfig.model_validate(keys)


# -- sentences ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("यह है।वह भी। और", ["यह है।", "वह भी।", "और"]),
        ("সব মানুষ।সমান॥", ["সব মানুষ।", "সমান॥"]),
        ("یہ ہے۔ وہ بھی", ["یہ ہے۔", "وہ بھی"]),
        ("هل هذا؟ نعم. لا", ["هل هذا؟", "نعم.", "لا"]),
        ("မြန်မာ။စာ", ["မြန်မာ။", "စာ"]),
        ("ខ្មែរ។ភាសា", ["ខ្មែរ។", "ភាសា"]),
        ("ሰላም።ነው", ["ሰላም።", "ነው"]),
        ("Բարեւ։ Այո", ["Բարեւ։", "Այո"]),
        ("そう！？「はい。」と言う", ["そう！？", "「はい。」", "と言う"]),
        ("Really?! Yes‼ No", ["Really?!", "Yes‼", "No"]),
    ],
)
def test_sentences_end_with_the_marks_of_their_script(text: str, sentences: list[str]) -> None:
    split = make_sentence_splitter(TokenizeConfig(normalization=None, lowercase=False))
    assert split(text) == sentences


SEGMENTERS = ("chinese", "japanese", "thai")


@pytest.mark.parametrize("tokenizer", SEGMENTERS)
def test_scripts_are_parted_without_losing_a_letter(tokenizer: str) -> None:
    cut = make_tokenizer(config(tokenizer))

    @settings(deadline=None, max_examples=examples(50))
    @given(st.text(st.sampled_from("人权本のは東、。 aé'-\u00ad𠮷々ー๑กิ่ฯ\U000e0100"), max_size=40))
    def check(sentence: str) -> None:
        kept = "".join(cut(sentence))
        assert [c for c in kept if c.isalnum()] == [c for c in sentence if c.isalnum()]

    check()
