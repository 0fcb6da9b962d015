"""Filters that drop cleaned texts by words, shares of characters, and language.

The rules for words and characters follow Rae et al. 2021 (Gopher), appendix A1, as far as they suit
any language. py3langid detects the language: naive Bayes over byte n-grams, 140 languages. Its
model is part of the wheel, takes half a second and 60 MB to load, and is loaded once per process,
on first use.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from nightjar.config.cleaning import FiltersConfig, LanguageFilterConfig
from nightjar.model.tokenization.character_classes import unspaced_characters, word_characters
from nightjar.stages.ingest.cleaning.results import DropReason
from nightjar.wording import counted

_DIGITS = re.compile(r"\d")
_BEYOND_BASIC = re.compile("[\U00010000-\U0010ffff]")
_ASCII_SPACES = bytes(code for code in range(128) if chr(code).isspace())
_ASCII_DIGITS = b"0123456789"
_ASCII_NO_SYMBOLS = _ASCII_SPACES + bytes(code for code in range(128) if chr(code).isalnum())
_RUN = re.compile(r"(\S)\1{3,}+")


@dataclass(frozen=True, slots=True)
class Unwanted:
    """Why a text is dropped."""

    reason: DropReason
    detail: str


Filter = Callable[[str], Unwanted | None]


def make_filters(config: FiltersConfig) -> list[Filter]:
    """The filters in ``config``, in the order of its keys. Empty texts pass all."""
    filters: list[Filter] = []
    if config.min_words is not None or config.max_words is not None:
        filters.append(_word_filter(config.min_words or 0, config.max_words))
    for key, limit, measure, reason in (
        ("max_symbol_ratio", config.max_symbol_ratio, symbol_ratio, DropReason.TOO_MANY_SYMBOLS),
        ("max_digit_ratio", config.max_digit_ratio, digit_ratio, DropReason.TOO_MANY_DIGITS),
        (
            "max_repeated_line_ratio",
            config.max_repeated_line_ratio,
            repeated_line_ratio,
            DropReason.REPEATED_LINES,
        ),
        (
            "max_repeated_character_ratio",
            config.max_repeated_character_ratio,
            repeated_character_ratio,
            DropReason.REPEATED_CHARACTERS,
        ),
    ):
        if limit is not None:
            filters.append(_ratio_filter(key, limit, measure, reason))
    return filters


def _word_filter(min_words: int, max_words: int | None) -> Filter:
    def check(text: str) -> Unwanted | None:
        n_words = len(text.split())
        if n_words < min_words:
            detail = f"{counted(n_words, 'word')}, cleaning.filters.min_words is {min_words}"
            return Unwanted(DropReason.TOO_FEW_WORDS, detail)
        if max_words is not None and n_words > max_words:
            detail = f"{counted(n_words, 'word')}, cleaning.filters.max_words is {max_words}"
            return Unwanted(DropReason.TOO_MANY_WORDS, detail)
        return None

    return check


def _ratio_filter(
    key: str, limit: float, measure: Callable[[str], float], reason: DropReason
) -> Filter:
    def check(text: str) -> Unwanted | None:
        ratio = measure(text)
        if ratio <= limit:
            return None
        return Unwanted(reason, f"{ratio:.3f}, cleaning.filters.{key} is {limit:g}")

    return check


def symbol_ratio(text: str) -> float:
    """Share of non-white-space characters that are not letters, marks or digits."""
    if text.isascii():
        return _share(_n_without(text, _ASCII_NO_SYMBOLS), _n_visible(text))
    n_symbols = len(_basic_symbols().findall(text)) + sum(
        unicodedata.category(character)[0] not in "LMN" for character in _BEYOND_BASIC.findall(text)
    )
    return _share(n_symbols, _n_visible(text))


@cache
def _basic_symbols() -> re.Pattern[str]:
    words = word_characters("L", "M", "N", astral=False) + unspaced_characters(astral=False)
    return re.compile(rf"[^\s{words}\U00010000-\U0010ffff]")


def digit_ratio(text: str) -> float:
    """Share of non-white-space characters that are decimal digits in any script."""
    if text.isascii():
        return _share(len(text) - _n_without(text, _ASCII_DIGITS), _n_visible(text))
    return _share(len(_DIGITS.findall(text)), _n_visible(text))


def repeated_line_ratio(text: str) -> float:
    """Share of the characters in lines that belong to repetitions of an earlier line.

    White space around lines and empty lines do not count. Memory: the lines.
    """
    seen: set[str] = set()
    n_repeated = n_all = 0
    for line in _lines(text):
        n_all += len(line)
        if line in seen:
            n_repeated += len(line)
        seen.add(line)
    return _share(n_repeated, n_all)


def repeated_character_ratio(text: str) -> float:
    """Share of non-white-space characters in runs of at least four equal ones."""
    n_repeated = sum(match.end() - match.start() for match in _RUN.finditer(text))
    return _share(n_repeated, _n_visible(text))


def _lines(text: str) -> Iterator[str]:
    return (line.strip() for line in text.splitlines())


def _n_visible(text: str) -> int:
    """Number of non-white-space characters."""
    return _n_without(text, _ASCII_SPACES) if text.isascii() else sum(map(len, text.split()))


def _n_without(ascii_text: str, characters: bytes) -> int:
    return len(ascii_text.encode("ascii").translate(None, characters))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


_MORE_THAN_ALIKE = 0.05
"""More than any language's probability when all are equally probable."""


