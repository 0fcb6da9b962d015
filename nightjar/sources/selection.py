"""The files that the configured sources match, and their content as inputs of an identity."""

from __future__ import annotations

import difflib
import glob
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Self, TypeVar

from nightjar.config import StorageConfig
from nightjar.config.sections import AUTO_ENCODING
from nightjar.config.sources import Files, ReadingConfig
from nightjar.core import Planning
from nightjar.errors import InputError, SourceChanged, SourceError
from nightjar.files import paths, urls
from nightjar.progress import SILENT, Progress
from nightjar.sources.rejections import source_key, storable
from nightjar.sources.remote import (
    FETCHED_DIR,
    FetchRequest,
    TableRequest,
    fetch_files,
    fetch_rows,
    fetched_file,
    known_files,
    known_rows,
)
from nightjar.store import FileIdentity, file_identity, library_versions

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class SourceFile:
    """One file of a source."""

    source: str
    label: str
    """Its name, with as many directories as needed to be unique in the source."""
    path: Path
    sha256: str | None = None
    """Hash of a fetched file; None for a local one."""
    url: str = ""
    """Where it was fetched from, for messages."""

    @property
    def shown(self) -> str:
        """Where it is, for messages: the copy of a fetched file tells nobody anything."""
        return self.url or str(self.path)

    @property
    def name(self) -> str:
        """The file's name in the identity: ``source/label``."""
        return f"{self.source}/{self.label}"


@dataclass(frozen=True)
class Fetching:
    """How to get the files of remote sources."""

    directory: Path
    """The folder for the files fetched by :mod:`.remote`."""
    progress: Progress = SILENT
    is_offline: bool = False
    """Use the files that the last plan fetched, without asking a server."""

    @classmethod
    def of(cls, artifacts_dir: Path, planning: Planning) -> Self:
        """For what a stage plans; the files are shared by all stages."""
        return cls(artifacts_dir / FETCHED_DIR, planning.progress, planning.is_offline)


@dataclass(frozen=True)
class Sources:
    """The sources of a corpus, whatever is read from them."""

    by_name: Mapping[str, Any]
    """Sections of the config: of type ``sql``, or with files."""
    config: ReadingConfig
    base_dir: Path
    """Where relative paths start."""
    max_chars: int = 10_000_000
    """Longer values of a database are not stored."""
    purged_ids: frozenset[bytes] = frozenset()
    """Digests of purged ids: such rows of a database are not fetched."""


def select_files(sources: Sources, fetching: Fetching) -> list[SourceFile]:
    """The files of every source: sources in their order, files by label.

    A file that a source matches twice is listed once. Remote files are fetched. Raises SourceError,
    with the source and the pattern, when a file is missing or unreadable, a glob matches nothing or
    a package is not installed; SourceUnavailable when a server does not answer.
    """
    files: list[SourceFile] = []
    for name, source in sources.by_name.items():
        if _is_database(source):
            request = TableRequest(
                name, source, sources.base_dir, sources.purged_ids, sources.max_chars
            )
            files += _rows(request, fetching)
        elif source.is_remote:
            found = _fetched(_request(name, source, sources.config), fetching)
            files += sorted(found, key=_by_label)
        else:
            files += _local_files(name, source, sources.base_dir)
    return files


def file_inputs(files: Iterable[SourceFile]) -> list[FileIdentity]:
    """Name, size and hash of each file, for an identity: a file that moves stays the same.

    Raises SourceError for one that cannot be read; SourceChanged when a fetched one is damaged.
    """
    return [
        FileIdentity(file.name, found.bytes, found.sha256)
        for file in files
        for found in (_identity_of(file),)
    ]


def planned_files(
    sources: Sources, fetched: Path, planned: Sequence[FileIdentity]
) -> list[SourceFile]:
    """The files of the plan with the inputs ``planned``; asks no server.

    Raises SourceChanged when the local files are no longer those of the plan.
    """
    files: list[SourceFile] = []
    for name, source in sources.by_name.items():
        if source.is_remote:
            origins = _origins(name, source, sources.config, fetched)
            files += [
                SourceFile(
                    name,
                    label,
                    fetched_file(fetched, entry.sha256, PurePath(label).name),
                    url=origins.get(entry.sha256, ""),
                )
                for entry in planned
                for owner, _, label in (entry.name.partition("/"),)
                if owner == name
            ]
        else:
            try:
                files += _local_files(name, source, sources.base_dir)
            except SourceError as error:  # they existed when the run was planned
                raise SourceChanged(
                    f"the source files are not those of the plan any more: {error}"
                ) from error
    found, expected = [file.name for file in files], [entry.name for entry in planned]
    if found != expected:
        changed = sorted(set(found) ^ set(expected)) or found
        raise SourceChanged(
            f"the source files are not those of the plan any more ({', '.join(changed[:5])}); "
            f"run again"
        )
    return files


