"""Rows as the readers of tables find them: each column as codes into its distinct values.

What is checked or converted, is that once for each distinct value of a block of rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.sources.parquet_files import as_written, is_short_float, python_objects
from nightjar.sources.rejections import Rejection

Codes = NDArray[np.int32]


_ARROW_TYPES: Mapping[type, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
}


@dataclass(frozen=True)
class Problem:
    """What is wrong with a value."""

    reason: StrEnum
    detail: str


Problems = Mapping[int, Problem]
"""By the code of the value."""


@dataclass(frozen=True)
class Column:
    """A column of a block."""

    codes: Codes
    """For each row, the place of its value in ``values``."""
    values: pa.Array | Sequence[Any]
    """Values of one Arrow type, or Python objects."""
    problems: Problems = field(default_factory=dict)
    """Values that could not be read."""

    def objects(self) -> Sequence[Any]:
        """The distinct values as Python objects; numbers as people write them."""
        if not isinstance(self.values, pa.Array):
            return self.values
        return as_written(self.values) if is_short_float(self.values.type) else _objects(self)


def _objects(column: Column) -> Sequence[Any]:
    return python_objects(column.values)


def arrow_column(array: pa.Array) -> Column:
    """The column of an Arrow array; null is a value like others."""
    if pa.types.is_dictionary(array.type):
        if not array.null_count and not array.dictionary.null_count:
            codes = array.indices.cast(pa.int32()).to_numpy(zero_copy_only=False)
            return Column(codes, array.dictionary)
        array = array.dictionary_decode()
    encoded = array.dictionary_encode(null_encoding="encode")
    return Column(encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary)


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """A column of a table as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def text_column(values: Sequence[str]) -> Column:
    """The column of texts, all of them valid Unicode."""
    return arrow_column(pa.array(values, pa.string()))


def object_column(values: Sequence[Any]) -> Column:
    """The column of Python objects; those of different types are different: 1, 1.0, true."""
    array = _alike(values)
    if array is not None:
        return arrow_column(array)
    places: dict[Hashable, int] = {}
    distinct: list[Any] = []
    codes = np.empty(len(values), np.int32)
    for row, value in enumerate(values):
        is_hashable = not isinstance(value, list | dict)
        key = (type(value), value if is_hashable else row)
        code = places.get(key)
        if code is None:
            code = places[key] = len(distinct)
            distinct.append(value)
        codes[row] = code
    return Column(codes, distinct)


def _alike(values: Sequence[Any]) -> pa.Array | None:
    """The values as an Arrow array if they are all text, integers or floats."""
    kinds = set(map(type, values))
    if len(kinds) != 1 or not kinds <= _ARROW_TYPES.keys():
        return None
    try:
        return pa.array(values, _ARROW_TYPES[kinds.pop()])
    except (pa.ArrowInvalid, UnicodeEncodeError, OverflowError):  # half a character, 20 digits
        return None


@dataclass(frozen=True)
class RawRows:
    """A block of rows, in order."""

    n_rows: int
    columns: Mapping[str, Column]
    """The columns that are read, by name; one that the file does not have is absent."""
    locator: Callable[[int], str]
    """Where a row is, for messages."""
    rejections: Sequence[Rejection] = ()
    """What is between the rows and is none."""
    skipped: Counter[str] = field(default_factory=Counter)
    """What was left out on purpose, by the name of its count."""
