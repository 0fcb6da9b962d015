"""IBANs: a country's length and a valid checksum (ISO 13616)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

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
"""Characters of an IBAN by country: the registry that ISO 13616 keeps at SWIFT."""

# It starts with a digit, which re looks for quickly; the letters are behind.
_START = re.compile(r"[0-9](?<=[A-Za-z]{2}[0-9])(?<![A-Za-z0-9][A-Za-z]{2}[0-9])[0-9]", re.ASCII)
_SEPARATORS = re.compile(r"[ \u00a0\u202f\-\u2010-\u2013]")


def find_ibans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each IBAN, in order; single blanks or dashes may part its characters."""
    end = 0
    for match in _START.finditer(text):
        start = match.start() - 2
        length = LENGTHS.get(text[start : start + 2].upper())
        if start < end or length is None:
            continue
        rest = _rest(length - 4).match(text, match.end())
        if rest is not None and has_valid_checksum(_SEPARATORS.sub("", text[start : rest.end()])):
            end = rest.end()
            yield start, end


@cache
def _rest(n_characters: int) -> re.Pattern[str]:
    return re.compile(
        rf"(?:{_SEPARATORS.pattern}?[A-Za-z0-9]){{{n_characters}}}(?![A-Za-z0-9])", re.ASCII
    )


def has_valid_checksum(iban: str) -> bool:
    """Whether the remainder by 97 is 1 (ISO 7064, MOD 97-10)."""
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1
