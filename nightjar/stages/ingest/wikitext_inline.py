"""What is left of wikitext once blocks are gone: links, addresses, emphasis, variants, entities.

The rules are those of MediaWiki's parser (includes/parser: ``handleInternalLinks``, ``doQuotes``,
``handleExternalLinks``; includes/language/LanguageConverter). Every pattern is linear in the text.
"""

from __future__ import annotations

import html
import re
from html.entities import html5

from nightjar.files.html.html_elements import RAISED_NUMBER

_LINK = re.compile(
    r"\[\[([^\[\]{}|\n<>]*+)(?:\|((?:[^\[\]]++|\[(?!\[)|\](?!\]))*+))?\]\]", re.DOTALL
)
_PROTOCOL = (
    r"(?:(?:https?|ftps?|ircs?|gopher|telnet|nntp|worldwind|svn|git|mms|ssh|sftp|redis)://"
    r"|//|mailto:|news:|urn:|geo:|tel:|sip:|sips:|xmpp:|magnet:|bitcoin:|matrix:|sms:)"
)
_ADDRESS_LINK = re.compile(
    rf"\[{_PROTOCOL}[^\s\[\]<>\"\x01]++[ \t\x01]*+([^\[\]\n]*+)\]", re.IGNORECASE
)
_IS_ADDRESS = re.compile(r"\s*[a-z]{2,10}://", re.IGNORECASE)
_QUOTES = re.compile(r"('{2,})")
_ENTITY = re.compile(r"&(?:#[0-9]{1,8}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_LITERAL_QUOTE = "&#39;"
_NO_CHARACTER = "\ufffd"
_ITALIC, _BOLD, _BOTH = 2, 3, 5


def without_links(text: str) -> str:
    """``text`` with each link as its own text, or as its target; addresses go."""
    return _ADDRESS_LINK.sub(r"\1", _LINK.sub(_shown, text))


def _shown(link: re.Match[str]) -> str:
    target, text = link[1], link[2]
    if _IS_ADDRESS.match(target):
        return link[0]  # an address in brackets
    shown = without_emphasis(text) if text and text.strip() else target.strip().lstrip(":").strip()
    # The rest of its line has marks of its own.
    return shown.replace("'", _LITERAL_QUOTE)


def without_emphasis(text: str) -> str:
    """``text`` without the marks of bold and italic letters; apostrophes stay."""
    if "''" not in text:
        return text
    return "\n".join(map(_unquoted, text.split("\n")))


def _unquoted(line: str) -> str:
    """doQuotes: of three apostrophes one may be text, where bold and italic do not both pair up."""
    parts = _QUOTES.split(line)
    lengths = [len(mark) for mark in parts[1::2]]
    for number, length in enumerate(lengths):
        if length == 4 or length > _BOTH:
            lengths[number] = _BOLD if length == 4 else _BOTH
            parts[2 * number] += "'" * (length - lengths[number])
    n_both = lengths.count(_BOTH)
    n_bold, n_italic = lengths.count(_BOLD) + n_both, lengths.count(_ITALIC) + n_both
    if n_bold % 2 and n_italic % 2:
        place = _apostrophe(parts, lengths)
        if place is not None:
            parts[2 * place] += "'"
    return "".join(parts[::2])


def _apostrophe(parts: list[str], lengths: list[int]) -> int | None:
    """Which mark of three begins with an apostrophe.

    The first one behind a word of one letter, else behind a longer word, else behind a space.
    """
    behind_word = behind_space = None
    for number, length in enumerate(lengths):
        if length != _BOLD:
            continue
        before = parts[2 * number]
        if before.endswith(" "):
            behind_space = number if behind_space is None else behind_space
        elif before[-2:-1] == " " and before.isascii():
            return number
        elif behind_word is None:
            behind_word = number
    return behind_space if behind_word is None else behind_word


_VARIANTS = re.compile(r"-\{([^{}]*)\}-")
_CODE = r"[a-z]{2,3}(?:-[a-z]{2,8})*"
_FLAGS = re.compile(rf"\s*(?:[A-Z+-]|{_CODE})(?:\s*;\s*(?:[A-Z+-]|{_CODE}))*\s*\Z|\s*\Z")
_RULE = re.compile(rf"(?:[^;:]*=>)?\s*{_CODE}\s*:(?!//)(.*)", re.DOTALL)
_NEXT_RULE = re.compile(rf";\s*(?=(?:[^;:{{}}]{{0,100}}=>)?\s*{_CODE}\s*:)")
_SHOWS_NOTHING = frozenset("HT-")
_MAX_NESTED = 4


def in_one_variant(text: str) -> str:
    """``text`` with ``-{zh-hans:...; zh-hant:...}-`` in the variant that comes first."""
    for _ in range(_MAX_NESTED):
        if "-{" not in text:
            break
        text = _VARIANTS.sub(_variant, text)
    return text


def _variant(match: re.Match[str]) -> str:
    flags, bar, rest = match[1].partition("|")
    if not bar or not _FLAGS.match(flags):
        flags, rest = "", match[1]
    found = {flag.strip() for flag in flags.split(";")}
    if _SHOWS_NOTHING & found:
        return ""
    if "R" in found:
        return rest
    rule = _RULE.fullmatch(_NEXT_RULE.split(rest.strip().rstrip(";"), maxsplit=1)[0].strip())
    return rest if rule is None else rule[1].strip()


RAISED, LOWERED, FRACTION = "\x03", "\x04", "\x05"
"""Stand for ``<sup>``, for its end and in front of a fraction. XML cannot contain them."""
SIGNS = RAISED + LOWERED + FRACTION
_BETWEEN_NUMBERS = re.compile(rf"(?<=\d)[{SIGNS}]++(?={RAISED_NUMBER.pattern})")
_NO_SIGNS = dict.fromkeys(map(ord, SIGNS))


def without_signs(text: str) -> str:
    """``text`` with ``^`` for signs before a power, a blank before a fraction, and no others."""
    return _BETWEEN_NUMBERS.sub(_parted, text).translate(_NO_SIGNS)


def _parted(signs: re.Match[str]) -> str:
    if signs[0].rstrip(FRACTION).endswith(RAISED):
        return "^"
    return " " if FRACTION in signs[0] else ""


def decoded_entities(text: str) -> str:
    """``text`` with entities as characters; one needs its semicolon."""
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(entity: re.Match[str]) -> str:
    written = entity[0]
    # Of a name the library also decodes the beginning.
    character = html.unescape(written) if written[1] == "#" else html5.get(written[1:], written)
    return "" if character == _NO_CHARACTER else character
