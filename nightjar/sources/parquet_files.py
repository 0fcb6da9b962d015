"""Parquet files of sources: their errors, times that say nothing, values as people write them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nightjar.errors import SourceError
from nightjar.sources.input_file import unreadable, vanished


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
