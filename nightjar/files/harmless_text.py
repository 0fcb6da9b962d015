"""Text from data, written so that it harms no page and no terminal: no control characters.

In HTML a token is always a text node, which the browser does not parse. Plotly parses some tags
in labels, so those are escaped (:func:`plotly_text`).
"""

from __future__ import annotations

import html

_LONGEST = 48


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


def plotly_text(text: str) -> str:
    """Escape ``text`` for Plotly's labels and hover texts, which interpret tags and entities."""
    return html.escape(visible(text), quote=False)
