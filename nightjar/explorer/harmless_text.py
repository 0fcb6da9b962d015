"""How a token is written so that it cannot do anything: no markup, no control characters.

In HTML a token is always a text node, which the browser does not parse. Plotly parses some tags
in labels, so those are escaped (:func:`plotly_text`).
"""

from __future__ import annotations

import html

_LONGEST = 48


def visible(text: str, longest: int = _LONGEST) -> str:
    """``text`` on one line: characters without a glyph are written as escapes, the rest is cut.

    That covers NUL, line ends and what turns the direction of writing around.
    """
    short = text if len(text) <= longest else f"{text[: longest - 1]}…"
    shown = short if short.isprintable() else "".join(map(_glyph, short))
    return shown if shown.strip() else repr(shown)


def _glyph(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def plotly_text(text: str) -> str:
    """``text`` for a label or a hover text of Plotly, which reads tags and entities there."""
    return html.escape(visible(text), quote=False)
