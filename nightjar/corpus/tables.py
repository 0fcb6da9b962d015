"""The tables of documents, written as row groups of bounded size and read side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MAX_ROWS = 2_000
MAX_BYTES = 16_000_000


class RowGroups:
    """Collects rows and writes a row group whenever enough are there.

    Holds at most MAX_ROWS rows, or MAX_BYTES and one row.
    """

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._writer = writer
        self._schema = schema
        self._columns: dict[str, list[Any]] = {name: [] for name in schema.names}
        self._n_rows = 0
        self._n_bytes = 0

    def add(self, n_bytes: int, **values: str | bytes | int | None) -> None:
        """Add a row whose texts take ``n_bytes``."""
        for name, column in self._columns.items():
            column.append(values[name])
        self._n_rows += 1
        self._n_bytes += n_bytes
        if self._n_rows >= MAX_ROWS or self._n_bytes >= MAX_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is left as a row group."""
        if self._n_rows == 0:
            return
        self._writer.write_table(pa.Table.from_pydict(self._columns, schema=self._schema))
        for column in self._columns.values():
            column.clear()
        self._n_rows = self._n_bytes = 0


def side_by_side(
    left: Iterator[pa.RecordBatch], right: Iterator[pa.RecordBatch]
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Batches of the same rows of two tables whose row groups end at other places."""
    a, b = next(left, None), next(right, None)
    while a is not None and b is not None:
        n_rows = min(a.num_rows, b.num_rows)
        yield a.slice(0, n_rows), b.slice(0, n_rows)
        a = a.slice(n_rows) if n_rows < a.num_rows else next(left, None)
        b = b.slice(n_rows) if n_rows < b.num_rows else next(right, None)
