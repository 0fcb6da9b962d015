"""The settings and libraries of tokenizers, and the errors in them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Literal, Protocol


class TokenizerError(ValueError):
    """A tokenizer cannot be created, or cannot split a text; the message says what to do."""


class PatternError(TokenizerError):
    """A pattern matches the empty string."""


class LibraryMissing(TokenizerError):
    """A library that the tokenizer needs is not installed."""


class DefinitionError(TokenizerError):
    """The definition of a tokenizer is missing, or cannot be used."""


@dataclass(frozen=True)
class Extra:
    """An extra of Nightjar: its name, and the distributions that a tokenizer uses from it."""

    name: str
    distributions: tuple[str, ...]


EXTRAS: Mapping[str, Extra] = MappingProxyType(
    {
        "chinese": Extra("chinese", ("rjieba",)),
        "japanese": Extra("japanese", ("sudachipy", "sudachidict-core")),
        "thai": Extra("thai", ("pythainlp",)),
        "subword": Extra("subword", ("tokenizers",)),
        "spacy": Extra("spacy", ("spacy",)),
    }
)
"""By name of the tokenizer. Versions of these distributions shape the tokens."""


def import_library(module: str, tokenizer: str) -> ModuleType:
    """Import ``module``. Raises LibraryMissing with what to install for ``tokenizer``."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise LibraryMissing(missing_message(tokenizer)) from error


@contextmanager
def untyped_errors() -> Iterator[None]:
    """Convert what a library written in Rust raises for a damaged file to RuntimeError.

    Such a library raises a bare Exception, or panics: with a BaseException that no except clause
    for Exception catches.
    """
    try:
        yield
    except BaseException as error:
        if type(error) is Exception or type(error).__name__ == "PanicException":
            raise RuntimeError(str(error)) from error
        raise


def missing_message(tokenizer: str) -> str:
    """The message when a library of ``tokenizer`` is missing."""
    extra = EXTRAS[tokenizer]
    return (
        f"the tokenizer {tokenizer!r} needs {' and '.join(extra.distributions)}: pip install "
        f"'nightjar[{extra.name}]' (or pip install {' '.join(extra.distributions)})"
    )


NormalForm = Literal["forms", "NFC", "NFKC"]
Locale = Literal["tr", "az", "lt"]
JapaneseMode = Literal["A", "B", "C"]
SubwordAlgorithm = Literal["bpe", "unigram"]


class TokenizerSettings(Protocol):
    """The keys of the config's section ``tokenize``."""

    @property
    def tokenizer(self) -> str:
        """Its name: a key of :data:`.tokenizers.TOKENIZERS`."""

    @property
    def pattern(self) -> str | None:
        """For the regex tokenizer: the pattern of a token."""

    @property
    def normalization(self) -> NormalForm | None:
        """Forms (see :mod:`.letter_forms`), NFC, NFKC or None."""

    @property
    def lowercase(self) -> bool:
        """Whether text is lower-cased."""

    @property
    def casefold(self) -> bool:
        """Whether lower-casing is Unicode's full case folding."""

    @property
    def locale(self) -> Locale | None:
        """The language with special rules for lower-casing, if any."""

    @property
    def apostrophes(self) -> Literal["keep", "split"]:
        """Whether an apostrophe inside a word is kept or splits it."""

    @property
    def hyphens(self) -> Literal["split", "keep"]:
        """Whether a hyphen inside a word splits it or is kept."""

    @property
    def japanese_mode(self) -> JapaneseMode | None:
        """For the tokenizer japanese: Sudachi's mode; None is C."""

    @property
    def spacy_language(self) -> str | None:
        """For the tokenizer spacy: the language's code; None is xx."""

    @property
    def subword_algorithm(self) -> SubwordAlgorithm | None:
        """For a subword tokenizer that is trained; None is bpe."""

    @property
    def subword_vocabulary(self) -> int | None:
        """For a subword tokenizer that is trained: number of pieces; None is 8,000."""

    @property
    def split_sentences(self) -> bool:
        """Whether stops end a sentence; a line break always does."""

    @property
    def min_token_chars(self) -> int:
        """Shorter tokens are dropped."""

    @property
    def max_token_chars(self) -> int:
        """Longer tokens are dropped."""


@dataclass(frozen=True)
class Settings:
    """The settings without a config: in a registered model."""

    tokenizer: str
    pattern: str | None
    normalization: NormalForm | None
    lowercase: bool
    split_sentences: bool
    min_token_chars: int
    max_token_chars: int
    casefold: bool = False
    locale: Locale | None = None
    apostrophes: Literal["keep", "split"] = "keep"
    hyphens: Literal["split", "keep"] = "split"
    japanese_mode: JapaneseMode | None = None
    spacy_language: str | None = None
    subword_algorithm: SubwordAlgorithm | None = None
    subword_vocabulary: int | None = None
