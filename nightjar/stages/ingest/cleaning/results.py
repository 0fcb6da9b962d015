"""The result of cleaning: the cleaned text with the changes, or the reason to drop it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class CleaningChange(StrEnum):
    """The changes that are counted; docs/cleaning.md explains each."""

    HTML_TAGS = "html_tags_removed"
    HTML_SECTIONS = "html_sections_removed"
    HTML_ENTITIES = "html_entities_decoded"
    REPAIRED = "texts_repaired"
    NORMALIZED = "texts_normalized"
    MARKS = "combining_marks_removed"
    CONTROLS = "control_characters_removed"
    RESPACED = "texts_respaced"
    URLS_REMOVED = "urls_removed"
    URLS_MASKED = "urls_masked"
    EMAILS_REMOVED = "emails_removed"
    EMAILS_MASKED = "emails_masked"
    NUMBERS_REMOVED = "numbers_removed"
    NUMBERS_MASKED = "numbers_masked"
    PERSONAL_EMAILS = "personal_emails_masked"
    PERSONAL_PHONES = "personal_phones_masked"
    PERSONAL_CARDS = "personal_cards_masked"
    PERSONAL_IBANS = "personal_ibans_masked"


class DropReason(StrEnum):
    """Why a cleaned text is dropped."""

    TOO_FEW_WORDS = "too_few_words"
    TOO_MANY_WORDS = "too_many_words"
    TOO_MANY_SYMBOLS = "too_many_symbols"
    TOO_MANY_DIGITS = "too_many_digits"
    REPEATED_LINES = "repeated_lines"
    REPEATED_CHARACTERS = "repeated_characters"
    OTHER_LANGUAGE = "other_language"


class Changes(dict[CleaningChange, int]):
    """How often each change was made; changes that were not made have no entry."""

    def add(self, what: CleaningChange, n: int) -> None:
        """Add ``n`` to the count of ``what``, if it is not 0."""
        if n:
            self[what] = self.get(what, 0) + n


Step = Callable[[str, Changes], str]
"""Takes a text, counts what it changes, returns the changed text."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A text that is kept. It may be empty."""

    text: str
    changes: Changes
    language: str | None = None
    """The detected or trusted language; None when none was detected, or the text is too short."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A text that a filter drops."""

    reason: DropReason
    detail: str
    """What was measured, and the key that forbids it; never quotes the text."""
    changes: Changes
    text: str
    """The cleaned text, so that an excerpt shows nothing that was masked."""
