"""Parquet files with a text column."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from nightjar.config import ParquetSource
from nightjar.corpus.input_file import InputFile
from nightjar.corpus.readers.fields import missing_field, native_id
from nightjar.corpus.records import Document, Reason, Record, Rejection, excerpt
from nightjar.errors import SourceError

_BATCH_ROWS = 1_024


def read_parquet(config: ParquetSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """The text column of each row, a row group at a time.

    Raises SourceError when the file is damaged, or has no such column of text.
    """
    del max_chars  # a row is in memory whole; its length is checked like any document's
    try:
        with pq.ParquetFile(file.path) as parquet:
            yield from _rows(config, file, parquet)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(
            f"{file.path}: the Parquet file cannot be read ({error}); restore or fetch it again"
        ) from error


def _rows(config: ParquetSource, file: InputFile, parquet: pq.ParquetFile) -> Iterator[Record]:
    schema = parquet.schema_arrow
    columns = [name for name in (config.text_column, config.id_column) if name is not None]
    for name in columns:
        if name not in schema.names:
            raise missing_field(file.path, "column", name, schema.names)
    _check_type(file, schema.field(config.text_column), is_id=False)
    if config.id_column is not None:
        _check_type(file, schema.field(config.id_column), is_id=True)
    n_rows = max(1, parquet.metadata.num_rows)
    bytes_per_row = file.path.stat().st_size / n_rows
    row = told = 0
    for batch in parquet.iter_batches(_BATCH_ROWS, columns=columns):
        # As bytes: a string column may hold what is not UTF-8.
        texts = batch.column(config.text_column).cast(pa.large_binary(), safe=False)
        ids = None if config.id_column is None else batch.column(config.id_column).to_pylist()
        for index, data in enumerate(texts.to_pylist()):
            identifier = None if ids is None else ids[index]
            yield _record(config, f"{file.label}: row {row}", data, identifier)
            row += 1
        reached = int(row * bytes_per_row)
        file.advance(reached - told)
        told = reached


def _check_type(file: InputFile, field: pa.Field, is_id: bool) -> None:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    is_fit = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if is_id:
        is_fit = is_fit or pa.types.is_integer(kind)
    if not is_fit:
        wanted = "text or whole numbers" if is_id else "text"
        raise SourceError(
            f"{file.path}: the column {field.name!r} is {field.type}, not {wanted}; name another"
        )


def _record(
    config: ParquetSource, locator: str, data: bytes | None, identifier: object
) -> Document | Rejection:
    if data is None:
        return Rejection(locator, Reason.NOT_TEXT, f"{config.text_column!r} is null")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        detail = f"not utf-8 at byte {error.start}: {error.reason}"
        return Rejection(locator, Reason.UNDECODABLE, detail, excerpt(data))
    if config.id_column is None:
        return Document(locator, None, text)
    found = native_id(identifier)
    if found is None:
        detail = f"{config.id_column!r} is {identifier!r:.50}"
        return Rejection(locator, Reason.INVALID_ID, detail, excerpt(text))
    return Document(locator, found, text)
