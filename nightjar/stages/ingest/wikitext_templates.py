"""Wikipedia templates whose arguments are running text, and the text that they show.

A template is code of its wiki, and none of it is run here; most show boxes, notes or numbers rather
than text. These few appear within sentences, which would otherwise have gaps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_NAMED = re.compile(r"\s*([^\s=|{}\[\]<>\x01][^=|{}\[\]<>\x01]{0,40}?)\s*=")
_NUMBER = re.compile(r"\s*[-+\u2212]?\d[\d,. /+]*\s*$")
_RANGES = {
    "-": "\u2013", "\u2013": "\u2013", "to": "to", "to(-)": "to", "to-": "to", "and": "and",
    "and(-)": "and", "or": "or", "x": "by", "\u00d7": "by", "by": "by", "*": "by", "xx": "by",
    "+/-": "\u00b1", "\u00b1": "\u00b1",
}  # fmt: skip
_POWERS = {"e3": "thousand ", "e6": "million ", "e9": "billion "}
_MAX_ARGUMENTS = 64
"""A template with more is a table."""


@dataclass(frozen=True, slots=True)
class Argument:
    """Where an argument's value is in the page."""

    start: int
    end: int


Shown = Sequence[Argument | str]
"""What a template shows: spans of the page, and text between them."""
_Show = Callable[[str, Sequence[Argument]], Shown]


def shown_by(text: str, start: int, end: int, pipes: Sequence[int]) -> Shown | None:
    """What the template whose name starts at ``start`` shows; None if it shows nothing.

    ``pipes`` are the positions of its own ``|`` before ``end``.
    """
    name_end = pipes[0] if pipes else end
    if name_end - start > 40 or len(pipes) > _MAX_ARGUMENTS:
        return None
    name = " ".join(text[start:name_end].replace("_", " ").split()).casefold()
    show = _argument(1) if name.startswith("lang-") else _TEMPLATES.get(name)
    if show is None:
        return None
    shown = show(text, _positional(text, [*pipes, end]))
    places = [item.start for item in shown if isinstance(item, Argument)]
    return shown if shown and places == sorted(places) else None


def _positional(text: str, bounds: Sequence[int]) -> list[Argument]:
    """Unnamed arguments, and those named by number."""
    found: dict[int, Argument] = {}
    n_unnamed = 0
    for start, end in pairwise(bounds):
        value = start + 1
        named = _NAMED.match(text, value, end)
        if named is None:
            n_unnamed += 1
            found[n_unnamed] = _stripped(text, value, end)
        elif named[1].isascii() and named[1].isdecimal() and int(named[1]) <= _MAX_ARGUMENTS:
            found[int(named[1])] = _stripped(text, named.end(), end)
    return [found[number] for number in range(1, len(found) + 1) if number in found]


def _stripped(text: str, start: int, end: int) -> Argument:
    value = text[start:end]
    start += len(value) - len(value.lstrip())
    return Argument(start, start + len(value.strip()))


def _argument(number: int) -> _Show:
    """Shows argument ``number``, counted from 1."""
    return lambda _, arguments: arguments[number - 1 : number]


def _last(_: str, arguments: Sequence[Argument]) -> Shown:
    return arguments[-1:]


def _constant(shown: str) -> _Show:
    return lambda _text, _arguments: (shown,)


def _prefixed(prefix: str) -> _Show:
    return lambda _, arguments: (prefix, arguments[0]) if arguments else ()


def _joined(separator: str) -> _Show:
    def show(_: str, arguments: Sequence[Argument]) -> Shown:
        shown: list[Argument | str] = []
        for argument in arguments:
            shown += [separator, argument]
        return shown[1:]

    return show


def _lines(_: str, arguments: Sequence[Argument]) -> Shown:
    return ("\n", arguments[0], "\n") if arguments else ()


def _fraction(_: str, arguments: Sequence[Argument]) -> Shown:
    """``{{frac|1|2}}`` is 1/2, ``{{frac|3|1|2}}`` 3 1/2, ``{{frac|2}}`` 1/2."""
    if len(arguments) == 1:
        return ("1/", arguments[0])
    if len(arguments) == 2:
        return (arguments[0], "/", arguments[1])
    return (arguments[0], " ", arguments[1], "/", arguments[2]) if arguments else ()


def _conversion(text: str, arguments: Sequence[Argument]) -> Shown:
    """The original measure, not the converted one: ``{{convert|5|to|7|km|mi}}``."""
    shown: list[Argument | str] = []
    for argument in arguments:
        value = text[argument.start : argument.end]
        is_number = _NUMBER.match(value) is not None
        if not (shown or is_number):
            return ()
        shown += [" "] if shown else []
        word = _RANGES.get(value.casefold())
        power = _POWERS.get(value[:2]) if word is None else None
        if power is not None:  # e6acre
            shown += [power, Argument(argument.start + 2, argument.end)]
        else:
            shown.append(argument if word is None else word)
        if word is None and not is_number:
            break  # the unit; the conversion follows
    return shown


_TEMPLATES: Mapping[str, _Show] = {
    **dict.fromkeys(
        (
            "abbr", "abbrlink", "tooltip", "big", "small", "smaller", "larger", "smallcaps", "sc",
            "nowrap", "nobr", "nobreak", "no break", "nowraplinks", "nobold", "noitalic", "em",
            "strong", "mark", "sub", "sup", "midsize", "resize", "sic", "not a typo", "typo",
            "proper name", "as written", "vanchor", "visible anchor", "anchored", "linktext",
            "ill", "interlanguage link", "nihongo", "val", "gaps", "num", "keypress", "code",
            "mono", "var", "mvar", "serif", "quote inline", "langr", "text",
        ),
        _argument(1),
    ),
    **dict.fromkeys(("lang", "langx", "color", "font color", "colored text"), _argument(2)),
    **dict.fromkeys(("transliteration", "transl", "translit", "script"), _last),
    **dict.fromkeys(("convert", "cvt"), _conversion),
    **dict.fromkeys(("frac", "sfrac", "fraction"), _fraction),
    **dict.fromkeys(("circa", "c.", "ca."), _prefixed("c. ")),
    **dict.fromkeys(("hlist", "flatlist", "comma separated entries", "cslist"), _joined(", ")),
    **dict.fromkeys(("quote", "blockquote", "quotation", "cquote", "quote block"), _lines),
    **dict.fromkeys(("ndash", "en dash"), _constant("\u2013")),
    **dict.fromkeys(("snd", "spaced ndash", "spnd", "spaced en dash"), _constant(" \u2013 ")),
    **dict.fromkeys(("mdash", "em dash"), _constant("\u2014")),
    **dict.fromkeys(("nbsp", "space", "thinsp", "nnbsp", "spaces", "hair space"), _constant(" ")),
    **dict.fromkeys(("'", "apostrophe"), _constant("\u2019")),
    "'s": _constant("\u2019s"),
    "\u00b7": _constant(" \u00b7 "),
}  # fmt: skip
"""By name in the English Wikipedia; other wikis use many of the same names."""