@dataclass(frozen=True, slots=True)
class Guess:
    """The detected language of a text."""

    language: str
    probability: float
    accepted: float
    """Total probability of the wanted languages."""


class LanguageFilter:
    """Detects the language of a text, and whether it is wanted."""

    def __init__(self, config: LanguageFilterConfig) -> None:
        self._config = config
        self._languages = frozenset(config.languages)

    def check(self, text: str, declared: str | None) -> tuple[str | None, Unwanted | None]:
        """The language of ``text``, and why the text is dropped, if it is.

        It is dropped if neither its beginning nor its middle is in a wanted language. ``declared``
        is the language given by the source, which is believed with ``trust_sources``; a region
        (``en-GB``) does not matter.
        """
        if declared and self._config.trust_sources:
            if declared.lower().replace("_", "-").split("-")[0] in self._languages:
                return declared, None
            return declared, self._unwanted(f"the source says {declared}")
        if len(text) < self._config.min_chars:
            return None, None
        refused: Guess | None = None
        for piece in self._pieces(text):
            guess = guess_language(piece, self._languages, self._config.min_probability)
            if guess is None:
                continue
            if guess.accepted >= self._config.min_probability:
                return guess.language, None
            refused = refused or guess
        if refused is None:
            return None, None
        return refused.language, self._unwanted(
            f"looks like {refused.language} ({refused.probability:.2f}); wanted languages have "
            f"{refused.accepted:.2f}, min_probability is {self._config.min_probability:g}"
        )

    def _pieces(self, text: str) -> Iterator[str]:
        """The beginning, then the middle: a leading list of names says little about a text."""
        n_chars = self._config.max_chars
        yield text[:n_chars]
        if len(text) > n_chars:
            middle = (len(text) - n_chars) // 2
            yield text[middle : middle + n_chars]

    def _unwanted(self, found: str) -> Unwanted:
        wanted = ", ".join(self._config.languages)
        return Unwanted(
            DropReason.OTHER_LANGUAGE, f"{found}; cleaning.language.languages is {wanted}"
        )


def guess_language(text: str, wanted: frozenset[str], enough: float) -> Guess | None:
    """The most probable language of ``text``; None when there is no evidence.

    No evidence: no letter, or no n-gram that the model knows, so that all languages are equally
    probable. When the most probable language is wanted and reaches ``enough`` by itself, the others
    are not summed.
    """
    if not any(map(str.isalpha, text)):
        return None
    language, probability = _identifier().classify(text)
    if language in wanted and probability >= max(enough, _MORE_THAN_ALIKE):
        return Guess(language, probability, probability)
    ranking = _identifier().rank(text)
    if ranking[0][1] == ranking[-1][1]:
        return None
    return Guess(language, probability, sum(share for code, share in ranking if code in wanted))


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
