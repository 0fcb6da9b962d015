"""Publishing an artifact: all of it or nothing, once.

Files are written into ``<stage>/.staging-<version>-<host>-<pid>-<start mark>.<random>``,
synced, hashed, described by the manifest, which is written last, and the directory is
renamed to ``<stage>/<version>``. Two runs that publish the same version at once: the first
rename wins, the other finds the artifact there and uses it.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import platform
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nightjar.errors import StoreNotWritable
from nightjar.store.fingerprint import Identity, sha256_of
from nightjar.store.manifest import MANIFEST_NAME, ArtifactRef, FileEntry, Manifest
from nightjar.store.memory import release_free_memory
from nightjar.store.opening import Store
from nightjar.store.processes import host_name, is_alive, start_mark
from nightjar.store.setting_aside import set_aside_unpublished
from nightjar.store.writing import named_write_errors, only_writes, sync, write_synced

logger = logging.getLogger(__name__)

STAGING_PREFIX = ".staging-"
ENVIRONMENT_LIBRARIES = ("numpy", "pyarrow", "gensim", "numba")


class _TableWriter(pq.ParquetWriter):  # type: ignore[misc]
    """A Parquet writer whose failures to write name the store ``root``.

    So a stage that handles the OSError of reading its source does not take them for one.
    """

    def __init__(self, root: Path, path: Path, schema: pa.Schema, **options: Any) -> None:
        self.root = root
        with only_writes(root):
            super().__init__(path, schema, **options)

    def write_table(self, table: pa.Table, row_group_size: int | None = None) -> None:
        with only_writes(self.root):
            super().write_table(table, row_group_size)

    def close(self) -> None:
        with only_writes(self.root):
            super().close()


class Staging:
    """An artifact being written. A stage gets one and adds tables, counts and a report.

    ``report`` takes what JSON can say and numpy's scalars; a number that is not finite
    becomes null.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.counts: Counter[str] = Counter()
        self.report: dict[str, Any] = {}
        self._files: dict[str, pa.Schema] = {}
        self._others: set[str] = set()

    @contextmanager
    def writer(self, table: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
        """A streaming writer of ``<table>.parquet``; each write is a row group.

        Zstandard, with dictionary encoding for strings only: the same rows give the same
        bytes whenever they are written with the same library versions. Pages carry
        checksums. When the block raises, the file is removed and its error is the one that
        passes. Raises StoreNotWritable when the disk refuses.
        """
        if table in self._files:
            raise ValueError(f"table {table!r} is already written")
        self._files[table] = schema
        path = self.directory / f"{table}.parquet"
        strings = [
            column.name
            for column in schema
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        ]
        try:
            writer = _TableWriter(
                self.directory.parents[1],
                path,
                schema,
                compression="zstd",
                use_dictionary=strings,
                write_statistics=True,
                write_page_checksum=True,
            )
            try:
                yield writer
            except BaseException:
                with suppress(StoreNotWritable, pa.ArrowException):
                    writer.close()
                raise
            writer.close()
        except BaseException:
            del self._files[table]
            with suppress(OSError):
                path.unlink()
            raise
        finally:
            release_free_memory()

    def add_file(self, name: str) -> Path:
        """Where to write ``name``, a file that is no table. It has no rows and no columns."""
        if name in self._others or name.endswith(".parquet"):
            raise ValueError(f"{name!r} is a table, or is already written")
        self._others.add(name)
        return self.directory / name

    def write(self, table: str, data: pa.Table) -> None:
        """Write a whole table that is already in memory."""
        with self.writer(table, data.schema) as writer:
            writer.write_table(data)

    def entries(self) -> tuple[FileEntry, ...]:
        """Sync every file to disk and describe it."""
        tables = [self._entry(table) for table in sorted(self._files)]
        others = [_described(self.directory / name, 0, {}) for name in sorted(self._others)]
        return (*tables, *others)

    def _entry(self, table: str) -> FileEntry:
        path = self.directory / f"{table}.parquet"
        columns = {column.name: str(column.type) for column in self._files[table]}
        return _described(path, pq.read_metadata(path).num_rows, columns)


def _described(path: Path, rows: int, columns: Mapping[str, str]) -> FileEntry:
    sync(path)
    return FileEntry(path.name, rows, path.stat().st_size, sha256_of(path), columns)


def publish(
    root: Path,
    identity: Identity,
    write: Callable[[Staging], None],
    git_commit: str | None = None,
) -> ArtifactRef:
    """Publish what ``write`` puts into a :class:`Staging`, under ``identity.version``.

    When ``write`` raises, nothing is published and the staging directory is removed. When
    the version is published meanwhile, what is there stays, and is checked as by
    :meth:`~nightjar.store.opening.Store.open`. Raises StoreNotWritable when the directory
    cannot be written or the disk is full.
    """
    stage_dir = root / identity.stage
    ref = Store(root).ref(identity.stage, identity.version)
    started = time.monotonic()
    with only_writes(root):
        staging_dir = _make_staging_dir(stage_dir, identity.version)
    try:
        staging = Staging(staging_dir)
        with named_write_errors(root):
            write(staging)
        with only_writes(root):
            seconds = time.monotonic() - started
            manifest = _manifest(identity, staging, git_commit, seconds)
            write_synced(staging_dir / MANIFEST_NAME, manifest.to_text())
            sync(staging_dir)
            is_first = _rename_unless_published(staging_dir, Path(ref.path))
            sync(stage_dir)
    finally:
        shutil.rmtree(staging_dir, ignore_errors=True)
    if not is_first:
        Store(root).open(ref)
        logger.info("%s was published by another run meanwhile: it is used", ref)
        return ref
    logger.info("published %s in %.1f s: %s", ref, seconds, dict(staging.counts))
    return ref


def _manifest(
    identity: Identity, staging: Staging, git_commit: str | None, seconds: float
) -> Manifest:
    return Manifest(
        stage=identity.stage,
        version=identity.version,
        name=identity.name,
        identity=identity.as_json(),
        files=staging.entries(),
        counts={reason: int(count) for reason, count in sorted(staging.counts.items())},
        report=_json_value(staging.report),
        environment=environment(),
        git_commit=git_commit,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
    )


def environment() -> dict[str, str]:
    """Versions of what computed the artifact."""
    versions = {name: metadata.version(name) for name in ENVIRONMENT_LIBRARIES}
    return {"python": platform.python_version(), "platform": platform.platform(), **versions}


def remove_abandoned(root: Path) -> list[Path]:
    """Remove staging directories whose writer on this host is no longer alive."""
    removed = []
    for path in sorted(root.glob(f"*/{STAGING_PREFIX}*")):
        _version, _, owner = path.name.removeprefix(STAGING_PREFIX).partition("-")
        if owner.count("-") < 2:
            continue
        host, pid, rest = owner.rsplit("-", 2)
        mark, _, _random = rest.rpartition(".")
        if host == host_name() and pid.isdecimal() and not is_alive(int(pid), mark):
            shutil.rmtree(path, ignore_errors=True)
            if not path.exists():
                removed.append(path)
    return removed


def _make_staging_dir(stage_dir: Path, version: str) -> Path:
    pid = os.getpid()
    owner = f"{host_name()}-{pid}-{start_mark(pid)}.{secrets.token_hex(4)}"
    path = stage_dir / f"{STAGING_PREFIX}{version}-{owner}"
    path.mkdir(parents=True)
    return path


def _rename_unless_published(staging_dir: Path, target: Path) -> bool:
    """Whether ``staging_dir`` became ``target``; False when an artifact is there already."""
    while True:
        try:
            staging_dir.rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            if (target / MANIFEST_NAME).is_file():
                return False
            set_aside_unpublished(target)
        else:
            return True


def _json_value(value: Any) -> Any:
    """``value`` in JSON's types, with null for a number that is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
