"""Parquet files as blocks of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial

import numpy as np
import pyarrow as pa

from nightjar.sources.conditions import FieldUse
from nightjar.sources.input_file import InputFile
from nightjar.sources.parquet_files import (
    AN_ID,
    ColumnKind,
    check_columns,
    even_batches,
    is_text,
    is_text_or_number,
    opened_parquet,
)
from nightjar.sources.rejections import Reason
from nightjar.sources.tables.raw_rows import Column, Problem, RawRows, arrow_column

_BATCH_ROWS = 1 << 18
_BATCH_BYTES = 1 << 26


def read_parquet_rows(file: InputFile, uses: Collection[FieldUse]) -> Iterator[RawRows]:
    """The columns ``uses`` of every row.

    Memory: 64 MB of rows, or one row, and a page of each column, whatever the size of a row group.
    Raises SourceError, after the readable rows, when the file is damaged, encrypted or lacks a
    column, or one has a type that cannot be what its role says.
    """
    row = 0
    with opened_parquet(file.path) as parquet:
        wanted = check_columns(uses, parquet.schema_arrow, file.path, _KINDS)
        for batch in even_batches(file, parquet, wanted, _BATCH_ROWS, _BATCH_BYTES):
            columns = {name: _column(batch.column(name)) for name in wanted}
            yield RawRows(batch.num_rows, columns, partial(_place, file.label, row + 1))
            row += batch.num_rows


def _place(label: str, first: int, row: int) -> str:
    return f"{label}: row {first + row}"


def _is_time(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_timestamp, pa.types.is_date))


_KINDS: Mapping[str, ColumnKind] = {
    **dict.fromkeys(
        ("source_column", "target_column", "user_column", "item_column", "session_column"), AN_ID
    ),
    "weight_column": ("numbers", is_text_or_number),
    "time_column": (
        "times, numbers or text",
        lambda kind: is_text_or_number(kind) or _is_time(kind),
    ),
    "title_column": AN_ID,
}


def _column(array: pa.Array) -> Column:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_nested(kind):
        return Column(np.arange(len(array), dtype=np.int32), array.to_pylist())
    if not is_text(kind):
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
