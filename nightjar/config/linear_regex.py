r"""Regular expressions whose search takes time linear in the text, by RE2.

Python's ``re`` tries alternatives one after the other: ``(a+)+b`` takes minutes for forty letters.
RE2 has neither look-around nor references to groups, whose search cannot be linear. Its ``\w``,
``\d`` and ``\s`` know ASCII alone, so they are written out here as Unicode's classes, which they
are in Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_CLASSES = {"w": r"\p{L}\p{N}_", "d": r"\p{Nd}", "s": r"\s\p{Z}\x0b\x1c-\x1f\x85"}
_MAX_SHOWN_CHARS = 80
_PIECE = re.compile(r"\\.|\[:\^?\w+:\]|\[\^?\]?|.", re.DOTALL)


def make_search(pattern: str) -> Callable[[str], bool]:
    """The function that says whether ``pattern`` is found in a text.

    Raises ValueError for a pattern that RE2 does not have, with what to write instead.
    """
    import re2  # noqa: PLC0415  # few sources have conditions with expressions

    options = re2.Options()
    options.log_errors = False
    try:
        search = re2.compile(_with_unicode_classes(pattern), options).search
    except re2.error as error:
        raise ValueError(_problem(pattern, error)) from error
    except UnicodeEncodeError as error:
        raise ValueError("the expression has half a character") from error

    def is_found(text: str) -> bool:
        # Half a character is found by no expression.
        return search(text.encode("utf-8", "replace")) is not None

    return is_found


def _problem(pattern: str, error: Exception) -> str:
    reason = error.args[0]
    shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    shown = shown[:_MAX_SHOWN_CHARS]
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return f"not a regular expression: {shown}"
    return (
        f"this expression is not supported: {shown}. It is read by RE2, which takes linear time "
        f"and has no look-around, references to groups or possessive repetition"
    )


def _with_unicode_classes(pattern: str) -> str:
    r"""``pattern`` with ``\w``, ``\d``, ``\s`` and their opposites as Unicode's classes."""
    pieces = []
    is_in_class = False
    for match in _PIECE.finditer(pattern):
        piece = match[0]
        if is_in_class and piece.startswith("[") and not piece.startswith("[:"):
            pieces.append(r"\[" + piece[1:])
            is_in_class = not piece.endswith("]")
            continue
        if piece.startswith("[") and not is_in_class:
            is_in_class = not piece.startswith("[:")
        elif piece == "]":
            is_in_class = False
        elif piece in (r"\b", r"\B") and not (is_in_class or pattern.isascii()):
            raise ValueError(
                rf"{piece} knows words of ASCII letters alone; write (^|[^\pL]) and ([^\pL]|$)"
            )
        elif piece[0] == "\\" and piece[1:].lower() in _CLASSES:
            piece = _written_out(piece[1:], is_in_class=is_in_class)
        pieces.append(piece)
    return "".join(pieces)


def _written_out(letter: str, *, is_in_class: bool) -> str:
    named = _CLASSES[letter.lower()]
    if letter == "D":
        return r"\P{Nd}"
    if letter.islower():
        return named if is_in_class else f"[{named}]"
    if is_in_class:
        raise ValueError(rf"\{letter} within [...] is not supported; a letter is \pL, a number \pN")
    return f"[^{named}]"
