"""Publishing an artifact: all of it or nothing, once.

Files are written into ``<stage>/.staging-<version>-<random>``, synced, hashed and described by the
manifest, which is written last; then the directory becomes ``<stage>/<version>``. If two runs
publish the same version at once, the first one wins and the other uses its artifact.

Beside a staging directory is a file that its writer holds (:mod:`.holding`), created before the
directory and removed after it. A staging directory is abandoned when nobody holds that file.
Processes that write parts for the writer hold nothing: once the writer is gone, their files are
abandoned, too.
"""

from __future__ import annotations

import copy
import logging
import math
import platform
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nightjar.errors import ArtifactDamaged
from nightjar.store.fingerprint import Identity
from nightjar.store.holding import held_among, hold
from nightjar.store.local_disk import (
    complete_replacements,
    delete,
    put_directory,
    remove_unfinished,
    replace_directory,
)
from nightjar.store.manifest import (
    MANIFEST_NAME,
    ArtifactRef,
    FileEntry,
    Manifest,
    read_created_at,
)
from nightjar.store.opening import Artifact, Store
from nightjar.store.parquet import (
    SUFFIX,
    Compression,
    described_file,
    described_table,
    part_name,
    table_writer,
)
from nightjar.store.setting_aside import set_aside_unpublished
from nightjar.store.writing import (
    make_directory,
    named_write_errors,
    only_writes,
    sync,
    write_synced,
)

logger = logging.getLogger(__name__)

STAGING_PREFIX = ".staging-"
_HELD_SUFFIX = ".held"
ENVIRONMENT_LIBRARIES = ("numpy", "pyarrow", "gensim", "numba")


