"""The steps ``urls``, ``emails`` and ``numbers``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nightjar.config.cleaning import EmailsConfig, Handling, NumbersConfig, UrlsConfig
from nightjar.stages.ingest.cleaning.results import Changes, CleaningChange, Step

_URL_END = r"\s<>\"\u201c\u201d\u00ab\u00bb\u3000-\u9fff\uac00-\ud7af\uff00-\uffef"
"""White space, quotes, brackets of markup, and scripts written without spaces."""
_TRAILING = r".,;:!?'\u2019)\]}*_"
# The end is searched backwards. A run without a possible end is tried only once: a scheme within it
# would itself be such an end.
_URL = re.compile(
    rf"\b(?:(?:[hH][tT][tT][pP][sS]?|[fF][tT][pP])://|(?:www|WWW|Www)\.(?=\w))"
    rf"[^{_URL_END}]*[^{_URL_END}{_TRAILING}]"
)
_LOCAL = r"[\w.%+'\u2019-]"
_TOP_LEVEL = r"(?:[xX][nN]--[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,57}[a-zA-Z0-9])?|[^\W\d_]{2,24})"
_AT_HOST = rf"@(?:[\w-]{{1,63}}\.){{1,8}}{_TOP_LEVEL}"
EMAIL = re.compile(
    rf"(?<![^\W_])(?<![.%+-])(?!['\u2019_]){_LOCAL}{{1,64}}+"
    rf"(?:{_AT_HOST}(?:{_LOCAL}{{1,64}}+(?=@))?)+(?![^\W_])"
)
"""An e-mail address, or several run together; host names without a dot do not count.

Apostrophes and underscores in front are quotes and marks of emphasis, and so is what stands behind.
"""
_DIGITS = "0-9\u0660-\u0669\u06f0-\u06f9\u0966-\u096f"
_NUMBER = re.compile(
    rf"[{_DIGITS}](?<!\w.)(?<!\w[.,].)[{_DIGITS}]*+(?:[.,\u066b\u066c][{_DIGITS}]++)*+(?!\w)"
)
_URL_SIGNS = ("://", "www.", "WWW.", "Www.")
"""Every text with a URL contains one of these."""


@dataclass(frozen=True)
class _Counted:
    """The names under which a step's replacements are counted."""

    removed: CleaningChange
    masked: CleaningChange


_URLS = _Counted(CleaningChange.URLS_REMOVED, CleaningChange.URLS_MASKED)
_EMAILS = _Counted(CleaningChange.EMAILS_REMOVED, CleaningChange.EMAILS_MASKED)
_NUMBERS = _Counted(CleaningChange.NUMBERS_REMOVED, CleaningChange.NUMBERS_MASKED)


def make_url_step(config: UrlsConfig) -> Step:
    """A step for URLs: http, https, ftp, or starting with ``www.``; closing punctuation stays."""
    replace = _replacing(_URL, config.handling, config.mask, _URLS)

    def handle(text: str, changes: Changes) -> str:
        has_sign = any(sign in text for sign in _URL_SIGNS)
        return replace(text, changes) if has_sign else text

    return handle


def make_email_step(config: EmailsConfig) -> Step:
    """A step for e-mail addresses, found by :data:`EMAIL`."""
    replace = _replacing(EMAIL, config.handling, config.mask, _EMAILS)
    return lambda text, changes: replace(text, changes) if "@" in text else text


def make_number_step(config: NumbersConfig) -> Step:
    """A step for standalone numbers, with their decimal and thousands separators.

    A sign stays. ``mp3``, ``1990s`` and ``v1.2`` are words. Handles Western, Arabic, Persian and
    Devanagari digits.
    """
    return _replacing(_NUMBER, config.handling, config.mask, _NUMBERS)


def _replacing(pattern: re.Pattern[str], handling: Handling, mask: str, counted: _Counted) -> Step:
    if handling == "keep":
        return lambda text, _changes: text
    instead = mask.replace("\\", "\\\\") if handling == "mask" else ""
    what = counted.masked if handling == "mask" else counted.removed

    def replace(text: str, changes: Changes) -> str:
        text, n_replaced = pattern.subn(instead, text)
        changes.add(what, n_replaced)
        return text

    return replace
