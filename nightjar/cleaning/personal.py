"""The step ``personal_data``: e-mail addresses, phone, card and IBAN numbers masked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from nightjar.cleaning.addresses import EMAIL
from nightjar.cleaning.cards import find_cards
from nightjar.cleaning.ibans import find_ibans
from nightjar.cleaning.phones import find_phones
from nightjar.cleaning.results import Change, Changes, Step
from nightjar.config.cleaning import PersonalDataConfig, PersonalKind

MAX_CHARS = 700
"""No masked value is longer."""

_Finder = Callable[[str], Iterator[tuple[int, int]]]


def _find_emails(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in EMAIL.finditer(text)) if "@" in text else iter(())


# Numbers with a checksum come first, then those known by their form alone.
_KINDS: dict[PersonalKind, tuple[_Finder, Change]] = {
    "iban": (find_ibans, Change.PERSONAL_IBANS),
    "card": (find_cards, Change.PERSONAL_CARDS),
    "email": (_find_emails, Change.PERSONAL_EMAILS),
    "phone": (find_phones, Change.PERSONAL_PHONES),
}
_DIGIT_OR_AT = re.compile("[0-9@]")


def make_masker(config: PersonalDataConfig) -> Step:
    """The step that masks the kinds of ``config``; ASCII digits alone are looked at.

    A mask next to a letter or digit is set off by a blank, so that no other word arises.
    """
    kinds = [
        (find, config.mask_of(kind), change)
        for kind, (find, change) in _KINDS.items()
        if kind in config.kinds
    ]

    def mask(text: str, changes: Changes) -> str:
        if not _DIGIT_OR_AT.search(text):
            return text
        for find, instead, change in kinds:
            spans = list(find(text))
            if spans:
                text = _masked(text, spans, instead)
                changes.add(change, len(spans))
        return text

    return mask


def _masked(text: str, spans: Iterable[tuple[int, int]], mask: str) -> str:
    pieces: list[str] = []
    position = 0
    for start, end in spans:
        before = " " if start and text[start - 1].isalnum() else ""
        after = " " if text[end : end + 1].isalnum() else ""
        pieces += (text[position:start], before, mask, after)
        position = end
    return "".join([*pieces, text[position:]])
