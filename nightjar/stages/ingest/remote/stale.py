"""What was fetched and is not needed any more."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from nightjar.stages.ingest.remote.directories import Directories
from nightjar.stages.ingest.remote.fetched_index import Index, is_locked
from nightjar.store import idle_names, names

PARTIAL_KEPT_SECONDS = 7 * 86_400.0
"""A download that has not grown for so long is given up."""
INDEX_KEPT_SECONDS = 90 * 86_400.0
"""How long URLs that no configuration fetches any more are remembered."""


def surplus_downloads(fetched: Path, now: float, *, is_quiet: bool) -> list[Path]:
    """What no index names, downloads given up, and indexes that nobody has used for 90 days.

    ``now`` in seconds since 1970; time counts from the first call that saw a thing as it is
    (:mod:`~nightjar.store.idleness`). Unless it ``is_quiet``, or while something is being fetched,
    what no index names is left alone: a night under way may have been planned with it.
    """
    directories = Directories(fetched)
    return [
        *_idle(directories.index, _index_states(directories), now, INDEX_KEPT_SECONDS),
        *(_unnamed(directories) if is_quiet else ()),
        *_idle(directories.partial, _sizes(directories), now, PARTIAL_KEPT_SECONDS),
    ]


def _idle(directory: Path, states: dict[str, str], now: float, kept_seconds: float) -> list[Path]:
    idle = idle_names(directory / ".seen.json", states, now, kept_seconds)
    return [directory / name for name in idle]


def _index_states(directories: Directories) -> dict[str, str]:
    """An index says on which day it was last used: it is another one then."""
    states = {}
    for name in names(directories.index):
        with suppress(OSError):  # gone meanwhile
            content = (directories.index / name).read_bytes()
            states[name] = hashlib.sha256(content).hexdigest()
    return states


def _unnamed(directories: Directories) -> list[Path]:
    indexes = [directories.index / name for name in names(directories.index)]
    if any(is_locked(path) for path in indexes):
        return []
    named = {known.sha256 for path in indexes for known in Index.read(path).objects.values()}
    return [directories.objects / name for name in names(directories.objects) if name not in named]


def _sizes(directories: Directories) -> dict[str, str]:
    sizes = {}
    for name in names(directories.partial):
        with suppress(OSError):  # whole meanwhile
            sizes[name] = str((directories.partial / name).stat().st_size)
    return sizes
