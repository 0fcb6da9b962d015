"""Wikipedia templates whose arguments are running text, and the text that they show.

A template is code of its wiki, and none of it is run here; most show boxes, notes or numbers rather
than text. These few appear within sentences, which would otherwise have gaps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nightjar.stages.ingest.wikitext_inline import FRACTION, LOWERED, RAISED

_NAMED = re.compile(r"\s*([^\s=|{}\[\]<>\x01][^=|{}\[\]<>\x01]{0,40}?)\s*=")
_NUMBER = re.compile(r"\s*[-+\u2212]?\d[\d,. /+]*\s*$")
_RANGES = {
    "-": "\u2013", "\u2013": "\u2013", "to": "to", "to(-)": "to", "to-": "to", "and": "and",
    "and(-)": "and", "or": "or", "x": "by", "\u00d7": "by", "by": "by", "*": "by", "xx": "by",
    "+/-": "\u00b1", "\u00b1": "\u00b1",
}  # fmt: skip
_LARGE_TO_SMALL = (
    "mi mile miles; fur furlong furlongs; ch chain chains; yd yard yards; ft foot feet; in inch",
    "LT ton tons; cwt; qr; st stone; lb lbs pound pounds; oz ounce ounces",
)
_RANKS = {
    unit: (kind, rank)
    for kind, units in enumerate(_LARGE_TO_SMALL)
    for rank, names in enumerate(units.split(";"))
    for unit in names.split()
}
"""Of units that follow each other, as in 5 ft 6 in: what they measure, and their order."""
_POWERS = {"e3": "thousand ", "e6": "million ", "e9": "billion "}
_MAX_NAME = 40
_SUBSTITUTED = re.compile(r"(?:\s*(?:safe)?subst:)?", re.IGNORECASE)
_FUNCTION = re.compile(r"\s*([^\s:|{}\[\]]{1,20})\s*:")
_GERMAN_LANGUAGE = re.compile(r"[A-Za-z][a-z]{1,2}S")
"""{{enS|King}} is English for German readers."""
_TITLES = frozenset(("pagename", "fullpagename", "basepagename", "subpagename"))
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


def shown_by(
    text: str, start: int, end: int, pipes: Sequence[int], title: str = ""
) -> Shown | None:
    """What the template whose name starts at ``start`` shows; None if it shows nothing.

    ``pipes`` are the positions of its own ``|`` before ``end``; ``title`` is that of the page.
    """
    if len(pipes) > _MAX_ARGUMENTS:
        return None
    start = _SUBSTITUTED.match(text, start, end).end()  # type: ignore[union-attr]
    name_end = pipes[0] if pipes else end
    function = _FUNCTION.match(text, start, name_end)
    if function is not None and function[1].casefold() in _FUNCTIONS:
        value = _stripped(text, function.end(), name_end)
        shown = _FUNCTIONS[function[1].casefold()](text, [value, *_positional(text, [*pipes, end])])
    else:
        if name_end - start > _MAX_NAME:
            return None
        written = " ".join(text[start:name_end].replace("_", " ").split())
        name = written.casefold()
        if name in _TITLES and title:
            return (title,)
        is_language = name.startswith("lang-") or _GERMAN_LANGUAGE.fullmatch(written) is not None
        show = _argument(1) if is_language else _TEMPLATES.get(name)
        if show is None:
            return None
        names = _TEXT if is_language else _NAMES.get(name, _NO_NAMES)
        shown = show(text, _positional(text, [*pipes, end], names))
    places = [item.start for item in shown if isinstance(item, Argument)]
    return shown if shown and places == sorted(places) else None


_NO_NAMES: Mapping[str, int] = {}


def _positional(
    text: str, bounds: Sequence[int], names: Mapping[str, int] = _NO_NAMES
) -> list[Argument]:
    """Unnamed arguments, and those named by number or by ``names``.

    A name replaces what has its number, unless its value is empty; the last of ``names`` counts.
    """
    found: dict[int, Argument] = {}
    named_here: dict[str, Argument] = {}
    n_unnamed = 0
    for start, end in pairwise(bounds):
        value = start + 1
        named = _NAMED.match(text, value, end)
        if named is None:
            n_unnamed += 1
            found[n_unnamed] = _stripped(text, value, end)
        elif named[1].isascii() and named[1].isdecimal() and int(named[1]) <= _MAX_ARGUMENTS:
            found[int(named[1])] = _stripped(text, named.end(), end)
        elif named[1].casefold() in names:
            named_here[named[1].casefold()] = _stripped(text, named.end(), end)
    for name, number in names.items():
        argument = named_here.get(name)
        if argument is not None and argument.end > argument.start:
            found[number] = argument
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


def _spaced(n_arguments: int, *, prefix: str = "", suffix: str = "") -> _Show:
    """Shows that many arguments with spaces between, within ``prefix`` and ``suffix``."""

    def show(text: str, arguments: Sequence[Argument]) -> Shown:
        there = [item for item in arguments[:n_arguments] if item.end > item.start]
        shown = _joined(" ")(text, there)
        return (
            (*([prefix] if prefix else []), *shown, *([suffix] if suffix else [])) if shown else ()
        )

    return show


def _together(suffix: str = "") -> _Show:
    """Shows the first two arguments as one word: ``{{s|XIX|e}}``."""

    def show(_: str, arguments: Sequence[Argument]) -> Shown:
        return (*arguments[:2], suffix) if arguments else ()

    return show


def _power(_: str, arguments: Sequence[Argument]) -> Shown:
    """``10{{sup|6}}`` is not 106, but ``19{{sup|th}}`` is 19th."""
    return (RAISED, arguments[0], LOWERED) if arguments else ()


def _ten_to(_: str, arguments: Sequence[Argument]) -> Shown:
    """``5{{e|9}}`` is 5 times ten to the ninth; French writes ``XIX{{e}}``."""
    return (" \u00d7 10^", arguments[0]) if arguments else ("e",)


def _linked(_: str, arguments: Sequence[Argument]) -> Shown:
    """The second argument, the text of a link, or else the first, its target."""
    return arguments[1:2] or arguments[:1]


def _plural(text: str, arguments: Sequence[Argument]) -> Shown:
    """``{{plural:2|page|pages}}``: the first form is for one, the last for many."""
    if len(arguments) < 2:
        return ()
    is_one = text[arguments[0].start : arguments[0].end] in ("1", "-1")
    return (arguments[1],) if is_one else (arguments[-1],)


def _lines(_: str, arguments: Sequence[Argument]) -> Shown:
    return ("\n", arguments[0], "\n") if arguments else ()


def _fraction(_: str, arguments: Sequence[Argument]) -> Shown:
    """``{{frac|1|2}}`` is 1/2, ``{{frac|3|1|2}}`` 3 1/2, ``{{frac|2}}`` 1/2."""
    if len(arguments) == 1:
        return (FRACTION, "1/", arguments[0])
    if len(arguments) == 2:
        return (FRACTION, arguments[0], "/", arguments[1])
    return (FRACTION, arguments[0], " ", arguments[1], "/", arguments[2]) if arguments else ()


def _conversion(text: str, arguments: Sequence[Argument]) -> Shown:
    """The original measure, not the converted one: ``{{convert|5|to|7|km|mi}}``."""
    shown: list[Argument | str] = []
    for place, argument in enumerate(arguments):
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
            shown += _smaller_units(text, arguments[place:])
            break  # the conversion follows
    return shown


def _smaller_units(text: str, arguments: Sequence[Argument]) -> Shown:
    """What belongs to the first unit of ``arguments``: ``{{convert|5|ft|6|in|m}}``."""
    shown: list[Argument | str] = []
    unit, *others = arguments
    for number, smaller in zip(others[::2], others[1::2], strict=False):
        is_number = _NUMBER.match(text, number.start, number.end) is not None
        if not (is_number and _is_larger(_written(text, unit), _written(text, smaller))):
            break
        shown += [" ", number, " ", smaller]
        unit = smaller
    return shown


def _is_larger(unit: str, smaller: str) -> bool:
    kind, rank = _RANKS.get(unit, (None, 0))
    other_kind, other_rank = _RANKS.get(smaller, (None, 0))
    return kind == other_kind and rank < other_rank


def _written(text: str, argument: Argument) -> str:
    return text[argument.start : argument.end]


_TEXT = dict.fromkeys(("text", "texte", "texto", "testo", "tekst", "текст", "zitat", "quote"), 1)
_FOREIGN_TEXT = {"code": 1, "langue": 1, "text": 2, "texte": 2}
_LABEL = {"lt": 1, "label": 1}
_NAMES: Mapping[str, Mapping[str, int]] = {
    **dict.fromkeys(
        ("quote", "blockquote", "quotation", "cquote", "quote block", "quote inline", "zitat", '"',
         "cita", "citazione", "цитата", "cytat", "citaat"),
        _TEXT,
    ),
    **dict.fromkeys(("lang", "langx", "langue"), _FOREIGN_TEXT),
    **dict.fromkeys(("ill", "interlanguage link", "仮リンク"), _LABEL),
    "lien": {"fr": 1, "texte": 1},
    "citation": {"texte": 1, "citation": 1},  # in English a reference, with its quote in a note
}  # fmt: skip
"""Names of arguments by template, and the numbers that they stand for."""

_FUNCTIONS: Mapping[str, _Show] = {
    **dict.fromkeys(
        ("formatnum", "zahlenformat", "lc", "uc", "lcfirst", "ucfirst", "#dateformat",
         "#formatdate", "dateformat", "formatdate", "nse", "anchorencode"),
        _argument(1),
    ),
    "plural": _plural,
    "grammar": _argument(2),
    "gender": _argument(2),
}  # fmt: skip
"""Functions of every wiki, whose first argument stands behind a colon."""

_TEMPLATES: Mapping[str, _Show] = {
    **dict.fromkeys(
        (
            "abbr", "abbrlink", "tooltip", "big", "small", "smaller", "larger", "smallcaps", "sc",
            "nowrap", "nobr", "nobreak", "no break", "nowraplinks", "nobold", "noitalic", "em",
            "strong", "mark", "sub",  "midsize", "resize", "sic", "not a typo", "typo",
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
    # Links of Wikinews and others, and across languages.
    **dict.fromkeys(("w", "wp", "wikipedia", "wplink", "pw", "нп3", "нп5", "iw"), _linked),
    **dict.fromkeys(
        ("link-en", "le", "仮リンク", "lien", "não traduzido", "нп", "не переведено", "tsl2"),
        _argument(1),
    ),
    "tsl": _last,
    # French.
    **dict.fromkeys(("s", "siècle", "siecle", "sp"), _together(" siècle")),
    **dict.fromkeys(("s-", "-s", "s mini-", "s mini", "ord", "nobr romains"), _together()),
    **dict.fromkeys(
        ("unité", "unite", "unité/2", "tunité", "nombre", "nb", "nombre et unité", "heure"),
        _spaced(2),
    ),
    **dict.fromkeys(
        ("date", "date-", "date de naissance", "date de naissance-", "date de décès",
         "date de décès-", "1er janvier"),
        _spaced(3),
    ),
    **dict.fromkeys(
        ("langue", "corr", "lang-rtl", "souverain3"), _argument(2),
    ),
    **dict.fromkeys(
        ("abréviation", "abréviation discrète", "abrd",   "ind", "indice",
         "petit", "grand", "petites capitales", "pc", "japonais", "souverain", "souverain-",
         "roi", "rom", "rom-maj", "rom-min", "écrit", "formule", "tooltip", "comment", "nowrap",
         "число", "num", "fs", "kapitälchen",  "tief",  "tiefgestellt",
         "polytonisch", "arabisch", "iast",   "hebr", "unicode", "zahl", "ers",
         "esd", "versalita", "versal", "fmtn", "j", "ruby", "読み仮名", "jis2004フォント",
         "補助漢字フォント", "cp932フォント", "angbr", "gloss", "math", "chem2", "flag",
         "flagcountry", "flagu", "ordinal", "comment"),
        _argument(1),
    ),
    "1er": _constant("1er"), "1re": _constant("1re"), "ier": _constant("Ier"),
    "ire": _constant("Ire"), "er": _constant("er"), "re": _constant("re"),
    "n°": _constant("no"), "numéro": _constant("no"), "no": _constant("no"),
    "mme": _constant("Mme"), "mlle": _constant("Mlle"), "m.": _constant("M."),
    "dr": _constant("Dr"), "st": _constant("St"), "ste": _constant("Ste"),
    "av jc": _constant("av. J.-C."), "av. j.-c.": _constant("av. J.-C."),
    "apr jc": _constant("apr. J.-C."), "euro": _constant("euro"),
    "p.": _spaced(1, prefix="p. "), "vol.": _spaced(1, prefix="vol. "),
    "chap.": _spaced(1, prefix="chap. "), "art.": _spaced(1, prefix="art. "),
    **dict.fromkeys(("citation", "guil", "guillemets", "«"), _spaced(1, prefix="« ", suffix=" »")),
    # German.
    "höhe": _spaced(1, suffix=" m"), "temperatur": _spaced(1, suffix=" °C"),
    '"': _spaced(1, prefix="„", suffix="“"), "bruch": _fraction, "§": _spaced(2, prefix="§ "),
    # Italian, Spanish, Portuguese, Russian, Polish.
    **dict.fromkeys(("m", "unidad", "unidade", "fmtunit", "val/units"), _spaced(2)),
    "siglo": _spaced(1, prefix="siglo "), "séc": _spaced(1, prefix="século "),
    "ac": _constant("a. C."), "dc": _constant("d. C."),
    **dict.fromkeys(("zitat", "cita", "citazione", "цитата", "cytat", "citaat"), _lines),
    # English again.
    **dict.fromkeys(("sup", "exp", "exposant", "hoch", "hochgestellt"), _power),
    "e": _ten_to,
    "as of": _spaced(1, prefix="as of "), "since": _spaced(1, prefix="since "),
    "floruit": _prefixed("fl. "), "fl.": _prefixed("fl. "),
    "ad": _prefixed("AD "), "bibleverse": _spaced(2), "ship": _spaced(2),
    **{name: _prefixed(f"{name.upper()} ") for name in ("hms", "uss", "ss", "rms", "mv", "hmas")},
    **{name: _prefixed(name.upper()) for name in ("us$", "a$", "c$", "£", "€", "¥")},
    "inrconvert": _prefixed("₹"), "inr": _prefixed("₹"), "okina": _constant("\u02bb"),
    "ell": _constant("…"), "sqrt": _prefixed("√"), "chem": _together(), "=": _constant("="),
    "'s": _constant("\u2019s"),
    "\u00b7": _constant(" \u00b7 "),
}  # fmt: skip
"""By name in the Wikipedias; many names are the same in several."""
