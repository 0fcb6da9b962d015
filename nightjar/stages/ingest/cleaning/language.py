"""The language filter, by py3langid: naive Bayes over byte n-grams, 140 languages.

Its model is in the wheel and takes half a second and 60 MB to load: once a process, when the
first text is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from nightjar.config.cleaning import LanguageFilterConfig
from nightjar.stages.ingest.cleaning.document_filters import Unwanted
from nightjar.stages.ingest.cleaning.results import DropReason

_MORE_THAN_ALIKE = 0.05
"""Probability that no language has when all of them have the same."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What language a text seems to be in."""

    language: str
    probability: float
    accepted: float
    """Probability of the wanted languages together."""


class LanguageFilter:
    """Tells what language a text is in, and whether it is wanted."""

    def __init__(self, config: LanguageFilterConfig) -> None:
        self._config = config
        self._languages = frozenset(config.languages)

    def check(self, text: str, declared: str | None) -> tuple[str | None, Unwanted | None]:
        """The language of ``text``, and why it is not wanted, if it is not.

        Neither its beginning nor its middle is in a wanted language, then.
        ``declared``: what its source says, which is believed with ``trust_sources``; a region
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
        """The beginning, then the middle: a list of names in front says little of a text."""
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
    """The most probable language of ``text``; None when there is nothing to go by.

    Nothing to go by: no letter, or no n-gram of the model's, whose probabilities are then all
    the same. When the most probable language is wanted and has ``enough`` by itself, the others
    are not added up.
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
