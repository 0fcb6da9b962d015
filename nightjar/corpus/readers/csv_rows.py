"""CSV with a header line, quoted as RFC 4180 says."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

from nightjar.config import CsvSource
from nightjar.corpus.encodings import EncodedStream, open_encoded
from nightjar.corpus.input_file import InputFile
from nightjar.corpus.lines import split_lines
from nightjar.corpus.readers.fields import missing_field, native_id
from nightjar.corpus.readers.plain_text import MAX_CHARACTER_BYTES
from nightjar.corpus.records import Document, Reason, Record, Rejection, excerpt
from nightjar.errors import SourceError

_UNDECODED = re.compile(r"[\udc80-\udcff]")
_MARK = "\udc80"
"""Stands for what cannot be decoded; no decoder yields it by itself."""


def read_csv(config: CsvSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """The text column of each row. Raises SourceError when the header has no such column."""
    stream = open_encoded(file.content(), config.encoding)
    limit = max_chars * MAX_CHARACTER_BYTES
    # The module's limit is one for the process; it only ever grows.
    csv.field_size_limit(max(csv.field_size_limit(), limit))
    rows = csv.reader(_text_lines(stream, limit), delimiter=config.delimiter, strict=True)
    columns = _header(config, file, rows)
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            locator = f"{file.label}:{rows.line_num}"
            is_long = "field limit" in str(error)
            reason = Reason.TOO_LONG if is_long else Reason.MALFORMED_ROW
            yield Rejection(locator, reason, str(error))
            continue
        if row is None:
            return
        yield columns.record(f"{file.label}:{rows.line_num}", row)


@dataclass(frozen=True)
class _Columns:
    """Where the header says that text and id are."""

    n_columns: int
    text: int
    id: int | None

    def record(self, locator: str, row: list[str]) -> Document | Rejection:
        shown = excerpt(" | ".join(row))
        if not row:
            return Rejection(locator, Reason.EMPTY, "a blank line")
        if any(_UNDECODED.search(cell) for cell in row):
            return Rejection(locator, Reason.UNDECODABLE, "not in the source's encoding", shown)
        if len(row) != self.n_columns:
            detail = f"{len(row)} columns, the header has {self.n_columns}"
            return Rejection(locator, Reason.MALFORMED_ROW, detail, shown)
        if self.id is None:
            return Document(locator, None, row[self.text])
        found = native_id(row[self.id])
        if found is None:
            return Rejection(locator, Reason.INVALID_ID, "the id is empty", shown)
        return Document(locator, found, row[self.text])


def _header(config: CsvSource, file: InputFile, rows: Iterator[list[str]]) -> _Columns:
    try:
        header = next(rows, None)
    except csv.Error as error:
        raise SourceError(f"{file.path}: the header line cannot be read: {error}") from error
    if not header:
        raise SourceError(f"{file.path}: there is no header line; name the columns in the first")
    for name in (config.text_column, config.id_column):
        if name is not None and name not in header:
            raise missing_field(file.path, "column", name, header)
    id_index = None if config.id_column is None else header.index(config.id_column)
    return _Columns(len(header), header.index(config.text_column), id_index)


def _text_lines(stream: EncodedStream, max_bytes: int) -> Iterator[str]:
    """Decoded lines with their ends; what cannot be decoded is marked, not dropped."""
    encoding = stream.encoding.name
    for line in split_lines(stream, max_bytes):
        try:
            text = line.data.decode(encoding)
        except UnicodeDecodeError:
            text = line.data.decode(encoding, "replace").replace("\ufffd", _MARK)
        # A cut line is made longer than any field may be: the csv module refuses it, and
        # starts afresh behind it even where the cut left a quote open.
        yield text + ("x" * (csv.field_size_limit() + 1) if line.is_cut else "") + "\n"
