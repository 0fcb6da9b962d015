"""Card (ISO/IEC 7812) and account (ISO 13616) numbers: known prefix, length and checksum."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

_SEPARATORS = r" \u00a0\u2000-\u200a\u202f\-\u2010-\u2013"
_RUN = re.compile(rf"[0-9][0-9{_SEPARATORS}]{{11,}}+")
_GROUP = re.compile("[0-9]+")
_MIN_DIGITS, _MAX_DIGITS = 12, 19
_MAX_GROUPS = 7

_ISSUERS: tuple[tuple[int, int, frozenset[int]], ...] = (
    (4, 4, frozenset({13, 16, 19})),  # Visa
    (51, 55, frozenset({16})),  # Mastercard
    (2221, 2720, frozenset({16})),  # Mastercard
    (34, 34, frozenset({15})),  # American Express
    (37, 37, frozenset({15})),
    (300, 305, frozenset({14, 16})),  # Diners Club
    (3095, 3095, frozenset({14, 16})),
    (36, 36, frozenset({14, 16})),
    (38, 39, frozenset({14, 16})),
    (6011, 6011, frozenset({16, 17, 18, 19})),  # Discover
    (644, 659, frozenset({16, 17, 18, 19})),  # Discover, RuPay
    (3528, 3589, frozenset({16, 17, 18, 19})),  # JCB
    (62, 62, frozenset({16, 17, 18, 19})),  # UnionPay
    (60, 60, frozenset({16})),  # RuPay
    (2200, 2204, frozenset({16, 17, 18, 19})),  # Mir
    (50, 50, frozenset(range(12, 20))),  # Maestro
    (56, 58, frozenset(range(12, 20))),
    (63, 63, frozenset(range(12, 20))),
    (67, 67, frozenset(range(12, 20))),
)
"""First and last prefix of each issuer, and the possible lengths of its numbers."""
_PREFIX_DIGITS = 4
_PREFIXES = {
    n_digits: frozenset(
        f"{prefix:0{_PREFIX_DIGITS}}"
        for first, last, lengths in _ISSUERS
        if n_digits in lengths
        for scale in (10 ** (_PREFIX_DIGITS - len(str(first))),)
        for prefix in range(first * scale, (last + 1) * scale)
    )
    for n_digits in range(_MIN_DIGITS, _MAX_DIGITS + 1)
}
"""Possible first four digits of a card number, by its length."""
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def find_cards(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each card number, in order.

    Digits may be grouped, separated by a single blank or dash. The longest match from a group on
    wins. Digits after a decimal point do not count.
    """
    for run in _RUN.finditer(text):
        groups = [group.span() for group in _GROUP.finditer(text, run.start(), run.end())]
        first = 1 if _is_behind_a_point(text, run.start()) else 0
        while first < len(groups):
            last = _last_group(text, groups, first)
            if last is None:
                first += 1
                continue
            yield groups[first][0], groups[last][1]
            first = last + 1


def _is_behind_a_point(text: str, start: int) -> bool:
    return start >= 2 and text[start - 1] in ".," and text[start - 2] in "0123456789"


def _last_group(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """The last group of the longest card number that starts with ``first``."""
    digits, found = "", None
    for number in range(first, min(first + _MAX_GROUPS, len(groups))):
        start, end = groups[number]
        if number > first and start - groups[number - 1][1] != 1:
            break
        if len(digits) + end - start > _MAX_DIGITS:
            break
        digits += text[start:end]
        if is_card_number(digits):
            found = number
    return found


def is_card_number(digits: str) -> bool:
    """Whether an issuer has such numbers, and the checksum (Luhn) is right."""
    prefixes = _PREFIXES.get(len(digits), frozenset())
    return digits[:_PREFIX_DIGITS] in prefixes and _luhn_sum(digits) % 10 == 0


def _luhn_sum(digits: str) -> int:
    values = [int(digit) for digit in reversed(digits)]
    return sum(values[::2]) + sum(_DOUBLED[value] for value in values[1::2])


LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}
"""Length of an IBAN by country, from the ISO 13616 registry that SWIFT keeps."""

# It starts with a digit, which re searches quickly; a lookbehind checks the letters.
_START = re.compile(r"[0-9](?<=[A-Za-z]{2}[0-9])(?<![A-Za-z0-9][A-Za-z]{2}[0-9])[0-9]", re.ASCII)
_IBAN_SEPARATORS = re.compile(rf"[{_SEPARATORS}]")


def find_ibans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each IBAN, in order; single blanks or dashes may separate characters."""
    end = 0
    for match in _START.finditer(text):
        start = match.start() - 2
        length = LENGTHS.get(text[start : start + 2].upper())
        if start < end or length is None:
            continue
        rest = _rest(length - 4).match(text, match.end())
        if rest is not None and has_valid_checksum(
            _IBAN_SEPARATORS.sub("", text[start : rest.end()])
        ):
            end = rest.end()
            yield start, end


@cache
def _rest(n_characters: int) -> re.Pattern[str]:
    return re.compile(
        rf"(?:{_IBAN_SEPARATORS.pattern}?[A-Za-z0-9]){{{n_characters}}}(?![A-Za-z0-9])", re.ASCII
    )


def has_valid_checksum(iban: str) -> bool:
    """Whether the remainder modulo 97 is 1 (ISO 7064, MOD 97-10)."""
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1
