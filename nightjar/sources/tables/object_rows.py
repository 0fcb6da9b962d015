"""JSON Lines, and rows of a database from the files fetched from it, as blocks of rows.

Memory: some ten thousand rows of the columns that are read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
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
    field_at,
    has_field,
    parsed_object,
    text_or_value,
)
from nightjar.sources.rejections import Reason, Rejection
from nightjar.sources.tables.blocks import Block, Blocks, Remainder
from nightjar.sources.tables.raw_rows import RawRows, object_column
from nightjar.sources.text_lines import Line, split_lines

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
    reading = _JsonReading(source, file, uses, checks)
    yield from reading.rows()
    for check in checks:
        check.finish()


class _JsonReading:
    def __init__(
        self,
        source: JsonLinesEdges | JsonLinesEvents | JsonLinesItems,
        file: InputFile,
        uses: Collection[FieldUse],
        checks: Sequence[FieldCheck],
    ) -> None:
        self._source = source
        self._file = file
        self._uses = uses
        self._checks = checks
        self._blocks = Blocks(open_encoded(file.content(), source.encoding))
        self._is_first = True

    def rows(self) -> Iterator[RawRows]:
        """All rows, in blocks."""
        while (block := self._blocks.next()) is not None:
            if isinstance(block, Remainder):
                yield from self._slowly(block)
                continue
            objects = self._objects(block)
            if objects is None:
                yield from self._slowly(Remainder(self._blocks.alone(block), block.first))
            else:
                self._is_first = False
                yield self._quickly(objects, block.first)

    def _objects(self, block: Block) -> list[dict[str, Any]] | None:
        """The objects of a block's lines; None unless each line has one and no byte is odd.

        All lines are parsed as one array, with a number between two of them.
        """
        if self._source.errors == "replace":
            return None
        text = block.text(self._blocks.encoding, self._source.errors)
        if text is None:
            return None
        lines = text.rstrip(b"\r\n").replace(b"\r\n", b"\n").split(b"\n")
        if not all(line[:1] == b"{" and line[-1:] == b"}" for line in lines):
            return None
        try:
            found = json.loads(b"[%b]" % b",0,".join(lines))
        except (ValueError, RecursionError):
            return None
        objects, between = found[::2], set(map(type, found[1::2]))
        is_regular = len(objects) == len(lines) and set(map(type, objects)) == {dict}
        return objects if is_regular and between <= {int} else None

    def _quickly(self, objects: list[dict[str, Any]], first: int) -> RawRows:
        for check in self._checks:
            check.see_all(objects)
        columns = {
            use.field: object_column([field_at(value, use.field) for value in objects])
            if "." in use.field
            else object_column([value.get(use.field, MISSING) for value in objects])
            for use in self._uses
        }
        return RawRows(len(objects), columns, partial(_place, self._file.label, first))

    def _slowly(self, rest: Remainder) -> Iterator[RawRows]:
        batch = _Batch(self._uses)
        try:
            for line in split_lines(rest.stream, _MAX_LINE_BYTES, first=rest.first):
                self._take(line, rest.stream.encoding.name, batch)
                if batch.is_full:
                    yield batch.rows()
                    batch = _Batch(self._uses)
        except SourceError:
            yield batch.rows()
            raise
        yield batch.rows()

    def _take(self, line: Line, encoding: str, batch: _Batch) -> None:
        label, errors = self._file.label, self._source.errors
        if line.n_lines > 1:
            batch.rejections.append(line.blank(label))
            return
        locator = line.locator(label)
        value = parsed_object(line, locator, encoding, errors)
        if self._is_first and not (isinstance(value, Rejection) and value.reason is Reason.EMPTY):
            self._is_first = False
            check_is_lines(self._file, line, value, encoding)
        if isinstance(value, Rejection):
            batch.rejections.append(value)
            return
        for check in self._checks:
            check.see(value)
        batch.add(locator, [text_or_value(value, errors, use.field) for use in self._uses])


def _place(label: str, first: int, row: int) -> str:
    return f"{label}:{first + row}"


def read_database_rows(
    key_column: str, file: InputFile, uses: Collection[FieldUse]
) -> Iterator[RawRows]:
    """The columns ``uses`` of every row that was fetched."""
    batch = _Batch(uses)
    for line in split_lines(open_encoded(file.content(), "utf-8"), _MAX_ROW_BYTES):
        row: dict[str, Any] = json.loads(line.data)
        batch.add(f"{key_column} {row[key_column]}", [row.get(use.field, MISSING) for use in uses])
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

    def add(self, locator: str, values: Sequence[object]) -> None:
        self._locators.append(locator)
        for column, value in zip(self._values, values, strict=True):
            column.append(value)

    def rows(self) -> RawRows:
        columns = {
            name: object_column(values)
            for name, values in zip(self._names, self._values, strict=True)
        }
        return RawRows(len(self._locators), columns, self._locators.__getitem__, self.rejections)
