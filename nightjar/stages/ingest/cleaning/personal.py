"""The step ``personal_data``: e-mail addresses, phone, card and IBAN numbers masked.

Phone numbers have no checksum, so they are found by their form:

- international ones: ``+`` or ``00``, a country code, 8 to 15 digits in all (ITU-T E.164);
- North American ones: three, three and four digits with separators, ``(212) 555-0123``;
- national ones with a leading zero: 9 to 12 digits in groups, ``030 1234567``,
  ``01 23 45 67 89``, or 10 or 11 together;
- any 6 to 15 digits after a word such as ``tel`` or ``phone``.

Not found: years, dates, amounts with thousands separators, numbers after the word ISBN, and local
numbers of seven digits without such a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from nightjar.config.cleaning import PersonalDataConfig, PersonalKind
from nightjar.stages.ingest.cleaning.account_numbers import find_cards, find_ibans
from nightjar.stages.ingest.cleaning.addresses import EMAIL
from nightjar.stages.ingest.cleaning.results import Changes, CleaningChange, Step

_BLANKS = r" \t\u00a0\u2000-\u200a\u202f"
_DASHES = r"\-\u2010-\u2013"
_SEPARATOR = rf"[{_BLANKS}{_DASHES}./()]"
_GAP = rf"[{_BLANKS}{_DASHES}.]"

_START = r"(?<![0-9A-Za-z])(?<![0-9][.,/\-])"
"""Neither within a word nor after a decimal point or a part of a longer number."""

_SPAN = re.compile(rf"[+(0-9][0-9{_BLANKS}{_DASHES}./()]{{5,}}+")
"""A span of the characters that make up phone numbers; only such spans are searched."""
_PHONE = re.compile(
    rf"(?P<international>\+[{_BLANKS}]?\(?[1-9](?:{_SEPARATOR}{{0,3}}[0-9]){{7,14}}"
    rf"|{_START}00[{_BLANKS}]?[1-9](?:{_SEPARATOR}{{0,3}}[0-9]){{8,13}})"
    rf"(?![0-9])"
    rf"|(?P<american>{_START}(?:1{_GAP})?"
    rf"(?:\([2-9][0-9]{{2}}\)[{_BLANKS}]?|[2-9][0-9]{{2}}{_GAP})"
    rf"[2-9][0-9]{{2}}{_GAP}[0-9]{{4}})(?![0-9]|[.,/\-][0-9])"
    rf"|(?P<national>{_START}\(?0[1-9][0-9]{{0,4}}\)?"
    rf"(?:{_SEPARATOR}{{1,2}}[0-9]{{2,8}}){{1,4}}"
    rf"|{_START}0[1-9][0-9]{{8,9}})(?![0-9])"
)
_ANY = re.compile(rf"\(?[0-9](?:{_SEPARATOR}{{0,3}}[0-9]){{5,14}}(?![0-9])")
_KEYWORD = re.compile(
    r"(?<![^\W\d_])(?:tel|phone|telephone|fax|mobile|mob|cell|telefon|telefax|handy|telefono"
    r"|tel[eé]fono|t[eé]l[eé]phone|t[eé]l)[^\w\n]{0,3}(?:no[^\w\n]{1,3})?$",
    re.IGNORECASE,
)
_KEYWORD_CHARS = 16
_ASCII_DIGITS = "0123456789"
_WORD = re.compile("[0-9A-Za-z_]")
_ISBN = re.compile(r"ISBN(?:-1[03])?[^\w\n]{0,3}$", re.IGNORECASE)
_ISBN_DIGITS = re.compile("(?:97[89][- ]?)?[0-9](?:[- ]?[0-9]){8}[- ]?[0-9X]?")
_DATE = re.compile(
    rf"[0-9]{{1,2}}{_SEPARATOR}[0-9]{{1,2}}{_SEPARATOR}(?:1[5-9]|20)[0-9]{{2}}(?![0-9])"
)
_AMOUNT = re.compile(r"\+?[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]{1,3}(?: [0-9]{3})+")
_YEARS = re.compile(rf"(?:1[5-9]|20)[0-9]{{2}}[{_BLANKS}{_DASHES}/.]{{1,3}}(?:1[5-9]|20)[0-9]{{2}}")
_MAX_AMOUNT_DIGITS = 10
_NATIONAL_DIGITS = range(9, 13)


def find_phones(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each phone number, in order."""
    for span in _SPAN.finditer(text):
        start, end = span.span()
        # The span's end hides from the patterns that a word continues there.
        while text[end - 1] in _ASCII_DIGITS and _WORD.match(text, end):
            end -= 1
        yield from _within(text, start, end)


def _within(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    before = text[max(0, start - _KEYWORD_CHARS) : start]
    if _ISBN.search(before) and (isbn := _ISBN_DIGITS.match(text, start, end)):
        start = isbn.end()
    if _KEYWORD.search(before):
        match = _ANY.match(text, start, end)
        if match is not None and _is_no_other_number(match.group()):
            yield _without_open_bracket(match)
            start = match.end()
    while match := _PHONE.search(text, start, end):
        if _is_phone(match):
            yield _without_open_bracket(match)
            start = match.end()
        else:
            start = match.start() + 1


def _without_open_bracket(match: re.Match[str]) -> tuple[int, int]:
    """The span of ``match`` without an opening bracket that is closed after it."""
    is_open = match.group()[0] == "(" and ")" not in match.group()
    return match.start() + is_open, match.end()


def _is_phone(match: re.Match[str]) -> bool:
    found = match.group()
    if match.lastgroup == "national":
        n_digits = sum(character.isdigit() for character in found)
        return n_digits in _NATIONAL_DIGITS and not _DATE.match(found)
    return match.lastgroup == "american" or _is_no_other_number(found)


def _is_no_other_number(found: str) -> bool:
    """Whether it is neither an amount nor a date nor a range of years."""
    if _DATE.match(found) or _YEARS.fullmatch(found):
        return False
    n_digits = sum(character.isdigit() for character in found)
    return not (_AMOUNT.fullmatch(found) and n_digits <= _MAX_AMOUNT_DIGITS)


MAX_CHARS = 700
"""No masked value is longer, except e-mail addresses that are run together."""

_Finder = Callable[[str], Iterator[tuple[int, int]]]


def _find_emails(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in EMAIL.finditer(text)) if "@" in text else iter(())


@dataclass(frozen=True)
class _Kind:
    """How values of one kind are found and counted."""

    find: _Finder
    change: CleaningChange
    min_digits: int
    """Texts with fewer ASCII digits have no such value."""


# Numbers with a checksum come first, then those that are recognized by form alone.
_KINDS: dict[PersonalKind, _Kind] = {
    "iban": _Kind(find_ibans, CleaningChange.PERSONAL_IBANS, 2),
    "card": _Kind(find_cards, CleaningChange.PERSONAL_CARDS, 12),
    "email": _Kind(_find_emails, CleaningChange.PERSONAL_EMAILS, 0),
    "phone": _Kind(find_phones, CleaningChange.PERSONAL_PHONES, 6),
}
_DIGITS = b"0123456789"


def make_masker(config: PersonalDataConfig) -> Step:
    """The step that masks the kinds in ``config``; it looks at ASCII digits only.

    A blank separates a mask from an adjacent letter or digit, so that no new word appears.
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
