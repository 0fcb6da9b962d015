"""The cleaner: steps, then filters, for one text at a time; and the versions behind its results."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from importlib import metadata
from types import MappingProxyType

from nightjar.config.cleaning import CleaningConfig, StepName
from nightjar.stages.ingest.cleaning.addresses import (
    make_email_step,
    make_number_step,
    make_url_step,
)
from nightjar.stages.ingest.cleaning.characters import (
    make_control_remover,
    make_normalizer,
    make_repair,
    make_respacer,
)
from nightjar.stages.ingest.cleaning.document_filters import Filter, LanguageFilter, make_filters
from nightjar.stages.ingest.cleaning.markup import remove_html
from nightjar.stages.ingest.cleaning.personal import MAX_CHARS, make_masker
from nightjar.stages.ingest.cleaning.results import Changes, Cleaned, Dropped, Step

REVISION = 4
"""Raise it when the same text and configuration give a different result than before."""
_ASK_UNICODE = frozenset({"repair", "unicode", "urls", "emails", "personal_data", "numbers"})
"""Steps that use Python's Unicode tables, for letters or compositions."""


def code_identity(config: CleaningConfig) -> dict[str, str]:
    """Revision, and the versions of the libraries that ``config`` uses, without importing them.

    Includes the Unicode version of Python's tables, if a step uses them.
    """
    identity = {"revision": str(REVISION)}
    if "repair" in config.steps:
        identity["ftfy"] = metadata.version("ftfy")
    if config.language.languages:
        identity["py3langid"] = metadata.version("py3langid")
    filters = config.filters
    if (
        _ASK_UNICODE & set(config.steps)
        or filters.max_symbol_ratio is not None
        or filters.max_digit_ratio is not None
    ):
        identity["unicode"] = unicodedata.unidata_version
    return identity


_MAKERS: Mapping[StepName, Callable[[CleaningConfig], Step]] = MappingProxyType(
    {
        "html": lambda _config: remove_html,
        "repair": lambda config: make_repair(config.repair),
        "unicode": lambda config: make_normalizer(config.unicode),
        "control_characters": lambda config: make_control_remover(config.control_characters),
        "urls": lambda config: make_url_step(config.urls),
        "emails": lambda config: make_email_step(config.emails),
        "personal_data": lambda config: make_masker(config.personal_data),
        "numbers": lambda config: make_number_step(config.numbers),
        "white_space": lambda config: make_respacer(config.white_space),
    }
)


def make_cleaner(config: CleaningConfig) -> Cleaner:
    """The cleaner for ``config``; imports what its steps need."""
    return Cleaner(config)


class Cleaner:
    """Cleans texts one at a time, and remembers nothing between them."""

    def __init__(self, config: CleaningConfig) -> None:
        self._steps = [_MAKERS[name](config) for name in config.steps]
        self._filters: list[Filter] = make_filters(config.filters)
        self._language = LanguageFilter(config.language) if config.language.languages else None
        self._mask, self._until_mask = None, self._steps
        if "personal_data" in config.steps:
            index = config.steps.index("personal_data")
            self._mask, self._until_mask = self._steps[index], self._steps[: index + 1]

    def clean(self, text: str, language: str | None = None) -> Cleaned | Dropped:
        """Clean ``text``, or say why it is dropped. Never raises.

        ``language`` is the language that the source declares. The text may become empty; empty
        texts pass every filter.
        """
        changes = Changes()
        for step in self._steps:
            text = step(text, changes)
        if not text:
            return Cleaned(text, changes)
        for check in self._filters:
            if unwanted := check(text):
                return Dropped(unwanted.reason, unwanted.detail, changes, text)
        found = None
        if self._language is not None:
            found, unwanted = self._language.check(text, language)
            if unwanted is not None:
                return Dropped(unwanted.reason, unwanted.detail, changes, text)
        return Cleaned(text, changes, found)

    def redact(self, text: str, max_chars: int | None = None) -> str:
        """At most ``max_chars`` of ``text``, without the values that ``personal_data`` masks.

        For quoting texts that were not cleaned. If a value only appears after the steps before
        masking (``&#64;`` for ``@``), the result is the text after those steps. Without the step
        ``personal_data`` nothing is masked. With ``max_chars`` only about the part that is needed
        is processed, and no value that crosses the limit is quoted in part.
        """
        if self._mask is None:
            return text[:max_chars]
        head = text if max_chars is None else text[: 2 * (max_chars + MAX_CHARS)]
        masked = self._mask(head, Changes())
        changes = Changes()
        cleaned = masked
        for step in self._until_mask:
            cleaned = step(cleaned, changes)
        if any(name.startswith("personal_") for name in changes):
            masked = cleaned
        if len(head) < len(text):
            masked = masked[:-MAX_CHARS]
        return masked[:max_chars]
