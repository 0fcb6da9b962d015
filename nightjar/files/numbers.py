"""Numbers as text files write them."""

from __future__ import annotations

import math


def number_in(text: str) -> float | None:
    """The finite number that ``text`` is, or None.

    Python would also take ``1_000``, ``Infinity`` and ``nan``, which are words in a file.
    """
    if "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
