"""Tokenizers to test: settings, texts in many languages, and installed extras."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from nightjar.config import TokenizeConfig
from nightjar.model.tokenization import EXTRAS, make_word_finder, train_subword

UDHR_DIR = Path(__file__).parents[2] / "shared" / "data" / "corpus" / "udhr"

TOKENIZER_OF = {"cmn_hans": "chinese", "cmn_hant": "chinese", "jpn": "japanese", "tha": "thai"}
"""The tokenizer for a language of the UDHR; for others: unicode."""
LANGUAGES = (
    "arb", "ben", "cmn_hans", "cmn_hant", "ell_monotonic", "eng", "fin", "fra", "heb", "hin",
    "jpn", "kor", "pol", "rus", "spa", "tam", "tha", "tur", "vie",
)  # fmt: skip


def config(tokenizer: str = "unicode", **keys: Any) -> TokenizeConfig:
    """The settings if the extra is installed; otherwise skips the test."""
    extra = EXTRAS.get(tokenizer)
    for distribution in () if extra is None else extra.distributions:
        try:
            metadata.version(distribution)
        except metadata.PackageNotFoundError:
            pytest.skip(f"the extra {tokenizer} is not installed")
    return TokenizeConfig.model_validate({"tokenizer": tokenizer, **keys})


def words(text: str, tokenizer: str = "unicode", **keys: Any) -> list[str]:
    """The tokens of all sentences."""
    return make_word_finder(config(tokenizer, **keys))(text)


def declaration(language: str) -> str:
    """The Universal Declaration of Human Rights."""
    path = UDHR_DIR / f"{language}.txt"
    if not path.is_file():
        pytest.skip("the shared UDHR texts are not here")
    return path.read_text(encoding="utf-8")


def declarations(*languages: str) -> Iterator[str]:
    """Several of them."""
    return map(declaration, languages)


def trained(**keys: Any) -> tuple[TokenizeConfig, str]:
    """Settings, and a subword definition that is trained on two declarations."""
    settings = config("subword", **{"subword_vocabulary": 800, **keys})
    return settings, train_subword(settings, declarations("eng", "fra"))
