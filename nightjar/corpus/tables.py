"""The documents and quarantine tables, written as row groups of bounded size."""

from __future__ import annotations

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

    def add(self, n_bytes: int, **values: str | int | None) -> None:
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
