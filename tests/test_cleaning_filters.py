"""Filters: what is dropped and why; the language filter; the configuration; identities."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from cleaning_support import cleaned, config, dropped
from py3langid.langid import MODEL_FILE, LanguageIdentifier
from pydantic import ValidationError

from nightjar.config.cleaning import LANGUAGES, STEPS, CleaningConfig
from nightjar.stages.ingest.cleaning import (
    Cleaned,
    CleaningChange,
    Dropped,
    DropReason,
    code_identity,
    make_cleaner,
)
from nightjar.stages.ingest.cleaning.document_filters import (
    digit_ratio,
    repeated_character_ratio,
    repeated_line_ratio,
    symbol_ratio,
)

UDHR_DIR = Path(__file__).parents[2] / "shared" / "data" / "corpus" / "udhr"
ENGLISH = "All human beings are born free and equal in dignity and rights, and so they should be."
GERMAN = "Alle Menschen sind frei und gleich an Würde und Rechten geboren, sagt die Erklärung."
FRENCH = "Tous les êtres humains naissent libres et égaux en dignité et en droits, dit le texte."


@pytest.mark.parametrize(
    ("text", "filters", "reason", "detail"),
    [
        ("one two", {"min_words": 3}, DropReason.TOO_FEW_WORDS, "2 words"),
        ("one two", {"max_words": 1}, DropReason.TOO_MANY_WORDS, "2 words"),
        ("ab!?", {"max_symbol_ratio": 0.4}, DropReason.TOO_MANY_SYMBOLS, "0.500"),
        ("a1 2 3", {"max_digit_ratio": 0.7}, DropReason.TOO_MANY_DIGITS, "0.750"),
        ("ab\n ab\ncd", {"max_repeated_line_ratio": 0.2}, DropReason.REPEATED_LINES, "0.333"),
        ("ab!!!!", {"max_repeated_character_ratio": 0.5}, DropReason.REPEATED_CHARACTERS, "0.667"),
    ],
)
def test_filters_drop_with_reason_measure_and_key(
    text: str, filters: dict[str, float], reason: DropReason, detail: str
) -> None:
    result = dropped(text, filters=filters)
    (key,) = filters
    assert result.reason is reason
    assert result.detail.startswith(detail)
    assert f"cleaning.filters.{key} is {filters[key]}" in result.detail
    assert result.text == text


def test_a_text_at_the_limit_is_kept() -> None:
    filters = {"min_words": 2, "max_words": 2, "max_symbol_ratio": 0.5, "max_digit_ratio": 0.0}
    assert cleaned("ab ?!", filters=filters).text == "ab ?!"


def test_lengths_are_those_of_the_cleaned_text() -> None:
    cleaner = make_cleaner(config("html", filters={"min_words": 2}))
    result = cleaner.clean("<b>one</b> <i> </i>")
    assert isinstance(result, Dropped)
    assert result.reason is DropReason.TOO_FEW_WORDS


def test_an_empty_text_passes_every_filter() -> None:
    filters = {"min_words": 1, "max_symbol_ratio": 0.0, "max_repeated_line_ratio": 0.0}
    assert cleaned("<b></b>", "html", filters=filters).text == ""


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        ("abc 123", 0.0),
        ("a-b_c!", 0.5),
        ("हिन्दी में", 0.0),
        ("我爱你 ひらカタカナ 한국어", 0.0),
        ("é!", 0.5),
        ("𠀀𐐨😀☃", 0.5),
        ("می\u200cخواهم", 1 / 8),  # noqa: RUF001
        (" \n\u00a0", 0.0),
    ],
)
def test_symbols_are_neither_letters_marks_nor_digits(text: str, ratio: float) -> None:
    assert symbol_ratio(text) == pytest.approx(ratio)


def test_other_ratios_are_shares_of_characters() -> None:
    assert digit_ratio("ab12 ٣") == pytest.approx(3 / 5)
    assert repeated_line_ratio("one\n\n\none \n\ntwo\n one") == pytest.approx(6 / 12)
    assert repeated_line_ratio("\n\n\n") == 0.0
    assert repeated_character_ratio("aaa bbbb c") == pytest.approx(4 / 8)
    assert repeated_character_ratio("a" * 100) == 1.0
    assert repeated_character_ratio("      ") == 0.0


def test_texts_in_other_languages_are_dropped() -> None:
    cleaner = make_cleaner(config(language={"languages": ["en", "de"]}))
    for text, code in ((ENGLISH, "en"), (GERMAN, "de")):
        kept = cleaner.clean(text)
        assert isinstance(kept, Cleaned)
        assert kept.language == code
    result = cleaner.clean(FRENCH)
    assert isinstance(result, Dropped)
    assert result.reason is DropReason.OTHER_LANGUAGE
    assert result.detail.startswith("looks like fr (")
    assert "cleaning.language.languages is en, de" in result.detail


def test_wanted_languages_are_added_up() -> None:
    text = "God dag, hvordan har du det i dag? Vi skal ut og spise middag med de andre."
    alone = dropped(text, language={"languages": ["nn"], "min_probability": 0.5})
    assert alone.reason is DropReason.OTHER_LANGUAGE
    together = cleaned(text, language={"languages": ["nn", "no", "da"], "min_probability": 0.9})
    assert together.language in {"no", "da"}


def test_short_texts_and_texts_without_letters_pass() -> None:
    language = {"languages": ["de"], "min_chars": 90}
    assert cleaned(ENGLISH, language=language).language is None
    dropped(ENGLISH, language={"languages": ["de"], "min_chars": 50})
    assert cleaned("1 2 3 4 5, 6! " * 10, language={"languages": ["de"]}).language is None


def test_only_a_piece_of_a_text_is_looked_at() -> None:
    text = ENGLISH * 3 + FRENCH * 30
    assert cleaned(text, language={"languages": ["en"], "max_chars": 200}).language == "en"
    dropped(text, language={"languages": ["en"], "max_chars": 5_000})


@pytest.mark.parametrize("head", ["Dario Argento, Asia Argento, Nadia Rinaldi, " * 8, "-" * 300])
def test_the_middle_of_a_text_counts_before_it_is_dropped(head: str) -> None:
    dropped(FRENCH * 10, language={"languages": ["en"]})
    assert cleaned(head + ENGLISH * 10, language={"languages": ["en"]}).language == "en"
    assert dropped(head + FRENCH * 10, language={"languages": ["en"]}).reason is (
        DropReason.OTHER_LANGUAGE
    )


def test_a_source_is_believed_when_asked_to() -> None:
    language = {"languages": ["en"], "trust_sources": True}
    trusting = make_cleaner(config(language=language))
    kept = trusting.clean(FRENCH, "en-GB")
    assert isinstance(kept, Cleaned)
    assert kept.language == "en-GB"
    result = trusting.clean(ENGLISH, "fr")
    assert isinstance(result, Dropped)
    assert "the source says fr" in result.detail
    assert isinstance(trusting.clean(FRENCH), Dropped)
    assert isinstance(
        make_cleaner(config(language={"languages": ["en"]})).clean(FRENCH, "en"), Dropped
    )


@pytest.mark.parametrize(
    ("name", "code"),
    [("eng", "en"), ("rus", "ru"), ("hin", "hi"), ("kor", "ko"), ("ell_monotonic", "el"),
     ("jpn", "ja"), ("tha", "th"), ("arb", "ar")],
)  # fmt: skip
def test_languages_of_real_texts_are_detected(name: str, code: str) -> None:
    path = UDHR_DIR / f"{name}.txt"
    if not path.is_file():
        pytest.skip("the shared UDHR texts are not here")
    body = path.read_text(encoding="utf-8")[500:]
    assert cleaned(body, language={"languages": [code], "min_probability": 0.9}).language == code


def test_the_config_knows_the_languages_of_the_model() -> None:
    assert set(LANGUAGES) == set(LanguageIdentifier.from_model_file(MODEL_FILE).labels)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"steps": ["html", "html"]}, "html stands there more than once"),
        ({"steps": ["htlm"]}, "html"),
        ({"steps": ["personal_data", "html"]}, "html after personal_data could lay open"),
        ({"steps": [], "urls": {}}, "urls: options of a step that steps does not name"),
        ({"steps": ["urls"], "urls": {"mask": "a url"}}, "is no mask"),
        ({"steps": ["urls"], "urls": {"mask": ""}}, "is no mask"),
        ({"steps": ["urls"], "urls": {"mask": "http://"}}, "look like what it hides"),
        ({"steps": ["emails"], "emails": {"mask": "a@b.de"}}, "look like what it hides"),
        ({"steps": ["personal_data"], "personal_data": {"card_mask": "0"}}, "has a digit"),
        ({"steps": ["personal_data"], "personal_data": {"kinds": []}}, "at least 1"),
        ({"language": {"languages": ["english"]}}, "is no language of py3langid's"),
        ({"language": {"languages": ["en-GB"]}}, "did you mean 'en'"),
        ({"filters": {"min_words": 5, "max_words": 4}}, "no document would be left"),
        ({"filters": {"max_symbol_ratio": 1.5}}, "less than or equal to 1"),
    ],
)
def test_wrong_options_are_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CleaningConfig.model_validate(section)


def test_the_default_is_control_characters_alone() -> None:
    cleaner = make_cleaner(CleaningConfig())
    result = cleaner.clean("<b>a\x07</b> joe@x.org  http://x.org 1")
    assert isinstance(result, Cleaned)
    assert result.text == "<b>a</b> joe@x.org  http://x.org 1"
    assert result.language is None


def test_the_identity_names_the_libraries_that_shape_the_text() -> None:
    assert set(code_identity(CleaningConfig())) == {"revision"}
    assert set(code_identity(config(filters={"max_digit_ratio": 0.5}))) == {"revision", "unicode"}
    everything = config(*STEPS, language={"languages": ["en"]})
    identity = code_identity(everything)
    assert set(identity) == {"revision", "ftfy", "py3langid", "unicode"}
    assert identity["ftfy"] == metadata.version("ftfy")


def test_identities_and_default_cleaners_import_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from nightjar.stages.ingest.cleaning import code_identity, make_cleaner\n"
        "from nightjar.config.cleaning import CleaningConfig\n"
        "config = CleaningConfig(steps=['html', 'repair'], language={'languages': ['en']})\n"
        "code_identity(config)\n"
        "make_cleaner(CleaningConfig()).clean('text')\n"
        "print({'ftfy', 'py3langid', 'numba', 'pandas', 'mlflow', 'gensim'} & sys.modules.keys())\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_every_change_and_reason_is_explained() -> None:
    docs = Path(__file__).parents[1] / "docs"
    page = (docs / "cleaning.md").read_text(encoding="utf-8")
    contract = (docs / "artifacts.md").read_text(encoding="utf-8")
    for change in CleaningChange:
        assert f"`{change}`" in page
    for reason in DropReason:
        assert f"`{reason}`" in page
        assert f"`{reason}`" in contract
    for step in STEPS:
        assert f"| `{step}` |" in page
    listed = page.partition("The codes of the languages")[2].split("```")[1]
    assert tuple(listed.split()) == LANGUAGES
