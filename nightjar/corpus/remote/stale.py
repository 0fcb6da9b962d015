"""Removing what was fetched and is not needed any more."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from nightjar.corpus.remote.directories import Directories
from nightjar.corpus.remote.index import Index
from nightjar.store import delete, idle_names, names

KEPT_SECONDS = 7 * 86_400.0
"""How long a run may last that was planned with what no index names any more."""
INDEX_KEPT_SECONDS = 90 * 86_400.0
"""How long URLs that no configuration fetches any more are remembered."""


def remove_stale_downloads(fetched: Path, now: float) -> list[Path]:
    """Remove what no index has named for a week, and downloads that have not grown for one.

    ``now`` in seconds since 1970. An index that was not used for 90 days goes, too. Time
    counts from the first call that saw it so (:mod:`~nightjar.store.idleness`).
    """
    directories = Directories(fetched)
    return [
        *_remove_idle(directories.index, _index_states(directories), now, INDEX_KEPT_SECONDS),
        *_remove_idle(directories.objects, _unnamed(directories), now, KEPT_SECONDS),
        *_remove_idle(directories.partial, _sizes(directories), now, KEPT_SECONDS),
    ]


def _remove_idle(
    directory: Path, states: dict[str, str], now: float, kept_seconds: float
) -> list[Path]:
    idle = idle_names(directory / ".seen.json", states, now, kept_seconds)
    return [directory / name for name in idle if delete(directory / name)]


def _index_states(directories: Directories) -> dict[str, str]:
    """An index says on which day it was last used: it is another one then."""
    states = {}
    for name in names(directories.index):
        with suppress(OSError):  # gone meanwhile
            content = (directories.index / name).read_bytes()
            states[name] = hashlib.sha256(content).hexdigest()
    return states


def _unnamed(directories: Directories) -> dict[str, str]:
    named: set[str] = set()
    for name in names(directories.index):
        index = Index.read(directories.index / name)
        named.update(known.sha256 for known in index.objects.values())
    return {name: "unnamed" for name in names(directories.objects) if name not in named}


def _sizes(directories: Directories) -> dict[str, str]:
    sizes = {}
    for name in names(directories.partial):
        with suppress(OSError):  # whole meanwhile
            sizes[name] = str((directories.partial / name).stat().st_size)
    return sizes
