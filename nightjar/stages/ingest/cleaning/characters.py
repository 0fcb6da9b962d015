"""The steps ``repair``, ``unicode``, ``control_characters`` and ``white_space``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from itertools import chain

from nightjar.config.cleaning import (
    ControlCharactersConfig,
    RepairConfig,
    UnicodeConfig,
    WhiteSpaceConfig,
)
from nightjar.stages.ingest.cleaning.results import Changes, CleaningChange, Step

MAX_MARKS = 30
"""Most combining marks in a row (UAX #15, section 13, Stream-Safe Text Format)."""

_LINE_ENDS = "\x0b\x0c\x1c\x1d\x1e\u2028\u2029"
"""The line ends of ``str.splitlines`` other than newline, carriage return and C1."""
_INSTEAD = {
    **{chr(code): bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)},
    **dict.fromkeys(_LINE_ENDS, "\n"),
    "\x1f": " ",
}
"""Replacements of controls that are not simply removed; private use characters become blanks."""
_CONTROLS = (
    *((0x00, 0x08), (0x0B, 0x0C), (0x0E, 0x1F), (0x7F, 0x9F)),  # C0 and C1
    *((0x2028, 0x2029), (0xFDD0, 0xFDEF), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB)),
    *((plane + 0xFFFE, plane + 0xFFFF) for plane in range(0, 0x110000, 0x10000)),
)
"""Controls, line and paragraph separators, BOM, annotation marks, noncharacters."""
_ASCII_CONTROLS = bytes(
    code for first, last in _CONTROLS for code in range(first, min(last, 0x7F) + 1)
)
_BIDI = ((0x061C, 0x061C), (0x200E, 0x200F), (0x202A, 0x202E), (0x2066, 0x2069))
_PRIVATE_USE = ((0xE000, 0xF8FF), (0xF0000, 0xFFFFD), (0x100000, 0x10FFFD))
_ZERO_WIDTH = (
    *((0x00AD, 0x00AD), (0x180E, 0x180E), (0x200B, 0x200B)),
    *((0x2060, 0x2064), (0x206A, 0x206F), (0xE0001, 0xE007F)),
)
_VARIATION_SELECTORS = ((0x180B, 0x180D), (0x180F, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
_Ranges = Iterable[tuple[int, int]]


def make_control_remover(config: ControlCharactersConfig) -> Step:
    """The step that removes what ``config`` names; tab and newline stay.

    CR and CR LF become newlines and are not counted. Other line separators become newlines; the
    unit separator and private use characters become blanks. A C1 control becomes the Windows-1252
    character with the same code, as in HTML, since the text was probably Windows-1252 decoded as
    Latin-1. Everything else is removed. Lone surrogates stay: they make a text undecodable, which
    ingest reports.
    """
    ranges = list(_CONTROLS)
    ranges += _BIDI if config.bidi else ()
    ranges += _PRIVATE_USE if config.private_use else ()
    ranges += _ZERO_WIDTH if config.zero_width else ()
    ranges += _VARIATION_SELECTORS if config.variation_selectors else ()
    pattern = re.compile(f"[{_inside(ranges)}]")
    keeps_printable = not config.variation_selectors

    def remove(text: str, changes: Changes) -> str:
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if text.isascii():
            data = text.encode("ascii")
            if len(data.translate(None, _ASCII_CONTROLS)) == len(data):
                return text
        # Everything that the pattern finds is unprintable, except variation selectors.
        elif keeps_printable and text.replace("\n", " ").replace("\t", " ").isprintable():
            return text
        text, n_removed = pattern.subn(_instead_of, text)
        changes.add(CleaningChange.CONTROLS, n_removed)
        return text

    return remove


def _instead_of(match: re.Match[str]) -> str:
    character = match.group()
    instead = _INSTEAD.get(character)
    if instead is not None:
        return instead
    return " " if unicodedata.category(character) == "Co" else ""


def make_normalizer(config: UnicodeConfig) -> Step:
    """The step that normalizes a text to the form of ``config``.

    Combining marks beyond :data:`MAX_MARKS` in a row are removed and counted, because Python sorts
    them in quadratic time.
    """
    form = config.form

    def normalize(text: str, changes: Changes) -> str:
        if text.isascii():
            return text
        # Characters outside the basic plane take two code units: the fastest test for them.
        has_astral = len(text.encode("utf-16-le", "surrogatepass")) != 2 * len(text)
        limited = _many_marks(astral=has_astral).sub(_first_marks, text)
        changes.add(CleaningChange.MARKS, len(text) - len(limited))
        normalized = unicodedata.normalize(form, limited)
        changes.add(CleaningChange.NORMALIZED, normalized != limited)
        return normalized

    return normalize


def _first_marks(match: re.Match[str]) -> str:
    return match.group()[:MAX_MARKS]


@cache
def _many_marks(*, astral: bool) -> re.Pattern[str]:
    """More than MAX_MARKS combining marks in a row, including characters that decompose to marks.

    Without ``astral`` it is for text of the basic plane: ``re`` looks those characters up in a
    table, but tries every range of others in turn.
    """
    codes = (
        chain(range(0x300, 0x20000), range(0xE0000, 0xE1000)) if astral else range(0x300, 0x10000)
    )
    marks = ((code, code) for code in codes if _starts_with_a_mark(chr(code)))
    inside = _inside(_joined(marks))
    return re.compile(f"[{inside}]{{{MAX_MARKS + 1}}}[{inside}]*+")


def _starts_with_a_mark(character: str) -> bool:
    if unicodedata.combining(character):
        return True
    if not unicodedata.decomposition(character):
        return False
    return unicodedata.combining(unicodedata.normalize("NFKD", character)[0]) != 0


def make_respacer(config: WhiteSpaceConfig) -> Step:
    """The step that leaves single blanks between words and none at line ends.

    Lines are split as by ``str.splitlines`` and joined with newlines. Empty lines beyond
    ``max_blank_lines`` in a row, and all at both ends of the text, are removed.
    """
    shorten = _blank_line_limiter(config.max_blank_lines)

    def respace(text: str, changes: Changes) -> str:
        lines = [" ".join(line.split()) for line in text.splitlines()]
        respaced = shorten("\n".join(lines)).strip("\n")
        changes.add(CleaningChange.RESPACED, respaced != text)
        return respaced

    return respace


def _blank_line_limiter(max_blank_lines: int) -> Callable[[str], str]:
    allowed = "\n" * (max_blank_lines + 1)
    pattern = re.compile(rf"{allowed}\n++")

    def shorten(text: str) -> str:
        return pattern.sub(allowed, text) if allowed + "\n" in text else text

    return shorten


def _joined(ranges: _Ranges) -> list[tuple[int, int]]:
    """Merge adjacent ranges; ``ranges`` ascend."""
    joined: list[tuple[int, int]] = []
    for first, last in ranges:
        if joined and joined[-1][1] == first - 1:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _inside(ranges: _Ranges) -> str:
    """The inside of a ``[...]`` pattern for these ranges of code points."""
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


_ESCAPE = "\033"


def make_repair(config: RepairConfig) -> Step:
    """The repair step for ``config``; imports ftfy.

    Repairs only lines with characters beyond ASCII or a terminal escape, one by one: ftfy changes
    no others. A line longer than a million characters is repaired in pieces.
    """
    import ftfy  # noqa: PLC0415 (no import while planning)

    fixer = ftfy.TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=config.terminal_escapes,
        fix_encoding=config.encoding,
        fix_c1_controls=config.encoding,
        fix_latin_ligatures=config.ligatures,
        fix_character_width=config.character_width,
        uncurl_quotes=config.quotes,
        fix_line_breaks=False,
        fix_surrogates=config.surrogates,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )

    def repair(text: str, changes: Changes) -> str:
        if text.isascii() and _ESCAPE not in text:
            return text
        repaired = "\n".join(
            line if line.isascii() and _ESCAPE not in line else ftfy.fix_text(line, fixer)
            for line in text.split("\n")
        )
        changes.add(CleaningChange.REPAIRED, repaired != text)
        return repaired

    return repair