def _is_database(source: Any) -> bool:
    return bool(source.type == "sql")


def _request(name: str, source: Files, config: ReadingConfig) -> FetchRequest:
    storage = source.storage or StorageConfig()
    return FetchRequest(name, source.patterns, storage, int(config.max_fetch_bytes))


def _origins(name: str, source: Any, config: ReadingConfig, fetched: Path) -> dict[str, str]:
    """URLs of fetched files by their hash, as far as they are known."""
    if _is_database(source):
        return {}
    try:
        files = known_files(_request(name, source, config), fetched)
    except SourceError:  # another night has fetched since
        return {}
    return {file.sha256: urls.redacted(file.url) for file in files}


def _local_files(name: str, source: Files, base_dir: Path) -> list[SourceFile]:
    places = {path: path for path in _matches(name, source, base_dir)}
    return sorted(
        (SourceFile(name, label, path) for path, label in _labels(name, places).items()),
        key=_by_label,
    )


def _rows(request: TableRequest, fetching: Fetching) -> list[SourceFile]:
    """The parts of a database's rows, in the order of the rows."""
    if fetching.is_offline:
        parts = known_rows(request, fetching.directory)
    else:
        parts = fetch_rows(request, fetching.directory, fetching.progress)
    return [SourceFile(request.name, part.label, part.path, part.sha256) for part in parts]


def _fetched(request: FetchRequest, fetching: Fetching) -> list[SourceFile]:
    if fetching.is_offline:
        files = known_files(request, fetching.directory)
    else:
        files = fetch_files(request, fetching.directory, fetching.progress)
    labels = _labels(request.source, dict(enumerate(file.place for file in files)))
    return [
        SourceFile(request.source, labels[number], file.path, file.sha256)
        for number, file in enumerate(files)
    ]


def _by_label(file: SourceFile) -> str:
    return file.label


def _identity_of(file: SourceFile) -> FileIdentity:
    try:
        found = file_identity(file.path)
    except SourceError as error:
        raise SourceError(f"{source_key(file.source)}: {error}") from error
    if file.sha256 not in (None, found.sha256):
        file.path.unlink(missing_ok=True)
        raise SourceChanged(
            f"{source_key(file.source)}: {file.path}: what was fetched is damaged on this disk "
            f"and was removed; run again, which fetches it anew"
        )
    return found


def reading_libraries(source: Any) -> dict[str, str]:
    """Versions of the libraries that shape the texts of a source."""
    if getattr(source, "encoding", None) == AUTO_ENCODING:
        return library_versions("charset-normalizer")
    return {}


def _matches(name: str, source: Files, base_dir: Path) -> Iterable[Path]:
    """Files that match any pattern of a source; one path, the first, for each file."""
    found: dict[Path, Path] = {}
    for pattern in source.patterns:
        try:
            matches = paths.expand(urls.local_path(pattern), base_dir)
        except InputError as error:
            raise SourceError(f"{source_key(name)}.path: {error}") from error
        if not matches:
            problem = _why_nothing(urls.local_path(pattern), base_dir)
            raise SourceError(f"{source_key(name)}.path: {pattern}: {problem}")
        for path in matches:
            found.setdefault(path.resolve(), path)
    return found.values()


def _why_nothing(pattern: str, base_dir: Path) -> str:
    """Why ``pattern`` matches no file, with a suggestion."""
    path = paths.resolve_pattern(pattern, base_dir)
    if path.is_dir():
        return f"is a directory; name its files, for example {pattern.rstrip('/')}/*"
    if problem := paths.why_no_file(path):
        return problem
    if glob.has_magic(pattern):
        return f"the glob matches no file (looked for {path}); check the pattern"
    if not path.parent.is_dir():
        return f"there is no directory {path.parent}; relative paths start at the config file"
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        names = []  # without permission to list the directory there is no suggestion
    close = difflib.get_close_matches(path.name, names, n=3)
    hint = f"; did you mean {', '.join(close)}?" if close else "; check the path"
    return f"there is no file {path}{hint}"


def _labels(source: str, places: Mapping[Key, PurePath]) -> dict[Key, str]:
    """Label files by name, and files of the same name by the fewest directories that differ."""
    by_name: dict[str, list[Key]] = defaultdict(list)
    for key, place in places.items():
        by_name[storable(place.name)].append(key)
    labels: dict[Key, str] = {}
    for group in by_name.values():
        depth = 1
        while len({_tail(places[key], depth) for key in group}) < len(group):
            depth += 1
            if depth > max(len(places[key].parts) for key in group):
                raise SourceError(
                    f"{source_key(source)}.path: {_tail(places[group[0]], depth)}: several "
                    f"files are called that once what is not UTF-8 in their names is escaped; "
                    f"rename one"
                )
        labels.update({key: _tail(places[key], depth) for key in group})
    return labels


def _tail(path: PurePath, depth: int) -> str:
    return storable("/".join(path.parts[-depth:]))
