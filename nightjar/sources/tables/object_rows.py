"""JSON Lines, and rows of a database from the files fetched from it, as blocks of rows.

Memory: some ten thousand rows of the columns that are read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

from nightjar.config.table_sources import JsonLinesEdges, JsonLinesEvents, JsonLinesItems
from nightjar.errors import SourceError
from nightjar.sources.conditions import MISSING, FieldCheck, FieldUse
from nightjar.sources.encodings import open_encoded
from nightjar.sources.input_file import InputFile
from nightjar.sources.json_objects import (
    OTHER_FIELDS_BYTES,
    check_is_lines,
    has_field,
    parsed_object,
    text_or_value,
)
from nightjar.sources.rejections import Reason, Rejection
from nightjar.sources.tables.raw_rows import RawRows, object_column
from nightjar.sources.text_lines import split_lines

_BLOCK_ROWS = 50_000
_MAX_ROW_BYTES = 1 << 31
"""Largest row of a database."""
_MAX_LINE_BYTES = 8 * OTHER_FIELDS_BYTES


def read_json_rows(
    source: JsonLinesEdges | JsonLinesEvents | JsonLinesItems,
    file: InputFile,
    uses: Collection[FieldUse],
) -> Iterator[RawRows]:
    """The fields ``uses`` of every object; ``a.b`` is field b of the object in a.

    Raises SourceError when the file is one JSON array or printed over several lines, or when no
    object has a field.
    """
    checks = [
        FieldCheck(file.path, use.key, use.field, partial(has_field, use.field))
        for use in uses
        if not use.is_optional
    ]
    stream = open_encoded(file.content(), source.encoding)
    is_first = True
    batch = _Batch(uses)
    lines = split_lines(stream, _MAX_LINE_BYTES)
    try:
        for line in lines:
            if line.n_lines > 1:
                batch.rejections.append(line.blank(file.label))
                continue
            locator = line.locator(file.label)
            value = parsed_object(line, locator, stream.encoding.name, source.errors)
            if is_first and not (isinstance(value, Rejection) and value.reason is Reason.EMPTY):
                is_first = False
                check_is_lines(file, line, value, stream.encoding.name)
            if isinstance(value, Rejection):
                batch.rejections.append(value)
            else:
                for check in checks:
                    check.see(value)
                batch.add(locator, (text_or_value(value, source.errors, use.field) for use in uses))
            if batch.is_full:
                yield batch.rows()
                batch = _Batch(uses)
    except SourceError:
        yield batch.rows()
        raise
    yield batch.rows()
    for check in checks:
        check.finish()


def read_database_rows(
    key_column: str, file: InputFile, uses: Collection[FieldUse]
) -> Iterator[RawRows]:
    """The columns ``uses`` of every row that was fetched."""
    batch = _Batch(uses)
    for line in split_lines(open_encoded(file.content(), "utf-8"), _MAX_ROW_BYTES):
        row: dict[str, Any] = json.loads(line.data)
        batch.add(f"{key_column} {row[key_column]}", (row.get(use.field, MISSING) for use in uses))
        if batch.is_full:
            yield batch.rows()
            batch = _Batch(uses)
    yield batch.rows()


class _Batch:
    def __init__(self, uses: Collection[FieldUse]) -> None:
        self._names = [use.field for use in uses]
        self._values: list[list[object]] = [[] for _ in uses]
        self._locators: list[str] = []
        self.rejections: list[Rejection] = []

    @property
    def is_full(self) -> bool:
        return len(self._locators) + len(self.rejections) >= _BLOCK_ROWS

    def add(self, locator: str, values: Iterator[object]) -> None:
        self._locators.append(locator)
        for column, value in zip(self._values, values, strict=True):
            column.append(value)

    def rows(self) -> RawRows:
        columns = {
            name: object_column(values)
            for name, values in zip(self._names, self._values, strict=True)
        }
        return RawRows(len(self._locators), columns, self._locators.__getitem__, self.rejections)
