"""Parquet files of sources: their errors, and times that say nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
