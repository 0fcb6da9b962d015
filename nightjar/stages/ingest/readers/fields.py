"""Fields and columns that a source is configured to have."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nightjar.errors import SourceError
from nightjar.stages.ingest.records import excerpt

_MAX_SHOWN = 30


class FieldCheck:
    """Notices a field that no object of a file has: then the config is wrong, not the data."""

    def __init__(self, path: Path, key: str, field: str, is_in: Callable[[Any], bool]) -> None:
        self._path = path
        self._key = key
        self._field = field
        self._is_in = is_in
        self._is_found = False
        self._seen: dict[str, None] = {}

    def see(self, value: Mapping[str, Any]) -> None:
        """Take note of one object."""
        if self._is_found or self._is_in(value):
            self._is_found = True
        elif len(self._seen) < _MAX_SHOWN:
            self._seen.update(dict.fromkeys(value))

    def finish(self) -> None:
        """Raise SourceError when there were objects, but none with the field."""
        if not self._is_found and self._seen:
            raise missing_field(self._path, self._key, self._field, self._seen)


def missing_field(path: Path, key: str, field: str, available: Iterable[str]) -> SourceError:
    """The error for a configured ``field`` that a file does not have."""
    names = [excerpt(name) for name in available]
    shown = ", ".join(names[:_MAX_SHOWN]) + (", ..." if len(names) > _MAX_SHOWN else "")
    close = difflib.get_close_matches(field, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return SourceError(f"{path}: there is no {key} {field!r}; it has {shown or 'none'}{hint}")
