"""Text from data, written so that it harms no page and no terminal: no control characters.

:func:`visible` is for a value on one line, :func:`harmless` for whole messages, whose lines stay,
:func:`harmless_json` for JSON, whose values stay. In HTML a token is always a text node, which the
browser does not parse. Plotly parses some tags in labels, so those are escaped
(:func:`plotly_text`).
"""

from __future__ import annotations

import html
import re

_LONGEST = 48
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters; a terminal obeys them
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # what changes the direction of writing
    "\u2028\u2029\ufff9-\ufffb\U000e0000-\U000e007f"  # line ends and tags that nobody sees
    "\ud800-\udfff]"  # half a character, which no stream can encode
)
_NOT_ASCII = re.compile("[\x7f-\U0010ffff]")


def visible(text: str, longest: int | None = _LONGEST) -> str:
    """``text`` on one line, cut to ``longest`` (None: whole); escapes for what has no glyph.

    That covers NUL, line ends and characters that reverse the writing direction.
    """
    short = text if longest is None or len(text) <= longest else f"{text[: longest - 1]}…"
    shown = short if short.isprintable() else "".join(map(_glyph, short))
    return shown if shown.strip() else repr(shown)


def _glyph(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def harmless(text: str) -> str:
    """``text`` with escapes for what a terminal would obey; line ends and tabs stay."""
    return _HARMFUL.sub(lambda found: _glyph(found[0]), text)


def harmless_json(text: str, is_ascii: bool = False) -> str:
    """A JSON document with the same value, and escapes for what a terminal would obey.

    With ``is_ascii`` everything but ASCII is an escape.
    """
    harmful = _NOT_ASCII if is_ascii else _HARMFUL
    return harmful.sub(lambda found: _json_escape(found[0]), text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def plotly_text(text: str) -> str:
    """Escape ``text`` for Plotly's labels and hover texts, which interpret tags and entities."""
    return html.escape(visible(text), quote=False)
