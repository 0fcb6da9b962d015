"""Downloading one object, with retries; and the progress of several downloads."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from nightjar.errors import SourceError
from nightjar.progress import Progress
from nightjar.sources.remote.fetched_files import Directories, Partial, Writing
from nightjar.sources.remote.fetched_index import Known
from nightjar.sources.remote.object_storage import (
    Body,
    Interrupted,
    ObjectChanged,
    Patience,
    RemoteObject,
    Stopped,
    Storage,
)
from nightjar.sources.remote.silence import Pace
from nightjar.wording import counted


class Tally:
    """Counts bytes in several threads; :meth:`tell` reports them.

    ``sizes`` is the expected size of each object, None if only the response will tell. Once all are
    known, the progress has a total.
    """

    def __init__(self, progress: Progress, label: str, sizes: Mapping[str, int | None]) -> None:
        self._progress = progress
        self._label = label
        self._sizes = dict(sizes)
        self._lock = threading.Lock()
        self._n_bytes = 0
        self._n_told = 0
        self._name = ""
        self._total = self._sum()
        if sizes:
            progress.start(label, self._total, "B")

    def expect(self, url: str, n_bytes: int | None) -> None:
        """Expect ``n_bytes`` of the object at ``url``; any thread may call it."""
        with self._lock:
            self._sizes[url] = n_bytes

    def add(self, n_bytes: int, name: str) -> None:
        """Count ``n_bytes`` received for the object ``name``; any thread may call it."""
        with self._lock:
            self._n_bytes += n_bytes
            self._name = name

    def tell(self) -> None:
        """Report what was received since the last call."""
        with self._lock:
            n_bytes, name = self._n_bytes, self._name
            total = self._sum() if self._total is None else self._total
        if total is not None and self._total is None:
            self._total, self._n_told = total, 0
            self._progress.start(self._label, total, "B")
        if n_bytes > self._n_told:
            self._progress.advance(n_bytes - self._n_told, f"{n_bytes / 1e6:,.1f} MB, {name}")
            self._n_told = n_bytes

    def _sum(self) -> int | None:
        sizes = [size for size in self._sizes.values() if size is not None]
        return sum(sizes) if len(sizes) == len(self._sizes) else None


@dataclass(frozen=True)
class Downloads:
    """State that all downloads of a source share."""

    storage: Storage
    directories: Directories
    max_bytes: int
    tally: Tally
    stop: threading.Event

    def fetch(self, found: RemoteObject, key: str, known: Known | None) -> Known:
        """Fetch and store the object as it is now; returns ``known`` when it has not changed.

        An interrupted download is retried and resumed if the server has the same version. Memory: a
        piece. Raises SourceError when the object is gone, access is refused or it is too large;
        SourceUnavailable after too many interruptions; StoreNotWritable.
        """
        patience = Patience(found.url, self.stop)
        partial = Partial(self.directories, key)
        while True:
            try:
                return self._try(found, partial, known)
            except Interrupted as trouble:
                if isinstance(trouble, ObjectChanged):
                    partial.forget()
                patience.wait(trouble, partial.n_bytes)

    def _try(self, found: RemoteObject, partial: Partial, known: Known | None) -> Known:
        version = None if known is None else known.version
        with self.storage.open(found, version, partial.rest()) as body:
            if body is None:
                if known is None:
                    raise Interrupted("the server says 'unchanged' of what was never fetched")
                self.tally.expect(found.url, 0)
                return known
            n_bytes = body.version.n_bytes
            self.tally.expect(found.url, None if n_bytes is None else n_bytes - body.start)
            self._check_size(found, body.version.n_bytes or 0)
            with partial.write(body) as writing:
                self._receive(found, body, writing)
                _check_length(body, writing)
                stored = writing.publish(found.place.name)
        return Known(body.version, stored.n_bytes, stored.sha256, found.place.name)

    def _receive(self, found: RemoteObject, body: Body, writing: Writing) -> None:
        pace = Pace()
        for piece in body.pieces:
            if self.stop.is_set():
                raise Stopped
            pace.count(len(piece))
            self._check_size(found, writing.n_bytes + len(piece))
            writing.add(piece)
            self.tally.add(len(piece), found.place.name)

    def _check_size(self, found: RemoteObject, n_bytes: int) -> None:
        if n_bytes > self.max_bytes:
            raise SourceError(
                f"{found.url}: has more than {self.max_bytes:,} bytes; if it may, raise "
                f"max_fetch_bytes"
            )


def _check_length(body: Body, writing: Writing) -> None:
    expected = body.version.n_bytes
    if expected is None or writing.n_bytes == expected:
        return
    reason = f"{counted(writing.n_bytes, 'byte')} came instead of {expected:,}"
    raise ObjectChanged(reason) if writing.n_bytes > expected else Interrupted(reason)
