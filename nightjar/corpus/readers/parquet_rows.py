"""Parquet files with a text column."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nightjar.config import ParquetSource
from nightjar.corpus.input_file import InputFile, unreadable, vanished
from nightjar.corpus.readers.fields import missing_field
from nightjar.corpus.records import Document, Reason, Record, Rejection, excerpt
from nightjar.errors import SourceError

_BATCH_ROWS = 256


def read_parquet(source: ParquetSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """Documents from ``text_column``, with their id from ``id_column`` where there is one.

    Holds the two columns of at most one row group, as the file stores them, and a batch of
    rows. Raises SourceError when the file is damaged or does not have the columns.
    """
    del max_chars  # a value is as long as the file says; cleaning rejects it
    row, n_reported = 0, 0
    with (
        _named_errors(file.path),
        pq.ParquetFile(file.path, page_checksum_verification=True) as parquet,
    ):
        wanted = _check_columns(source, parquet.schema_arrow, file.path)
        n_rows = max(1, parquet.metadata.num_rows)
        n_bytes = file.path.stat().st_size
        for batch in parquet.iter_batches(_BATCH_ROWS, columns=wanted):
            yield from _records(source, batch, file.label, row)
            row += batch.num_rows
            n_done = n_bytes * row // n_rows
            file.advance(n_done - n_reported)
            n_reported = n_done
        file.advance(n_bytes - n_reported)


def _check_columns(source: ParquetSource, schema: pa.Schema, path: Path) -> list[str]:
    """The columns to read; raises SourceError unless each is there once, with a fitting type."""
    wanted = {source.text_column: ("text_column", "text", _is_text)}
    if source.id_column is not None:
        wanted.setdefault(source.id_column, ("id_column", "text or whole numbers", _is_id))
    for column, (key, kind, fits) in wanted.items():
        if column not in schema.names:
            raise missing_field(path, key, column, schema.names)
        if schema.names.count(column) > 1:
            raise SourceError(f"{path}: has several columns {column!r}; give each its own name")
        found = schema.field(column).type
        if not fits(found):
            raise SourceError(f"{path}: the {key} {column!r} is {found}, not {kind}")
    return list(wanted)


def _is_text(kind: pa.DataType) -> bool:
    """Strings, or bytes that some writers of Parquet store strings as."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_null,
        )
    )


def _is_id(kind: pa.DataType) -> bool:
    return _is_text(kind) or pa.types.is_integer(kind)


def _records(
    source: ParquetSource, batch: pa.RecordBatch, label: str, first_row: int
) -> Iterator[Record]:
    texts = _as_bytes(batch.column(source.text_column))
    ids: list[bytes | int | None] = [None] * len(texts)
    if source.id_column is not None:
        column = batch.column(source.id_column)
        is_integer = pa.types.is_integer(column.type)
        ids = column.to_pylist() if is_integer else list(_as_bytes(column))
    for row, (text, native_id) in enumerate(zip(texts, ids, strict=True), first_row + 1):
        yield _record(source, f"{label}: row {row}", text, native_id)


def _record(
    source: ParquetSource, locator: str, text: bytes | None, native_id: bytes | int | None
) -> Record:
    if text is None:
        return Rejection(locator, Reason.NOT_TEXT, f"{source.text_column!r} is null")
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        return Rejection(locator, Reason.UNDECODABLE, str(error), excerpt(text))
    try:
        return Document(locator, _id_text(native_id), decoded)
    except UnicodeDecodeError as error:
        return Rejection(locator, Reason.INVALID_ID, str(error), excerpt(text))


def _id_text(native_id: bytes | int | None) -> str | None:
    if isinstance(native_id, bytes):
        return native_id.decode("utf-8")
    return None if native_id is None else str(native_id)


def _as_bytes(column: pa.Array) -> list[bytes | None]:
    """The values as bytes: a string column may hold what is not UTF-8, unchecked."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    values: list[bytes | None] = column.cast(pa.large_binary()).to_pylist()
    return values


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise vanished(path) from error
    except PermissionError as error:
        raise unreadable(path, error) from error
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{path}: is no Parquet file, or damaged ({error}); restore or fetch it again"
        ) from error
