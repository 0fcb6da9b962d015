"""Removing what was fetched and is not needed any more."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from nightjar.corpus.remote.directories import Directories
from nightjar.corpus.remote.index import Index

KEPT_SECONDS = 7 * 86_400.0
"""How long a run may last that was planned with what no index names any more."""
INDEX_KEPT_SECONDS = 90 * 86_400.0
"""How long URLs that no configuration fetches any more are remembered."""


def start_to_age(directories: Directories, before: Index, now: Index) -> None:
    """What ``now`` does not name any more counts as if it had come this moment."""
    named = {known.sha256 for known in now.objects.values()}
    for known in before.objects.values():
        if known.sha256 not in named:
            with suppress(OSError):  # removed meanwhile
                os.utime(directories.objects / known.sha256)


def remove_stale_downloads(fetched: Path, now: float) -> list[Path]:
    """Remove what no index has named for a week, and broken downloads of that age.

    ``now`` in seconds since 1970. An index that was not used for 90 days goes, too.
    """
    directories = Directories(fetched)
    removed = []
    named: set[str] = set()
    for path in sorted(directories.index.glob("[!.]*.json")):
        if _age(path, now) > INDEX_KEPT_SECONDS:
            path.unlink(missing_ok=True)
            removed.append(path)
        else:
            named.update(known.sha256 for known in Index.read(path).objects.values())
    for path in sorted(directories.objects.glob("*")):
        if path.name not in named and _age(path, now) > KEPT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
    for path in sorted(directories.partial.glob("*")):
        if _age(path, now) > KEPT_SECONDS:
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _age(path: Path, now: float) -> float:
    with suppress(OSError):  # gone meanwhile
        return now - path.stat().st_mtime
    return 0.0
