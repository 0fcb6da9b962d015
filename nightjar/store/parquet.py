"""Parquet files of an artifact, written the same way everywhere.

A table is one file, ``<table>.parquet``, or a directory of parts, ``<table>/00000.parquet`` and
so on, whose rows follow each other in the order of the names. Several processes may write
parts, and a part that an earlier artifact already has is linked, not written again.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from nightjar.errors import StoreNotWritable
from nightjar.store.fingerprint import sha256_of
from nightjar.store.local_disk import link
from nightjar.store.manifest import FileEntry
from nightjar.store.memory import release_free_memory
from nightjar.store.writing import only_writes, sync

SUFFIX = ".parquet"
Compression = Literal["zstd", "lz4"]
"""lz4 for tables that only stages read: writing is three times as fast."""


def part_name(table: str, number: int) -> str:
    """Path of part ``number`` of ``table``, relative to its artifact."""
    return f"{table}/{number:05d}{SUFFIX}"


class _TableWriter(pq.ParquetWriter):  # type: ignore[misc]
    """A Parquet writer whose write failures name the store ``root``.

    So a stage that handles OSError from reading its source does not mistake write failures for read
    errors.
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


@contextmanager
def table_writer(
    root: Path, path: Path, schema: pa.Schema, compression: Compression = "zstd"
) -> Iterator[pq.ParquetWriter]:
    """Open a streaming writer of ``path`` below the store ``root``; each write is a row group.

    Only strings are dictionary-encoded, so the same rows written with the same library versions
    have the same bytes. With lz4, integers use BYTE_STREAM_SPLIT: half the time and three quarters
    of the size, but not every reader supports it. Pages carry checksums. When the block raises, the
    file is removed and the block's error propagates. Raises StoreNotWritable when writing fails.
    """
    strings = [
        column.name
        for column in schema
        if pa.types.is_string(column.type)
        or pa.types.is_large_string(column.type)
        or pa.types.is_dictionary(column.type)
    ]
    numbers = [column.name for column in schema if pa.types.is_integer(column.type)]
    split = dict.fromkeys(numbers, "BYTE_STREAM_SPLIT") if compression == "lz4" else None
    try:
        writer = _TableWriter(
            root,
            path,
            schema,
            compression=compression,
            use_dictionary=strings,
            column_encoding=split,
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
        with suppress(OSError):
            path.unlink()
        raise
    finally:
        release_free_memory()


def write_part(
    root: Path,
    directory: Path,
    name: str,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch | pa.Table],
) -> FileEntry:
    """Write ``directory/name``, one row group for each of ``batches``; return its entry.

    The name appears once the file is complete: a worker that was given up on may still be writing
    the same part.
    """
    path = directory / name
    with only_writes(root):
        path.parent.mkdir(exist_ok=True)
    unfinished = _unfinished(path)
    with table_writer(root, unfinished, schema) as writer:
        for batch in batches:
            if isinstance(batch, pa.RecordBatch):
                batch = pa.Table.from_batches([batch], schema)  # noqa: PLW2901
            writer.write_table(batch)
    with only_writes(root):
        unfinished.rename(path)
        return described_table(directory, name, schema)


def _unfinished(path: Path) -> Path:
    """A temporary name, unique to this attempt, for the future ``path``."""
    return path.with_name(f".{path.name}-{secrets.token_hex(4)}")


def link_part(root: Path, source: Path, entry: FileEntry, directory: Path, name: str) -> FileEntry:
    """Link the published file ``source``, which ``entry`` describes, as ``directory/name``.

    The bytes are stored once, or copied where the file system has no hard links.
    """
    target = directory / name
    with only_writes(root):
        target.parent.mkdir(exist_ok=True)
        link(source, target)
    return replace(entry, name=name)


def described_table(directory: Path, name: str, schema: pa.Schema) -> FileEntry:
    """Sync a written table to disk and describe it."""
    columns = {column.name: str(column.type) for column in schema}
    return described_file(directory, name, pq.read_metadata(directory / name).num_rows, columns)


def described_file(
    directory: Path, name: str, rows: int = 0, columns: Mapping[str, str] | None = None
) -> FileEntry:
    """Sync a written file to disk and describe it."""
    path = directory / name
    sync(path)
    return FileEntry(name, rows, path.stat().st_size, sha256_of(path), dict(columns or {}))
