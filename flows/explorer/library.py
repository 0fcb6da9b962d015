"""The open models, and what is derived from them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from flows.explorer.catalogue import Catalogue, Version, read_catalogue
from flows.explorer.jobs import Jobs, Pending
from flows.explorer.moved import MovedWords, moved_words
from flows.explorer.placement import KINDS, WordMap, open_map
from flows.explorer.prefixes import KIND as PREFIX_KIND
from flows.explorer.prefixes import PrefixIndex
from nightjar import schemas
from nightjar.config import LoadedConfig
from nightjar.lookup import TableDamaged, VectorModel, check_whole
from nightjar.model_files import DIRECTORY, model_code_digest, open_model
from nightjar.store import Store

_MAX_OPEN = 8


class Library:
    """Opens versions and keeps the last ones open; safe to use from several threads."""

    def __init__(self, loaded: LoadedConfig) -> None:
        self.loaded = loaded
        self.store = Store(loaded.artifacts_dir)
        self._names: dict[str, str] = {}
        self._open: OrderedDict[str, VectorModel] = OrderedDict()
        self._opening: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._jobs = Jobs()
        self._code = model_code_digest()[:8]

    def catalogue(self) -> Catalogue:
        """The versions there are now."""
        return read_catalogue(self.loaded, self._names)

    def model(self, version: Version) -> VectorModel:
        """The open model of a version.

        Raises StoreError.
        """
        key = version.embeddings
        with self._lock:
            opening = self._opening.setdefault(key, threading.Lock())
        # The first opening of a large model writes its files: only who asks for it waits.
        with opening:
            with self._lock:
                found = self._open.get(key)
            if found is None or not _is_whole(self._directory(key, self._code)):
                found = self._opened(version)
            with self._lock:
                self._open[key] = found
                self._open.move_to_end(key)
                while len(self._open) > _MAX_OPEN:
                    self._open.popitem(last=False)
        return found

    def _opened(self, version: Version) -> VectorModel:
        embeddings = self.store.open(self.store.ref(schemas.EMBEDDINGS, version.embeddings))
        return open_model(self.store, version.model, embeddings)

    def prefixes(self, version: Version) -> PrefixIndex | Pending:
        """The words of a version by prefix."""
        table = self.model(version).table
        directory = self._directory(version.embeddings, PREFIX_KIND)
        found: PrefixIndex | Pending = self._jobs.get(
            directory.name, "sorting the words", lambda _: PrefixIndex.open(directory, table)
        )
        return found

    def word_map(self, version: Version, method: str) -> WordMap | Pending:
        """The map of a version."""
        model = self.model(version)
        directory = self._directory(version.embeddings, KINDS[method])
        found: WordMap | Pending = self._jobs.get(
            directory.name,
            f"the map of {version.label}",
            lambda report: open_map(directory, model, method, report),
        )
        return found

    def moved(self, left: Version, right: Version, least: int) -> MovedWords | Pending:
        """The words that moved most from ``left`` to ``right``."""
        models = self.model(left), self.model(right)
        found: MovedWords | Pending = self._jobs.get(
            ("moved", left.embeddings, right.embeddings, least),
            f"comparing {left.label} with {right.label}",
            lambda report: moved_words(*models, least, report),
        )
        return found

    def _directory(self, embeddings: str, kind: str) -> Path:
        return self.store.root / DIRECTORY / f"{embeddings}-{kind}"


def _is_whole(directory: Path) -> bool:
    """Whether the files of an open model have their lengths: reading a cut map ends a process."""
    try:
        check_whole(directory)
    except TableDamaged:
        return False
    return True
