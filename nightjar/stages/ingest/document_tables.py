"""Tables of documents: written in row groups of bounded size, read side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from nightjar.store import FileEntry, described_table, only_writes, part_name, table_writer

Value = str | bytes | int | None

MAX_ROWS = 2_000
MAX_BYTES = 16_000_000
PART_BYTES = 64_000_000
"""Bytes of text in one part of the documents."""


class RowGroupWriter:
    """Collects rows and writes a row group when there are enough.

    Memory: at most MAX_ROWS rows, or MAX_BYTES and one row.
    """

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._writer = writer
        self._schema = schema
        self._rows: list[tuple[Value, ...]] = []
        self._n_bytes = 0

    def add(self, n_bytes: int, *values: Value) -> None:
        """Add a row, with values in the order of the schema and texts of ``n_bytes`` in total."""
        self._rows.append(values)
        self._n_bytes += n_bytes
        if len(self._rows) >= MAX_ROWS or self._n_bytes >= MAX_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the remaining rows as a row group."""
        if not self._rows:
            return
        columns = [
            pa.array(values, field.type)
            for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
        ]
        self._writer.write_table(pa.table(columns, schema=self._schema))
        self._rows.clear()
        self._n_bytes = 0


class DocumentParts:
    """A table written in parts of PART_BYTES, so that readers can work in parallel.

    ``entries`` are those of the finished parts; :meth:`finish` ends the last one.
    """

    def __init__(self, directory: Path, table: str, schema: pa.Schema) -> None:
        self._directory = directory
        self._table = table
        self._schema = schema
        self._open = ExitStack()
        self._rows: RowGroupWriter | None = None
        self._n_bytes = 0
        self.entries: list[FileEntry] = []

    @property
    def _name(self) -> str:
        return part_name(self._table, len(self.entries))

    def add(self, n_bytes: int, *values: Value) -> None:
        """Add a row, with values in the order of the schema and texts of ``n_bytes`` in total."""
        if self._rows is None:
            self._rows = self._begin()
        self._rows.add(n_bytes, *values)
        self._n_bytes += n_bytes
        if self._n_bytes >= PART_BYTES:
            self._end()

    def _begin(self) -> RowGroupWriter:
        path = self._directory / self._name
        root = self._directory.parents[1]
        with only_writes(root):
            path.parent.mkdir(exist_ok=True)
        writer = self._open.enter_context(table_writer(root, path, self._schema))
        self._n_bytes = 0
        return RowGroupWriter(writer, self._schema)

    def _end(self) -> None:
        if self._rows is not None:
            self._rows.flush()
            self._open.close()
            self._rows = None
            self.entries.append(described_table(self._directory, self._name, self._schema))

    def finish(self) -> list[FileEntry]:
        """End the last part; there is always a first one, even without rows."""
        if self._rows is None and not self.entries:
            self._rows = self._begin()
        self._end()
        return self.entries

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)


def side_by_side(
    left: Iterator[pa.RecordBatch], right: Iterator[pa.RecordBatch]
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Batches with the same rows of two tables whose row groups differ."""
    a, b = next(left, None), next(right, None)
    while a is not None and b is not None:
        n_rows = min(a.num_rows, b.num_rows)
        yield a.slice(0, n_rows), b.slice(0, n_rows)
        a = a.slice(n_rows) if n_rows < a.num_rows else next(left, None)
        b = b.slice(n_rows) if n_rows < b.num_rows else next(right, None)
