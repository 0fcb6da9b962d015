"""Which files the configured sources stand for, and the version of what they hold."""

from __future__ import annotations

import difflib
import glob
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nightjar import paths
from nightjar.cleaning import code_identity
from nightjar.config import IngestConfig, MediaWikiSource, SourceConfig
from nightjar.config.sections import AUTO_ENCODING
from nightjar.corpus.records import storable
from nightjar.errors import InputError, SourceError
from nightjar.schemas import DOCUMENTS
from nightjar.store import FileIdentity, Identity, file_identity, library_versions

REVISION = 2
"""Raised whenever the same sources give other documents than before."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a source."""

    source: str
    label: str
    """Its name, with as many directories as tell it from namesakes in the source."""
    path: Path

    @property
    def name(self) -> str:
        """What the file is called in the identity: ``source/label``."""
        return f"{self.source}/{self.label}"


def documents_identity(config: IngestConfig, base_dir: Path) -> Identity:
    """What the documents artifact is made of; hashes every source file.

    Directories are no part of it: a file that moves keeps its version. Raises SourceError,
    naming the source and the pattern, when a file is missing or unreadable, a glob matches
    nothing or a package is not installed.
    """
    inputs = [
        FileIdentity(file.name, found.bytes, found.sha256)
        for file in select_files(config, base_dir)
        for found in (_identity_of(file),)
    ]
    return Identity(
        stage=DOCUMENTS,
        name="",
        config=config.model_dump(mode="json", exclude={"sources": {"__all__": {"path"}}}),
        inputs=inputs,
        code={
            "revision": REVISION,
            "cleaning": code_identity(config.cleaning),
            **{
                library: version
                for source in config.sources
                for library, version in reading_libraries(config, source).items()
            },
        },
    )


def select_files(config: IngestConfig, base_dir: Path) -> list[SourceFile]:
    """The files of every source: sources in the order of the config, files by label.

    A file that a source matches twice is there once. Raises SourceError as
    :func:`documents_identity` does.
    """
    files: list[SourceFile] = []
    for name, source in config.sources.items():
        files += sorted(_labelled(name, _matches(name, source, base_dir)), key=_by_label)
    return files


def _by_label(file: SourceFile) -> str:
    return file.label


def _identity_of(file: SourceFile) -> FileIdentity:
    try:
        return file_identity(file.path)
    except SourceError as error:
        raise SourceError(f"ingest.sources.{file.source}: {error}") from error


def reading_libraries(config: IngestConfig, source: str) -> dict[str, str]:
    """Versions of the libraries that shape the texts of a source."""
    found = config.sources[source]
    if isinstance(found, MediaWikiSource):
        return library_versions("mwparserfromhell")
    if getattr(found, "encoding", None) == AUTO_ENCODING:
        return library_versions("charset-normalizer")
    return {}


def _matches(name: str, source: SourceConfig, base_dir: Path) -> Iterable[Path]:
    """Files of all patterns of a source; of several paths to one file the first."""
    found: dict[Path, Path] = {}
    for pattern in source.patterns:
        try:
            matches = paths.expand(pattern, base_dir)
        except InputError as error:
            raise SourceError(f"ingest.sources.{name}.path: {error}") from error
        if not matches:
            problem = _why_nothing(pattern, base_dir)
            raise SourceError(f"ingest.sources.{name}.path: {pattern}: {problem}")
        for path in matches:
            found.setdefault(path.resolve(), path)
    return found.values()


def _why_nothing(pattern: str, base_dir: Path) -> str:
    """Why ``pattern`` stands for no file, and what may be meant."""
    path = paths.resolve_pattern(pattern, base_dir)
    if path.is_dir():
        return f"is a directory; name its files, for example {pattern.rstrip('/')}/*"
    if glob.has_magic(pattern):
        return f"the glob matches no file (looked for {path}); check the pattern"
    if not path.parent.is_dir():
        return f"there is no directory {path.parent}; relative paths start at the config file"
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        names = []  # without permission to list the directory there is no hint
    close = difflib.get_close_matches(path.name, names, n=3)
    hint = f"; did you mean {', '.join(close)}?" if close else "; check the path"
    return f"there is no file {path}{hint}"


def _labelled(source: str, found: Iterable[Path]) -> list[SourceFile]:
    """Label files by name, namesakes by the fewest directories that tell them apart."""
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in found:
        by_name[storable(path.name)].append(path)
    files = []
    for group in by_name.values():
        depth = 1
        while len({_tail(path, depth) for path in group}) < len(group):
            depth += 1
            if depth > max(len(path.parts) for path in group):
                raise SourceError(
                    f"ingest.sources.{source}.path: {_tail(group[0], depth)}: several files are "
                    f"called that once what is not UTF-8 in their names is escaped; rename one"
                )
        files += [SourceFile(source, _tail(path, depth), path) for path in group]
    return files


def _tail(path: Path, depth: int) -> str:
    return storable("/".join(path.parts[-depth:]))
