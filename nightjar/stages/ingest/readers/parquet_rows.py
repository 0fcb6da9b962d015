"""Parquet files with a text column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightjar.config import ParquetSource
from nightjar.errors import SourceError
from nightjar.sources.conditions import MISSING, missing_field
from nightjar.sources.encodings import decoded
from nightjar.sources.input_file import InputFile
from nightjar.sources.parquet_files import (
    as_written,
    check_zone,
    is_short_float,
    parquet_errors_named,
    python_objects,
)
from nightjar.sources.rejections import MAX_BYTES_PER_CHAR
from nightjar.stages.ingest.readers.field_mapping import FieldMapping, TooLongValue
from nightjar.stages.ingest.records import Record

_BATCH_ROWS = 256
_BATCH_BYTES = 1 << 24
_BUFFER_BYTES = 1 << 20


def read_parquet(source: ParquetSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """Documents from ``text_column``, with the id from ``id_column`` if there is one.

    Memory: 16 MB of rows, or one row, and a page of each column, whatever the size of a row group.
    A text too long for ``max_chars`` is not copied out of its page.
    Raises SourceError, after yielding the readable rows, when the file is damaged, encrypted or
    lacks a column.
    """
    mapping = FieldMapping.of(source)
    row, n_reported = 0, 0
    with (
        parquet_errors_named(file.path),
        # With pre_buffer, or without a buffer size, an entire row group is read at once.
        pq.ParquetFile(
            file.path,
            page_checksum_verification=True,
            buffer_size=_BUFFER_BYTES,
            pre_buffer=False,
        ) as parquet,
    ):
        wanted = _check_columns(mapping, parquet.schema_arrow, file.path)
        n_rows = max(1, parquet.metadata.num_rows)
        n_bytes = file.path.stat().st_size
        for batch in _batches(parquet, wanted):
            columns = _Columns(batch, max_chars * MAX_BYTES_PER_CHAR, source.errors)
            for number in range(batch.num_rows):
                locator = f"{file.label}: row {row + number + 1}"
                yield mapping.record(locator, partial(columns.value, number), _kind)
            row += batch.num_rows
            n_done = n_bytes * row // n_rows
            file.advance(n_done - n_reported)
            n_reported = n_done
        file.advance(n_bytes - n_reported)


def _batches(parquet: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Batches of about the same size in bytes."""
    for number in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        mean_bytes = group.total_byte_size // max(1, group.num_rows)
        n_rows = min(_BATCH_ROWS, max(1, _BATCH_BYTES // max(1, mean_bytes)))
        yield from parquet.iter_batches(n_rows, row_groups=[number], columns=columns)


def _check_columns(mapping: FieldMapping, schema: pa.Schema, path: Path) -> list[str]:
    """The columns to read. Raises SourceError unless each exists once, with a suitable type."""
    wanted: dict[str, None] = {}
    for use in mapping.uses():
        column = use.field
        if column not in schema.names:
            if use.is_optional:
                continue
            raise missing_field(path, use.key, column, schema.names)
        if schema.names.count(column) > 1:
            raise SourceError(f"{path}: has several columns {column!r}; give each its own name")
        found = schema.field(column).type
        kind, fits = _KINDS.get(use.key, _ANY_KIND)
        if not fits(found):
            raise SourceError(f"{path}: the {use.key} {column!r} is {found}, not {kind}")
        check_zone(path, column, found)
        wanted[column] = None
    return list(wanted)


def _is_text(kind: pa.DataType) -> bool:
    """Whether ``kind`` is strings, or the bytes that some writers store strings as."""
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
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return _is_text(kind) or is_number or pa.types.is_decimal(kind)


def _is_scalar(kind: pa.DataType) -> bool:
    return not pa.types.is_nested(kind) or pa.types.is_list(kind)


_KINDS: Mapping[str, tuple[str, Callable[[pa.DataType], bool]]] = {
    "text_column": ("text", _is_text),
    "id_column": ("text or whole numbers", _is_id),
    "language_column": ("text", _is_text),
}
_ANY_KIND = ("something that compares", _is_scalar)


@dataclass(frozen=True, slots=True)
class _TooLong:
    n_bytes: int


class _Columns:
    """The columns of a batch."""

    def __init__(self, batch: pa.RecordBatch, max_bytes: int, errors: str) -> None:
        self._errors = errors
        self._values = {name: _values(batch.column(name), max_bytes) for name in batch.schema.names}

    def value(self, number: int, name: str) -> object:
        """The value of column ``name`` in row ``number``; see ``field_mapping.Get``."""
        if name not in self._values:
            return MISSING
        value = self._values[name][number]
        if isinstance(value, _TooLong):
            raise TooLongValue(name, value.n_bytes)
        return decoded(value, "utf-8", self._errors) if isinstance(value, bytes) else value


def _values(column: pa.Array, max_bytes: int) -> list[Any]:
    """Texts as bytes, to be decoded one by one; other values as Python objects.

    A string column may contain invalid UTF-8.
    """
    if pa.types.is_dictionary(column.type):
        entries = _values(column.dictionary, max_bytes)
        places = column.indices.to_pylist()
        return [None if place is None else entries[place] for place in places]
    if is_short_float(column.type):
        return as_written(column)
    if pa.types.is_list(column.type) and is_short_float(column.type.value_type):
        elements = iter(as_written(column.flatten()))
        lengths = column.value_lengths().to_pylist()
        return [None if n is None else list(islice(elements, n)) for n in lengths]
    if not _is_text(column.type):
        return python_objects(column)
    texts = column.cast(pa.large_binary())
    lengths = pc.binary_length(texts)
    if (pc.max(lengths).as_py() or 0) <= max_bytes:
        found: list[Any] = texts.to_pylist()
        return found
    return [
        _TooLong(length) if length is not None and length > max_bytes else text.as_py()
        for text, length in zip(texts, lengths.to_pylist(), strict=True)
    ]


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
