"""The open models, and what is derived from them."""

from __future__ import annotations

import shutil
import threading
from collections import OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightjar.config import LoadedConfig
from nightjar.core.units import unit_of_all
from nightjar.explorer.catalogue import Catalogue, Version, read_catalogue
from nightjar.explorer.floors import BandFloor, floor_for
from nightjar.explorer.jobs import Jobs, Pending
from nightjar.explorer.moved import MovedWords, moved_words
from nightjar.explorer.placement import KINDS, WordMap, open_map
from nightjar.explorer.prefixes import KIND as PREFIX_KIND
from nightjar.explorer.prefixes import PrefixIndex
from nightjar.explorer.start_words import start_words
from nightjar.model.lookup import TableDamaged, VectorModel, check_whole
from nightjar.pipeline.answerers import Answerers, AskedVersion
from nightjar.pipeline.history import History, Judged, read_history
from nightjar.registry import model_files
from nightjar.store import Store, names, schemas
from nightjar.wording import plural_of

_MAX_OPEN = 8
_DIGEST_LENGTH = 8


@dataclass(frozen=True)
class _OpenModel:
    model: VectorModel
    digest: str
    """Digest of its bytes."""
    directory: Path | None
    """The registered version's files, which somebody may truncate; None for temporary files."""
    files: ExitStack
    """Removes temporary files."""

    @property
    def is_whole(self) -> bool:
        """Whether the files have their full lengths: reading a truncated map kills the process."""
        if self.directory is None:
            return True
        try:
            check_whole(self.directory)
        except TableDamaged:
            return False
        return True


class Library:
    """Opens versions and keeps the last ones open. Thread-safe.

    As a context manager, it removes the temporary files of unregistered versions at its end.
    """

    def __init__(self, loaded: LoadedConfig) -> None:
        self.loaded = loaded
        self.store = Store(loaded.artifacts_dir)
        self._names: dict[str, str] = {}
        self._judged: dict[int, tuple[Judged, ...]] = {}
        self._open: OrderedDict[str, _OpenModel] = OrderedDict()
        self._opening: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._jobs = Jobs()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            while self._open:
                self._open.popitem()[1].files.close()

    def catalogue(self) -> Catalogue:
        """The current versions."""
        return read_catalogue(Answerers(self.loaded), self._names)

    def unit(self, *versions: Version) -> str:
        """What the versions have vectors of, in the singular; without any, all models."""
        config = self.loaded.config
        models = [version.model for version in versions] or list(config.models)
        return unit_of_all(config, models)

    def history(self) -> History:
        """The current scores and events."""
        return read_history(self.loaded, self._judged)

    def model(self, version: Version) -> VectorModel:
        """The open model of a version. Raises StoreError."""
        return self._opened(version).model

    def _opened(self, version: Version) -> _OpenModel:
        key = version.key
        with self._lock:
            opening = self._opening.setdefault(key, threading.Lock())
        # Opening a version may write or fetch files: only requests for it wait.
        with opening:
            with self._lock:
                found = self._open.get(key)
            if found is None or not found.is_whole:
                found = self._open_now(version)
            with self._lock:
                self._open[key] = found
                self._open.move_to_end(key)
                while len(self._open) > _MAX_OPEN:
                    self._open.popitem(last=False)[1].files.close()
        return found

    def _open_now(self, version: Version) -> _OpenModel:
        answerers = Answerers(self.loaded)
        asked = AskedVersion(version.model, version.embeddings, version.registered)
        with ExitStack() as files:
            model = files.enter_context(answerers.opened(asked))
            registered = version.registered
            directory = None if registered is None else model_files(answerers.place, registered)
            return _OpenModel(model, answerers.digest(asked), directory, files.pop_all())

    def prefixes(self, version: Version) -> PrefixIndex | Pending:
        """The words of a version by prefix."""
        opened = self._opened(version)
        directory = self._directory(version, opened, PREFIX_KIND)
        found: PrefixIndex | Pending = self._jobs.get(
            directory.name,
            f"sorting the {plural_of(self.unit(version))}",
            lambda _: PrefixIndex.open(directory, opened.model.table),
        )
        return found

    def start_words(self, version: Version) -> NDArray[np.int64] | Pending:
        """The rows of words to start from."""
        opened = self._opened(version)
        found: NDArray[np.int64] | Pending = self._jobs.get(
            ("start", opened.digest),
            f"choosing {plural_of(self.unit(version))} of {version.label}",
            lambda _: start_words(opened.model.table),
        )
        return found

    def word_map(self, version: Version, method: str) -> WordMap | Pending:
        """The map of a version."""
        opened = self._opened(version)
        directory = self._directory(version, opened, KINDS[method])
        found: WordMap | Pending = self._jobs.get(
            directory.name,
            f"the map of {version.label}",
            lambda report: open_map(directory, opened.model, method, report, self.unit(version)),
        )
        return found

    def moved(self, left: Version, right: Version, least: int) -> MovedWords | Pending:
        """The words that moved most from ``left`` to ``right``, beside the floor."""
        models = self.model(left), self.model(right)
        floor = self._floor(left, right)
        found: MovedWords | Pending = self._jobs.get(
            ("moved", left.key, right.key, least, None if floor is None else floor.noise),
            f"comparing {left.label} with {right.label}",
            lambda report: moved_words(*models, least, report, floor, unit=self.unit(left, right)),
        )
        return found

    def _floor(self, left: Version, right: Version) -> BandFloor | None:
        """What chance does to one model; between two models nothing is chance alone."""
        if left.model != right.model:
            return None
        growth = self.loaded.config.registry.gate.max_growth
        found = (floor_for(self.store, version, growth) for version in (right, left))
        return next((floor for floor in found if floor is not None), None)

    def _directory(self, version: Version, opened: _OpenModel, kind: str) -> Path:
        name = f"{version.embeddings}-{opened.digest[:_DIGEST_LENGTH]}-{kind}"
        return self.store.root / schemas.DERIVED_DIR / name

    def remove_derived(self) -> None:
        """Remove what was derived from versions that are no longer kept."""
        kept = {version.embeddings for version in self.catalogue().versions}
        kept |= {ref.version for ref in self.store.versions(schemas.EMBEDDINGS)}
        derived = self.store.root / schemas.DERIVED_DIR
        for name in names(derived):
            if name.partition("-")[0] not in kept:
                shutil.rmtree(derived / name, ignore_errors=True)
