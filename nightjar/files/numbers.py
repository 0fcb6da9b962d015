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


def is_number(text: str | bytes) -> bool:
    """Whether ``text`` is a number; with an underscore it is one for Python alone."""
    try:
        float(text)
    except ValueError:
        return False
    return (b"_" if isinstance(text, bytes) else "_") not in text  # type: ignore[operator]
