"""Fetching a source: list its URLs and download what is new."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from nightjar.config import StorageConfig
from nightjar.errors import SourceError, SourceUnavailable
from nightjar.files import urls
from nightjar.progress import Progress
from nightjar.sources.rejections import source_key
from nightjar.sources.remote.download import Downloads, Tally
from nightjar.sources.remote.fetched_files import Directories, fetched_file
from nightjar.sources.remote.fetched_index import (
    Index,
    Known,
    Listed,
    known_objects,
    locked,
    today,
)
from nightjar.sources.remote.object_storage import RemoteObject, Stopped, Storage, persist
from nightjar.store import fingerprint, only_writes

logger = logging.getLogger(__name__)

N_AT_ONCE = 8
"""Concurrent downloads."""
_TELL_SECONDS = 0.1
_SAVED_EVERY_BYTES = 1 << 26
_SAVED_EVERY_OBJECTS = 256


@dataclass(frozen=True)
class FetchRequest:
    """The part of a source's configuration that its files depend on."""

    source: str
    patterns: Sequence[str]
    storage: StorageConfig
    max_bytes: int

    @property
    def name(self) -> str:
        """Name of the index."""
        # Where a server may redirect to changes no content.
        settings = self.storage.model_dump(mode="json", exclude={"redirect_hosts"})
        return f"{self.source}-{fingerprint([list(self.patterns), settings])}"

    @property
    def family(self) -> str:
        """The kind of storage."""
        return urls.FAMILIES[urls.scheme_of(self.patterns[0])]

    def key(self, url: str) -> str:
        """An object's name in the index, with the server: two may have the same bucket."""
        server = self.storage.endpoint_url or self.storage.account
        return f"{url} at {server}" if server else url


@dataclass(frozen=True)
class FetchedFile:
    """An object of a source, as a local file."""

    place: PurePosixPath
    path: Path
    n_bytes: int
    sha256: str
    url: str
    """Where it is, for messages."""


def fetch_files(request: FetchRequest, fetched: Path, progress: Progress) -> list[FetchedFile]:
    """Download every missing object of a source; returns all, in the order of the URLs.

    Several downloads run at once. Memory: the listing, and a piece for each download. Raises
    SourceError, with the name of the source, when a URL matches nothing, a server refuses or cannot
    be listed, or a package is missing; SourceUnavailable when the server does not answer;
    StoreNotWritable.
    """
    directories = Directories(fetched)
    with only_writes(fetched):
        directories.make()
    path = directories.index / f"{request.name}.json"
    with _named(request.source), locked(path):
        storage = _storage_of(request)
        try:
            fetching = _FileFetching(request, directories, path, storage, progress)
            return fetching.all()
        finally:
            storage.close()


def known_files(request: FetchRequest, fetched: Path) -> list[FetchedFile]:
    """The files that :func:`fetch_files` found last time, without asking the server.

    Raises SourceError when these URLs were never fetched, or a file is gone.
    """
    directories = Directories(fetched)
    index = Index.read(directories.index / f"{request.name}.json")
    listing = index.listing
    if listing is None or not all(
        entry.key in index.objects and index.objects[entry.key].is_here(directories)
        for entry in listing
    ):
        raise SourceError(
            f"{source_key(request.source)}.path: its URLs are not fetched; run 'nightjar plan'"
        )
    return [_fetched(directories, entry, index.objects[entry.key]) for entry in listing]


def _fetched(directories: Directories, entry: Listed, known: Known) -> FetchedFile:
    path = fetched_file(directories.root, known.sha256, known.name)
    place = PurePosixPath(entry.place)
    return FetchedFile(place, path, known.n_bytes, known.sha256, entry.key)


@contextmanager
def _named(source: str) -> Iterator[None]:
    """Add the name of the source to errors."""
    try:
        yield
    except SourceError as error:
        raise SourceError(f"{source_key(source)}.path: {error}") from None
    except SourceUnavailable as error:
        raise SourceUnavailable(f"{source_key(source)}.path: {error}") from None


def _storage_of(request: FetchRequest) -> Storage:
    if request.family == "http":
        from nightjar.sources.remote.http import HttpStorage  # noqa: PLC0415 (imports httpx)

        return HttpStorage(request.storage)
    from nightjar.sources.remote.buckets import BucketStorage  # noqa: PLC0415 (imports fsspec)

    return BucketStorage(request.family, request.storage)


