"""Parquet files as blocks of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nightjar.errors import SourceError
from nightjar.sources.conditions import FieldUse, missing_field
from nightjar.sources.input_file import InputFile
from nightjar.sources.parquet_files import check_zone, parquet_errors_named
from nightjar.sources.rejections import Reason
from nightjar.sources.tables.raw_rows import Column, Problem, RawRows, arrow_column

_BATCH_ROWS = 1 << 18
_BATCH_BYTES = 1 << 26
_BUFFER_BYTES = 1 << 20


def read_parquet_rows(file: InputFile, uses: Collection[FieldUse]) -> Iterator[RawRows]:
    """The columns ``uses`` of every row.

    Memory: 64 MB of rows, or one row, and a page of each column, whatever the size of a row group.
    Raises SourceError, after the readable rows, when the file is damaged, encrypted or lacks a
    column, or one has a type that cannot be what its role says.
    """
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
        wanted = _check_columns(uses, parquet.schema_arrow, file.path)
        n_rows = max(1, parquet.metadata.num_rows)
        n_bytes = file.path.stat().st_size
        for batch in _batches(parquet, wanted):
            columns = {name: _column(batch.column(name)) for name in wanted}
            yield RawRows(batch.num_rows, columns, partial(_place, file.label, row + 1))
            row += batch.num_rows
            n_done = n_bytes * row // n_rows
            file.advance(n_done - n_reported)
            n_reported = n_done
        file.advance(n_bytes - n_reported)


def _place(label: str, first: int, row: int) -> str:
    return f"{label}: row {first + row}"


def _batches(parquet: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    for number in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        mean_bytes = group.total_byte_size // max(1, group.num_rows)
        n_rows = min(_BATCH_ROWS, max(1, _BATCH_BYTES // max(1, mean_bytes)))
        yield from parquet.iter_batches(
            n_rows, row_groups=[number], columns=columns, use_threads=False
        )


def _is_text(kind: pa.DataType) -> bool:
    return any(
        test(kind)
        for test in (
            *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
            *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null),
        )
    )


def _is_number(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return any(test(kind) for test in tests)


def _is_time(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_timestamp, pa.types.is_date))


def _is_flat(kind: pa.DataType) -> bool:
    return not pa.types.is_nested(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)


_ID = ("text or whole numbers", lambda kind: _is_text(kind) or _is_number(kind))
_KINDS: Mapping[str, tuple[str, object]] = {
    **dict.fromkeys(
        ("source_column", "target_column", "user_column", "item_column", "session_column"), _ID
    ),
    "weight_column": ("numbers", lambda kind: _is_text(kind) or _is_number(kind)),
    "time_column": (
        "times, numbers or text",
        lambda kind: _is_text(kind) or _is_number(kind) or _is_time(kind),
    ),
    "title_column": _ID,
}
_ANY_KIND = ("something that compares", _is_flat)


def _check_columns(uses: Collection[FieldUse], schema: pa.Schema, path: Path) -> list[str]:
    """The columns to read. Raises SourceError unless each exists once, with a suitable type."""
    wanted: dict[str, None] = {}
    for use in uses:
        column = use.field
        if column not in schema.names:
            if use.is_optional:
                continue
            raise missing_field(path, use.key, column, schema.names)
        if schema.names.count(column) > 1:
            raise SourceError(f"{path}: has several columns {column!r}; give each its own name")
        found = schema.field(column).type
        bare = found.value_type if pa.types.is_dictionary(found) else found
        kind, fits = _KINDS.get(use.key, _ANY_KIND)
        if not fits(bare):  # type: ignore[operator]
            raise SourceError(f"{path}: the {use.key} {column!r} is {found}, not {kind}")
        check_zone(path, column, found)
        wanted[column] = None
    return list(wanted)


def _column(array: pa.Array) -> Column:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_nested(kind):
        return Column(np.arange(len(array), dtype=np.int32), array.to_pylist())
    if not _is_text(kind):
        return arrow_column(array)
    # A string column may contain invalid UTF-8.
    column = arrow_column(array.cast(pa.string() if pa.types.is_null(kind) else pa.binary()))
    values: pa.Array = column.values
    try:
        return Column(column.codes, values.cast(pa.string()))
    except pa.ArrowInvalid:
        return Column(column.codes, *_decoded(values))


def _decoded(values: pa.Array) -> tuple[pa.Array, dict[int, Problem]]:
    """Bytes as text, and those that are no UTF-8."""
    texts: list[str | None] = []
    problems: dict[int, Problem] = {}
    for code, value in enumerate(values.to_pylist()):
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError as error:
            texts.append(None)
            problems[code] = Problem(Reason.UNDECODABLE, str(error))
    return pa.array(texts, pa.string()), problems
