"""Bringing one object here, whatever happens on the way."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from nightjar.errors import SourceError
from nightjar.stages.ingest.remote.directories import Directories
from nightjar.stages.ingest.remote.fetched_index import Known
from nightjar.stages.ingest.remote.object_storage import (
    Body,
    Interrupted,
    ObjectChanged,
    RemoteObject,
    Storage,
)
from nightjar.stages.ingest.remote.partial import Partial, Writing
from nightjar.stages.ingest.remote.patience import Patience, Stopped
from nightjar.stages.ingest.remote.tally import Tally


@dataclass(frozen=True)
class Downloads:
    """What all downloads of a source share."""

    storage: Storage
    directories: Directories
    max_bytes: int
    tally: Tally
    stop: threading.Event

    def fetch(self, found: RemoteObject, key: str, known: Known | None) -> Known:
        """What the object is now, its bytes stored; ``known`` when that has not changed.

        What broke off is tried again and goes on where it ended, if the server has the same
        version. In memory: a piece. Raises SourceError when the object is gone, refused or
        too large, SourceUnavailable when it broke off too often, StoreNotWritable.
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
        for piece in body.pieces:
            if self.stop.is_set():
                raise Stopped
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
    reason = f"{writing.n_bytes:,} bytes came instead of {expected:,}"
    raise ObjectChanged(reason) if writing.n_bytes > expected else Interrupted(reason)
