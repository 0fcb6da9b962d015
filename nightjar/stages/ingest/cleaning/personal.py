"""The step ``personal_data``: e-mail addresses, phone, card and IBAN numbers masked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from nightjar.config.cleaning import PersonalDataConfig, PersonalKind
from nightjar.stages.ingest.cleaning.addresses import EMAIL
from nightjar.stages.ingest.cleaning.card_numbers import find_cards
from nightjar.stages.ingest.cleaning.ibans import find_ibans
from nightjar.stages.ingest.cleaning.phones import find_phones
from nightjar.stages.ingest.cleaning.results import Change, Changes, Step

MAX_CHARS = 700
"""No masked value is longer, but for e-mail addresses that are written together."""

_Finder = Callable[[str], Iterator[tuple[int, int]]]


def _find_emails(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in EMAIL.finditer(text)) if "@" in text else iter(())


@dataclass(frozen=True)
class _Kind:
    """How values of a kind are found and counted."""

    find: _Finder
    change: Change
    min_digits: int
    """Texts with fewer ASCII digits hold none of them."""


# Numbers with a checksum come first, then those known by their form alone.
_KINDS: dict[PersonalKind, _Kind] = {
    "iban": _Kind(find_ibans, Change.PERSONAL_IBANS, 2),
    "card": _Kind(find_cards, Change.PERSONAL_CARDS, 12),
    "email": _Kind(_find_emails, Change.PERSONAL_EMAILS, 0),
    "phone": _Kind(find_phones, Change.PERSONAL_PHONES, 6),
}
_DIGITS = b"0123456789"


def make_masker(config: PersonalDataConfig) -> Step:
    """The step that masks the kinds of ``config``; ASCII digits alone are looked at.

    A mask next to a letter or digit is set off by a blank, so that no other word arises.
    """
    kinds = [(kind, config.mask_of(name)) for name, kind in _KINDS.items() if name in config.kinds]

    def mask(text: str, changes: Changes) -> str:
        data = text.encode("utf-8", "surrogatepass")
        n_digits = len(data) - len(data.translate(None, _DIGITS))
        for kind, instead in kinds:
            spans = list(kind.find(text)) if n_digits >= kind.min_digits else []
            if spans:
                text = _masked(text, spans, instead)
                changes.add(kind.change, len(spans))
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
