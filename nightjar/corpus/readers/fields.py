"""What the readers of tables and objects share: a record's id, and a field that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from nightjar.errors import SourceError


def native_id(value: object) -> str | None:
    """The id as text; None when ``value`` is no id: only text and whole numbers are."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip()
    return text or None


def missing_field(path: object, kind: str, name: str, found: Iterable[str]) -> SourceError:
    """The error of a file without the configured field or column ``name``."""
    names = sorted(found)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    shown = ", ".join(names[:20]) or "none"
    return SourceError(f"{path}: there is no {kind} {name!r}{hint} (it has {shown})")
