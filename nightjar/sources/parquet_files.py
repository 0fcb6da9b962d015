"""Parquet files of sources: opened, cut into batches, their columns and values checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nightjar.errors import SourceError
from nightjar.sources.conditions import FieldUse, missing_field
from nightjar.sources.input_file import InputFile, unreadable, vanished

_BUFFER_BYTES = 1 << 20


def check_zone(path: Path, column: str, kind: pa.DataType) -> None:
    """Raise SourceError for times whose zone is unknown: their date and hour are, too."""
    while pa.types.is_dictionary(kind) or pa.types.is_list(kind):
        kind = kind.value_type
    if not pa.types.is_timestamp(kind):
        return
    try:
        pa.scalar(0, kind).as_py()
    except (KeyError, ValueError) as error:  # pytz and zoneinfo say it with a KeyError
        raise SourceError(
            f"{path}: the times of column {column!r} have the time zone {kind.tz!r}, which the "
            f"time zone database does not know; write them in UTC or a zone such as "
            f"Europe/Berlin"
        ) from error


@contextmanager
def parquet_errors_named(path: Path) -> Iterator[None]:
    """Name the file in errors of reading it."""
    try:
        yield
    except FileNotFoundError as error:
        raise vanished(path) from error
    except PermissionError as error:
        raise unreadable(path, error) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"{path}: is no Parquet file, or damaged ({error}); restore or fetch it again"
        ) from error


def is_short_float(kind: pa.DataType) -> bool:
    """Whether ``kind`` is floats of 16 or 32 bits."""
    return bool(pa.types.is_float32(kind) or pa.types.is_float16(kind))


def as_written(column: pa.Array) -> list[float | None]:
    """Numbers of 16 or 32 bits as people write them: 0.7, not 0.699999988079071.

    A whole number stays exactly what it is, since it may be an id.
    """
    short = column.to_numpy(zero_copy_only=False)  # null is NaN
    exact = short.astype(np.float64)
    shortest = short.astype(np.str_).astype(np.float64)
    values: list[float | None] = np.where(exact == np.floor(exact), exact, shortest).tolist()
    if column.null_count:
        are_null = column.is_null().to_pylist()
        values = [None if gone else value for gone, value in zip(are_null, values, strict=True)]
    return values


def python_objects(column: pa.Array) -> list[Any]:
    """Python objects; null for a time that Python does not have, such as the year 10000."""
    try:
        values: list[Any] = column.to_pylist()
    except (OverflowError, ValueError):
        return [_object(value) for value in column]
    return values


def _object(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except (OverflowError, ValueError):
        return None


@contextmanager
def opened_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """The file, with checksums checked. Raises SourceError when it is damaged or encrypted."""
    with (
        parquet_errors_named(path),
        # With pre_buffer, or without a buffer size, an entire row group is read at once.
        pq.ParquetFile(
            path, page_checksum_verification=True, buffer_size=_BUFFER_BYTES, pre_buffer=False
        ) as parquet,
    ):
        yield parquet


def even_batches(
    file: InputFile, parquet: pq.ParquetFile, columns: list[str], most_rows: int, most_bytes: int
) -> Iterator[pa.RecordBatch]:
    """Batches of about ``most_bytes`` (or one row), and of ``most_rows`` at most.

    Tells ``file`` how much of it is read, by rows.
    """
    n_bytes, n_rows = file.path.stat().st_size, max(1, parquet.metadata.num_rows)
    row, n_reported = 0, 0
    for number in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        mean_bytes = group.total_byte_size // max(1, group.num_rows)
        size = min(most_rows, max(1, most_bytes // max(1, mean_bytes)))
        for batch in parquet.iter_batches(
            size, row_groups=[number], columns=columns, use_threads=False
        ):
            yield batch
            row += batch.num_rows
            n_done = n_bytes * row // n_rows
            file.advance(n_done - n_reported)
            n_reported = n_done
    file.advance(n_bytes - n_reported)


ColumnKind = tuple[str, Callable[[pa.DataType], bool]]
"""What the values of a column should be, for messages, and whether a type may be that."""


def check_columns(
    uses: Iterable[FieldUse], schema: pa.Schema, path: Path, kinds: Mapping[str, ColumnKind]
) -> list[str]:
    """The columns to read. Raises SourceError unless each exists once, with a suitable type.

    ``kinds`` says by key of the config what a column should be; columns of other keys are only
    compared.
    """
    wanted: dict[str, None] = {}
    for use in uses:
        column = use.field
        if column not in schema.names:
            if use.is_optional:
                continue
            raise missing_field(path, use.key, column, schema.names)
        if schema.names.count(column) > 1:
            raise SourceError(f"{path}: has several columns {column!r}; give each its own name")
        found = schema.field(column).type
        bare = found.value_type if pa.types.is_dictionary(found) else found
        kind, fits = kinds.get(use.key, _ANY_KIND)
        if not fits(bare):
            raise SourceError(f"{path}: the {use.key} {column!r} is {found}, not {kind}")
        check_zone(path, column, found)
        wanted[column] = None
    return list(wanted)


def is_text(kind: pa.DataType) -> bool:
    """Whether ``kind`` is strings, or the bytes that some writers store strings as."""
    return any(
        test(kind)
        for test in (
            *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
            *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null),
        )
    )


def is_number(kind: pa.DataType) -> bool:
    """Whether ``kind`` is numbers of some kind."""
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return any(test(kind) for test in tests)


def is_text_or_number(kind: pa.DataType) -> bool:
    """Whether ``kind`` may be ids."""
    return is_text(kind) or is_number(kind)


def _is_flat(kind: pa.DataType) -> bool:
    return not pa.types.is_nested(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)


AN_ID: ColumnKind = ("text or whole numbers", is_text_or_number)
_ANY_KIND: ColumnKind = ("something that compares", _is_flat)
