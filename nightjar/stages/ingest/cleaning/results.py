"""What becomes of a text: cleaned, with what was changed, or dropped, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class CleaningChange(StrEnum):
    """What a step changed, as it is counted; docs/cleaning.md explains each."""

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
    """Why a cleaned text is no document."""

    TOO_FEW_WORDS = "too_few_words"
    TOO_MANY_WORDS = "too_many_words"
    TOO_MANY_SYMBOLS = "too_many_symbols"
    TOO_MANY_DIGITS = "too_many_digits"
    REPEATED_LINES = "repeated_lines"
    REPEATED_CHARACTERS = "repeated_characters"
    OTHER_LANGUAGE = "other_language"


class Changes(dict[CleaningChange, int]):
    """How many of what were changed; what was not is not there."""

    def add(self, what: CleaningChange, n: int) -> None:
        """Count ``n`` more of it, if any."""
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
    """The detected (or trusted) one; None when none was looked for, or the text is too short."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A text that a filter does not want."""

    reason: DropReason
    detail: str
    """What was measured and which key forbids it; nothing of the text."""
    changes: Changes
    text: str
    """As it was cleaned, so that an excerpt of it holds nothing that was masked."""