class _FileFetching:
    def __init__(
        self,
        request: FetchRequest,
        directories: Directories,
        path: Path,
        storage: Storage,
        progress: Progress,
    ) -> None:
        self._request = request
        self._directories = directories
        self._path = path
        self._storage = storage
        self._progress = progress
        self._before = Index.read(path)
        self._known = known_objects(directories, path)
        self._fetched: dict[str, Known] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._unsaved_bytes = 0
        self._unsaved_objects = 0

    def all(self) -> list[FetchedFile]:
        found = self._find()
        due = {}
        for key, entry in found.items():
            known = self._usable(key, entry)
            if (
                known is not None
                and entry.version is not None
                and known.version.is_of(entry.version)
            ):
                self._fetched[key] = known
            else:
                due[key] = entry
        try:
            self._fetch(due)
        except BaseException:
            self._save(self._before.listing)  # what was received is not fetched again
            raise
        listing = tuple(Listed(key, str(entry.place)) for key, entry in found.items())
        self._save(listing)
        self._report(found)
        return [_fetched(self._directories, entry, self._fetched[entry.key]) for entry in listing]

    def _find(self) -> dict[str, RemoteObject]:
        found: dict[str, RemoteObject] = {}
        for pattern in self._request.patterns:
            matches = persist(pattern, partial(self._storage.find, pattern))
            if not matches:
                raise SourceError(f"{pattern}: stands for no object; check the URL")
            for entry in matches:
                found.setdefault(self._request.key(entry.url), entry)
        return found

    def _usable(self, key: str, entry: RemoteObject) -> Known | None:
        """The index entry of an object, if its file exists here."""
        known = self._known.get(key)
        if known is None or known.name != entry.place.name:
            return None
        return known if known.is_here(self._directories) else None

    def _fetch(self, due: dict[str, RemoteObject]) -> None:
        sizes = {
            entry.url: entry.version.n_bytes if entry.version else None for entry in due.values()
        }
        tally = Tally(self._progress, f"fetch {self._request.source}", sizes)
        downloads = Downloads(
            self._storage, self._directories, self._request.max_bytes, tally, self._stop
        )
        # waits: each download has limits and ends soon after _stop is set
        with ThreadPoolExecutor(N_AT_ONCE, thread_name_prefix="fetch") as pool:
            # Each in a copy of this context, by which Prefect assigns log lines to the run.
            futures = [
                pool.submit(copy_context().run, self._fetch_one, downloads, key, entry)
                for key, entry in due.items()
            ]
            try:
                _wait_for(futures, tally)
            finally:
                if not all(future.done() for future in futures):
                    self._stop.set()
                    # waits: each download has limits and ends soon after _stop is set
                    pool.shutdown(cancel_futures=True)
        _raise_first(futures)

    def _fetch_one(self, downloads: Downloads, key: str, entry: RemoteObject) -> None:
        part = f"{self._request.name}-{fingerprint(key)}"
        known = downloads.fetch(entry, part, self._usable(key, entry))
        with self._lock:
            self._fetched[key] = known
            self._unsaved_bytes += known.n_bytes
            self._unsaved_objects += 1
            if self._is_worth_saving():
                self._unsaved_bytes = self._unsaved_objects = 0
                self._save(self._before.listing)

    def _is_worth_saving(self) -> bool:
        """Save from time to time, less often the longer the index is."""
        is_much = (
            self._unsaved_bytes >= _SAVED_EVERY_BYTES
            or self._unsaved_objects >= _SAVED_EVERY_OBJECTS
        )
        return is_much and self._unsaved_objects * 16 >= len(self._fetched)

    def _save(self, listing: tuple[Listed, ...] | None) -> None:
        """Save the index; once everything is fetched, objects that are gone are dropped from it."""
        is_whole = listing is not self._before.listing
        kept = {} if is_whole else dict(self._before.objects)
        objects = dict(sorted({**kept, **self._fetched}.items()))
        index = Index(objects, listing, used_on=today())
        if index != self._before and (objects or listing is not None):
            index.write(self._path)

    def _report(self, found: dict[str, RemoteObject]) -> None:
        before = {entry.key for entry in self._before.listing or ()}
        gone = sorted(before - found.keys())
        n_new = sum(known != self._known.get(key) for key, known in self._fetched.items())
        if n_new or gone:
            logger.info(
                "%s: %d of %d objects fetched, %d gone since the last time%s",
                self._request.source,
                n_new,
                len(found),
                len(gone),
                f" ({', '.join(gone[:3])})" if gone else "",
            )


def _wait_for(futures: Sequence[Future[None]], tally: Tally) -> None:
    """Wait until all are done or one failed."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, _TELL_SECONDS, FIRST_EXCEPTION)
        tally.tell()
        # waits: not at all, these are done
        if any(future.exception() for future in done):
            return


def _raise_first(futures: Sequence[Future[None]]) -> None:
    """Raise the error of the first download that failed by itself."""
    for future in futures:
        if not future.cancelled():
            # waits: not at all, the pool is shut down
            error = future.exception()
            if error is not None and not isinstance(error, Stopped):
                raise error
