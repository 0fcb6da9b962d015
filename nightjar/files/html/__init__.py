"""HTML to text, in time and memory linear in the page whatever it holds.

    html_elements.py  tags, text and what scripts are, as browsers tell them apart; which elements
                      are open at a place, to a bounded depth
    selectors.py      the part of CSS selectors that choosing text takes
    visible_text.py   the text that a page shows

Browsers' own way of building a tree, and the libraries that follow it, take time quadratic in
the depth of open elements (selectolax 1.0.2 with lexbor: 0.06 s for 10,000 nested ``<div>``,
0.43 s for 20,000, no end within five minutes for a million) and copy unclosed formatting into
every paragraph. So there is no tree here.
"""

from nightjar.files.html.selectors import parse_selector
from nightjar.files.html.visible_text import html_to_text

__all__ = ["html_to_text", "parse_selector"]
