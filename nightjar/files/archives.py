"""What of a zip archive counts as its content."""

from __future__ import annotations

import stat
import zipfile

_ADDED_FOLDER = "__MACOSX"
_ADDED_FILES = frozenset((".DS_Store", "Thumbs.db", "desktop.ini"))
_ADDED_PREFIX = "._"
_UNIX = 3


def is_content(name: str, info: zipfile.ZipInfo) -> bool:
    """Whether the member ``name`` is no folder, no link, and not added by a Mac or Windows."""
    mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
    *folders, last = name.split("/")
    is_added = _ADDED_FOLDER in folders or last in _ADDED_FILES or last.startswith(_ADDED_PREFIX)
    return not (not last or stat.S_ISLNK(mode) or is_added)
