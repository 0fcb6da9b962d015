"""Parquet files with a text column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nightjar.config import ParquetSource
from nightjar.sources.conditions import MISSING
from nightjar.sources.encodings import decoded
from nightjar.sources.input_file import InputFile
from nightjar.sources.parquet_files import (
    AN_ID,
    ColumnKind,
    as_written,
    check_columns,
    even_batches,
    is_short_float,
    is_text,
    opened_parquet,
    python_objects,
)
from nightjar.sources.rejections import MAX_BYTES_PER_CHAR
from nightjar.stages.ingest.readers.field_mapping import FieldMapping, TooLongValue
from nightjar.stages.ingest.records import Record

_BATCH_ROWS = 256
_BATCH_BYTES = 1 << 24


def read_parquet(source: ParquetSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """Documents from ``text_column``, with the id from ``id_column`` if there is one.

    Memory: 16 MB of rows, or one row, and a page of each column, whatever the size of a row group.
    A text too long for ``max_chars`` is not copied out of its page.
    Raises SourceError, after yielding the readable rows, when the file is damaged, encrypted or
    lacks a column.
    """
    mapping = FieldMapping.of(source)
    row = 0
    with opened_parquet(file.path) as parquet:
        wanted = check_columns(mapping.uses(), parquet.schema_arrow, file.path, _KINDS)
        for batch in even_batches(file, parquet, wanted, _BATCH_ROWS, _BATCH_BYTES):
            columns = _Columns(batch, max_chars * MAX_BYTES_PER_CHAR, source.errors)
            for number in range(batch.num_rows):
                locator = f"{file.label}: row {row + number + 1}"
                yield mapping.record(locator, partial(columns.value, number), _kind)
            row += batch.num_rows


_KINDS: Mapping[str, ColumnKind] = {
    "text_column": ("text", is_text),
    "id_column": AN_ID,
    "language_column": ("text", is_text),
}


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
    if not is_text(column.type):
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
