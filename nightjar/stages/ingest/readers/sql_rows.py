"""Rows of a database, from the files that ``stages/ingest/remote/rows.py`` has made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from nightjar.config import SqlSource
from nightjar.stages.ingest.encodings import open_encoded
from nightjar.stages.ingest.input_file import InputFile
from nightjar.stages.ingest.lines import split_lines
from nightjar.stages.ingest.readers.mapping import MISSING, FieldMapping
from nightjar.stages.ingest.records import Record

_MAX_BYTES = 1 << 31
"""Of a row; databases allow no more."""


def read_rows(source: SqlSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """A document a row, called by its key. Holds one row, however long: it is a value there."""
    del max_chars  # cleaning rejects what is longer
    mapping = FieldMapping.of(source)
    for line in split_lines(open_encoded(file.content(), "utf-8"), _MAX_BYTES):
        row: dict[str, Any] = json.loads(line.data)
        locator = f"{source.key_column} {row[source.key_column]}"
        yield mapping.record(locator, partial(_value, row), _kind, (line.data, "utf-8"))


def _value(row: Mapping[str, Any], name: str) -> object:
    return row.get(name, MISSING)


def _kind(value: object) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
