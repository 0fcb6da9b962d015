"""Tables of edges, events and items: rows with typed columns by role.

A reader for each format (``csv_tables``, ``edge_lists``, ``object_rows``, ``parquet_tables``) takes
a file apart into blocks of raw rows (``raw_rows``). ``typed_rows`` applies the conditions and
converts each role's column (``role_values``, ``times``), once for each distinct value of a block.
Files are read in shards that are published by themselves (``row_shards``); ``row_reading`` reads
those that are new and sums up.
"""

from nightjar.sources.tables.role_values import ROW_ERRORS, RowReason
from nightjar.sources.tables.row_reading import (
    FoundRows,
    ReadRows,
    read_row_shards,
    table_inputs,
)
from nightjar.sources.tables.row_shards import (
    RowShard,
    TableCorpus,
    is_of_items,
    make_row_shards,
    rows_code,
    rows_config,
    table_sources,
)

__all__ = [
    "ROW_ERRORS",
    "FoundRows",
    "ReadRows",
    "RowReason",
    "RowShard",
    "TableCorpus",
    "is_of_items",
    "make_row_shards",
    "read_row_shards",
    "rows_code",
    "rows_config",
    "table_inputs",
    "table_sources",
]
