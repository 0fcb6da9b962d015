"""HTML to text, in time and memory linear in the size of any page.

    html_elements.py  tags, text and scripts, separated as in browsers; the stack of open elements,
                      of bounded depth
    selectors.py      the part of CSS selectors that is needed to select text
    visible_text.py   the text that a page shows

Building a tree like browsers, as the libraries do, takes time quadratic in the depth of open
elements (selectolax 1.0.2 with lexbor: 0.06 s for 10,000 nested ``<div>``, 0.43 s for 20,000, more
than five minutes for a million) and copies unclosed formatting into every paragraph. So there is no
tree here.
"""

from nightjar.files.html.selectors import parse_selector
from nightjar.files.html.visible_text import html_to_text

__all__ = ["html_to_text", "parse_selector"]