class Staging:
    """An artifact being written. A stage gets one and adds tables, counts and a report.

    ``report`` takes JSON values and numpy scalars; non-finite numbers become null.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.counts: Counter[str] = Counter()
        self.report: dict[str, Any] = {}
        self._files: dict[str, pa.Schema] = {}
        self._parts: dict[str, tuple[FileEntry, ...]] = {}
        self._others: set[str] = set()

    @contextmanager
    def writer(
        self, table: str, schema: pa.Schema, compression: Compression = "zstd"
    ) -> Iterator[pq.ParquetWriter]:
        """Open a streaming writer of ``<table>.parquet``; each write is a row group.

        See :func:`.parquet.table_writer`.
        """
        self._check_is_new(table)
        self._files[table] = schema
        path = self.directory / f"{table}{SUFFIX}"
        try:
            with table_writer(self.root, path, schema, compression) as writer:
                yield writer
        except BaseException:
            del self._files[table]
            raise

    @property
    def root(self) -> Path:
        """The artifact directory of all stages."""
        return self.directory.parents[1]

    @property
    def schemas(self) -> dict[str, pa.Schema]:
        """The schema of each table written so far."""
        parts = {
            table: pq.read_schema(self.directory / entries[0].name)
            for table, entries in self._parts.items()
            if entries
        }
        return {**self._files, **parts}

    def add_file(self, name: str) -> Path:
        """Return where to write ``name``, a file that is not a table (no rows, no columns)."""
        if name in self._others or name.endswith(SUFFIX):
            raise ValueError(f"{name!r} is a table, or is already written")
        self._others.add(name)
        return self.directory / name

    def write(self, table: str, data: pa.Table) -> None:
        """Write a complete table that is already in memory."""
        with self.writer(table, data.schema) as writer:
            writer.write_table(data)

    def add_parts(self, table: str, entries: Sequence[FileEntry]) -> None:
        """Declare that ``entries`` describe the parts of ``table``, which are already written."""
        self._check_is_new(table)
        if [entry.name for entry in entries] != [
            part_name(table, number) for number in range(len(entries))
        ]:
            raise ValueError(f"the parts of {table!r} are not numbered from 0")
        names = {(self.directory / entry.name).name for entry in entries}
        for path in (self.directory / table).iterdir():
            if path.name not in names:  # left by a worker that was lost while writing
                path.unlink(missing_ok=True)
        self._parts[table] = tuple(entries)

    def entries(self) -> tuple[FileEntry, ...]:
        """Sync every file to disk and describe it."""
        tables = [
            described_table(self.directory, f"{table}{SUFFIX}", schema)
            for table, schema in self._files.items()
        ]
        parts = [entry for entries in self._parts.values() for entry in entries]
        for table in self._parts:
            sync(self.directory / table)
        others = [described_file(self.directory, name) for name in self._others]
        return (*sorted([*tables, *parts], key=_name), *sorted(others, key=_name))

    def _check_is_new(self, table: str) -> None:
        if table in self._files or table in self._parts:
            raise ValueError(f"table {table!r} is already written")


def _name(entry: FileEntry) -> str:
    return entry.name


def publish(
    root: Path,
    identity: Identity,
    write: Callable[[Staging], None],
    git_commit: str | None = None,
    *,
    is_newest: bool = False,
) -> ArtifactRef:
    """Publish what ``write`` puts into a :class:`Staging`, under ``identity.version``.

    When ``write`` raises, nothing is published and the staging directory is removed. If another
    run publishes the version meanwhile, its artifact stays and is checked as by
    :meth:`.opening.Store.open`. An artifact whose parent was made again with other bytes
    (:meth:`.opening.Store.replaced_parent`) is replaced. With ``is_newest`` its time of publishing
    is the latest of the stage, even if the clock was set back. Raises StoreNotWritable when the
    directory cannot be written or the disk is full.
    """
    stage_dir = root / identity.stage
    ref = Store(root).ref(identity.stage, identity.version)
    started = time.monotonic()
    with _staging_directory(root, stage_dir, identity.version) as staging_dir:
        staging = Staging(staging_dir)
        # Before they are read: if one is replaced meanwhile, what is written here is due again.
        parent_digests = _parent_digests(root, identity)
        with named_write_errors(root):
            write(staging)
        with only_writes(root):
            seconds = time.monotonic() - started
            manifest = replace(
                _manifest(identity, staging, git_commit, seconds), parent_digests=parent_digests
            )
            if is_newest:
                manifest = replace(manifest, created_at=_after_all(stage_dir, manifest.created_at))
            write_synced(staging_dir / MANIFEST_NAME, manifest.to_text())
            sync(staging_dir)
            is_ours = _put(staging_dir, Path(ref.path))
    if not is_ours:
        Store(root).open(ref)
        logger.info("%s was published by another run meanwhile: using that one", ref)
        return ref
    logger.info("published %s in %.1f s: %s", ref, seconds, dict(staging.counts))
    return ref


def rewrite(artifact: Artifact, write: Callable[[Staging], None]) -> None:
    """Replace the content of a published version: the one exception to "never modified".

    Only for a person's right to erasure. ``write`` gets counts and report of the old artifact;
    identity, version and time of publishing stay, the manifest's digest changes. After a kill
    the old artifact is still there, or :func:`remove_abandoned` puts the new one in its place.
    Raises StoreNotWritable.
    """
    path = artifact.directory
    root = path.parents[1]
    with _staging_directory(root, path.parent, artifact.ref.version) as staging_dir:
        staging = Staging(staging_dir)
        staging.counts.update(artifact.manifest.counts)
        staging.report.update(copy.deepcopy(dict(artifact.manifest.report)))
        with named_write_errors(root):
            write(staging)
        with only_writes(root):
            manifest = replace(
                artifact.manifest,
                files=staging.entries(),
                counts=_whole_numbers(staging.counts),
                report=_json_value(staging.report),
                former_digests=(*artifact.manifest.former_digests, artifact.manifest.digest),
            )
            write_synced(staging_dir / MANIFEST_NAME, manifest.to_text())
            sync(staging_dir)
            replace_directory(staging_dir, path)
    logger.info("rewrote %s: %s", artifact.ref, manifest.counts)


def _after_all(stage_dir: Path, created_at: str) -> str:
    """``created_at``, or just after the newest artifact of the stage if that is later."""
    for newest in Store(stage_dir.parent).versions(stage_dir.name)[-1:]:
        last = read_created_at(Path(newest.path))
        if last is not None and last >= created_at:
            later = datetime.fromisoformat(last) + timedelta(microseconds=1)
            return later.isoformat(timespec="microseconds")
    return created_at


def _whole_numbers(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: int(count) for reason, count in sorted(counts.items())}


def _manifest(
    identity: Identity, staging: Staging, git_commit: str | None, seconds: float
) -> Manifest:
    return Manifest(
        stage=identity.stage,
        version=identity.version,
        name=identity.name,
        identity=identity.as_json(),
        files=staging.entries(),
        counts=_whole_numbers(staging.counts),
        report=_json_value(staging.report),
        environment=environment(),
        git_commit=git_commit,
        created_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        seconds=round(seconds, 3),
    )


def _parent_digests(root: Path, identity: Identity) -> dict[str, str]:
    """The digests of the parents that are there; who reads a damaged one says so."""
    store, found = Store(root), {}
    for stage, version in identity.parents.items():
        if store.is_published(stage, version):
            with suppress(ArtifactDamaged):
                found[stage] = Manifest.read(root / stage / version).digest
    return found


def environment() -> dict[str, str]:
    """Versions of the software that computes an artifact."""
    versions = {name: metadata.version(name) for name in ENVIRONMENT_LIBRARIES}
    return {"python": platform.python_version(), "platform": platform.platform(), **versions}


def remove_abandoned(root: Path) -> list[Path]:
    """Remove what dead writers left behind; return the paths.

    That is staging directories that nobody holds, and unfinished objects (:mod:`.local_disk`).
    Where locks do not show whether a writer is alive, all such writers are watched for a minute
    at once.
    """
    complete_replacements(root)
    # Writers hold before they create, so the check below sees the holder of all that is found.
    found = sorted(root.glob(f"*/{STAGING_PREFIX}*"))
    held = held_among({_held_path(path) for path in found})
    abandoned = [path for path in found if _held_path(path) not in held]
    removed = [path for path in abandoned if delete(path)]
    return sorted([*removed, *remove_unfinished(root)])


@contextmanager
def _staging_directory(root: Path, stage_dir: Path, version: str) -> Iterator[Path]:
    """Make a directory that this process holds; remove it after the block unless it was renamed."""
    path = stage_dir / f"{STAGING_PREFIX}{version}-{secrets.token_hex(8)}"
    with only_writes(root):
        make_directory(stage_dir)
        held = hold(_held_path(path), f"publishing {stage_dir.name}/{version}")
    try:
        with only_writes(root):
            path.mkdir()
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            held.remove()


def _held_path(path: Path) -> Path:
    """The file that the writer of a staging directory holds; for that file, the file itself."""
    return path if _is_held_file(path) else path.with_name(f"{path.name}{_HELD_SUFFIX}")


def _is_held_file(path: Path) -> bool:
    return path.name.endswith(_HELD_SUFFIX)


def _put(staging_dir: Path, target: Path) -> bool:
    """Rename ``staging_dir`` to ``target``; return False when an artifact is already there.

    One whose parent was made again with other bytes is replaced.
    """
    while not put_directory(staging_dir, target):
        if (target / MANIFEST_NAME).is_file():
            if not Store(target.parents[1]).replaced_parent(Manifest.read(target)):
                return False
            replace_directory(staging_dir, target)
            return True
        set_aside_unpublished(target)
    return True


def _json_value(value: Any) -> Any:
    """Convert ``value`` to JSON types; non-finite numbers become null."""
    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
