"""Publishing an artifact: all of it or nothing, once.

Files are written into ``<stage>/.staging-<version>-<host>-<pid>-<random>``, synced, hashed,
described by the manifest, which is written last, and the directory is renamed to
``<stage>/<version>``. Two runs that publish the same version at once: the first rename wins,
the other finds the artifact there and uses it.
"""

from __future__ import annotations

import errno
import logging
import os
import platform
import secrets
import shutil
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nightjar.errors import StoreNotWritable
from nightjar.store.fingerprint import Identity, sha256_of
from nightjar.store.manifest import MANIFEST_NAME, ArtifactRef, FileEntry, Manifest

logger = logging.getLogger(__name__)

STAGING_PREFIX = ".staging-"
ENVIRONMENT_LIBRARIES = ("numpy", "pyarrow", "gensim", "numba")


class Staging:
    """An artifact being written. A stage gets one and adds tables, counts and a report."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.counts: Counter[str] = Counter()
        self.report: dict[str, Any] = {}
        self._files: dict[str, pa.Schema] = {}

    @contextmanager
    def writer(self, table: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
        """A streaming writer of ``<table>.parquet``; each write is a row group.

        Zstandard, with dictionary encoding for strings only: the same rows give the same
        bytes whenever they are written with the same library versions.
        """
        if table in self._files:
            raise ValueError(f"table {table!r} is already written")
        self._files[table] = schema
        strings = [
            column.name
            for column in schema
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        ]
        with pq.ParquetWriter(
            self.directory / f"{table}.parquet",
            schema,
            compression="zstd",
            use_dictionary=strings,
            write_statistics=True,
        ) as writer:
            yield writer

    def write(self, table: str, data: pa.Table) -> None:
        """Write a whole table that is already in memory."""
        with self.writer(table, data.schema) as writer:
            writer.write_table(data)

    def entries(self) -> tuple[FileEntry, ...]:
        """Sync every file to disk and describe it."""
        return tuple(self._entry(table) for table in sorted(self._files))

    def _entry(self, table: str) -> FileEntry:
        path = self.directory / f"{table}.parquet"
        _sync(path)
        schema = self._files[table]
        return FileEntry(
            name=path.name,
            rows=pq.read_metadata(path).num_rows,
            bytes=path.stat().st_size,
            sha256=sha256_of(path),
            columns={column.name: str(column.type) for column in schema},
        )


def publish(
    root: Path,
    identity: Identity,
    write: Callable[[Staging], None],
    git_commit: str | None = None,
) -> ArtifactRef:
    """Publish what ``write`` puts into a :class:`Staging`, under ``identity.version``.

    When ``write`` raises, nothing is published and the staging directory is removed. Raises
    StoreNotWritable when the directory cannot be written or the disk is full.
    """
    stage_dir = root / identity.stage
    target = stage_dir / identity.version
    started = time.monotonic()
    with named_write_errors(root):
        staging_dir = _make_staging_dir(stage_dir, identity.version)
        try:
            staging = Staging(staging_dir)
            write(staging)
            manifest = Manifest(
                stage=identity.stage,
                version=identity.version,
                name=identity.name,
                identity=identity.as_json(),
                files=staging.entries(),
                counts=dict(sorted(staging.counts.items())),
                report=staging.report,
                environment=environment(),
                git_commit=git_commit,
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                seconds=round(time.monotonic() - started, 3),
            )
            _write_synced(staging_dir / MANIFEST_NAME, manifest.to_text())
            _sync(staging_dir)
            _rename_unless_published(staging_dir, target)
            _sync(stage_dir)
        finally:
            shutil.rmtree(staging_dir, ignore_errors=True)
    logger.info(
        "published %s/%s in %.1f s: %s",
        identity.stage,
        identity.version,
        time.monotonic() - started,
        dict(staging.counts),
    )
    return ArtifactRef(identity.stage, identity.version, str(target))


def environment() -> dict[str, str]:
    """Versions of what computed the artifact."""
    versions = {name: metadata.version(name) for name in ENVIRONMENT_LIBRARIES}
    return {"python": platform.python_version(), "platform": platform.platform(), **versions}


def remove_abandoned(root: Path) -> list[Path]:
    """Remove staging directories whose writer on this host is no longer alive."""
    removed = []
    for path in sorted(root.glob(f"*/{STAGING_PREFIX}*")):
        _, _, rest = path.name.partition(STAGING_PREFIX)
        _version, _, owner = rest.partition("-")
        host, pid, _random = owner.rsplit("-", 2) if owner.count("-") >= 2 else ("", "0", "")
        if host == _host() and pid.isdigit() and not is_alive(int(pid)):
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
    return removed


def is_alive(pid: int) -> bool:
    """Whether a process with that id runs on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    return socket.gethostname().replace("/", "_") or "localhost"


def _make_staging_dir(stage_dir: Path, version: str) -> Path:
    name = f"{STAGING_PREFIX}{version}-{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    path = stage_dir / name
    path.mkdir(parents=True)
    return path


def _rename_unless_published(staging_dir: Path, target: Path) -> None:
    try:
        staging_dir.rename(target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        # Another run published the same version first: same identity, so use its result.
        logger.info("%s was published by another run meanwhile", target)


def _write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_WRITE_ERRNOS = frozenset(
    (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR)
)


@contextmanager
def named_write_errors(root: Path) -> Iterator[None]:
    """Turn the system's refusal to write below ``root`` into one clear error."""
    try:
        yield
    except OSError as error:
        if not is_write_refusal(error):
            raise
        raise StoreNotWritable(
            f"{root}: the artifact directory cannot be written "
            f"({os.strerror(error.errno) if error.errno else error}); free some space or fix "
            f"its permissions, then run the same command again. Nothing was half published."
        ) from error


def is_write_refusal(error: OSError) -> bool:
    """Whether ``error`` means no permission, a read-only file system or no space."""
    return error.errno in _WRITE_ERRNOS or "No space left on device" in str(error)
