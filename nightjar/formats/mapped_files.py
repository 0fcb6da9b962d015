"""Bringing the vectors of a file from one space into another.

Three kinds of files: Parquet with a column of vectors, whose other columns stay as they are; a
NumPy matrix (``.npy``), a vector a row; and the files of words and vectors that
:mod:`.registry` reads and that hold no tokenizer. The first two are read and written a block of
rows at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nightjar.config import TokenizeConfig
from nightjar.errors import InputError
from nightjar.files.paths import check_output, unfinished_beside
from nightjar.formats.content import BLOCK_ROWS, ExportedVectors, Ngrams
from nightjar.formats.origins import (
    SPACE,
    companion_of,
    origin_of_schema,
    read_origin,
    write_companion,
)
from nightjar.formats.registry import read_vectors, write_vectors
from nightjar.model.tokenization import Settings
from nightjar.wording import counted

MAPPED_FROM = "mapped_from"
"""Key in the origin of a mapped file: the space that its vectors come from."""
_VECTOR = "vector"
_WITH_TOKENIZER = ("sentence-transformers", "model2vec", "spacy")
Rows = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Turn:
    """From one space to another: ``rows @ rotation``."""

    rotation: NDArray[np.float64]
    """Shape (vector_size, vector_size)."""
    from_space: str
    to_space: str

    @property
    def is_identity(self) -> bool:
        """Whether both are one space."""
        return self.from_space == self.to_space

    def __call__(self, rows: Rows) -> Rows:
        """The rows in the other space, in their own type; computed in float64."""
        if self.is_identity:
            return rows
        turned: Rows = (rows.astype(np.float64) @ self.rotation).astype(rows.dtype)
        return turned

    def origin(self, before: Mapping[str, str]) -> dict[str, str]:
        """The origin of the turned vectors."""
        moved = {} if self.is_identity else {MAPPED_FROM: self.from_space}
        return {**before, **moved, SPACE: self.to_space}


def map_file(path: Path, output: Path, turn: Turn, column: str | None = None) -> int:
    """Write the vectors of ``path``, turned, to ``output``; returns their number.

    Raises InputError when the file says that it is of another space than ``turn.from_space``, for
    vectors of another size, for what cannot be read, and when ``output`` is there already.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file; correct the path")
    check_output(output, replaces=False)
    origin = read_origin(path)
    said = origin.get(SPACE)
    if said is not None and said != turn.from_space:
        raise InputError(
            f"{path} says that its vectors are of the space {said}, and --from names the space "
            f"{turn.from_space}: name a version of the space {said}"
        )
    if path.suffix == ".npy":
        return _map_matrix(path, output, turn, origin)
    if path.suffix == ".parquet":
        return _map_parquet(path, output, turn, column)
    if column is not None:
        raise InputError(f"--column is for Parquet files; {path} is none")
    return _map_words(path, output, turn, origin)


def _check_size(path: Path, size: int, turn: Turn) -> None:
    if size != len(turn.rotation):
        raise InputError(
            f"{path}: its vectors have {counted(size, 'value')}, those of --from and --to have "
            f"{len(turn.rotation)}: it is not of that model"
        )


# -- a matrix ------------------------------------------------------------------------------------


def _map_matrix(path: Path, output: Path, turn: Turn, origin: Mapping[str, str]) -> int:
    try:
        matrix: Rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: NumPy cannot open it ({error}); save it again") from error
    if matrix.ndim != 2 or matrix.dtype.kind != "f":
        raise InputError(
            f"{path} holds {matrix.dtype} {matrix.shape}; expected floats, a vector a row"
        )
    _check_size(path, matrix.shape[1], turn)
    header = {"descr": matrix.dtype.str, "fortran_order": False, "shape": matrix.shape}
    with _written(output) as unfinished, unfinished.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(0, len(matrix), BLOCK_ROWS):
            rows = np.ascontiguousarray(turn(matrix[first : first + BLOCK_ROWS]))
            file.write(rows.data)
    write_companion(output, turn.origin(origin))
    return len(matrix)


# -- Parquet -------------------------------------------------------------------------------------


def _map_parquet(path: Path, output: Path, turn: Turn, column: str | None) -> int:
    try:
        with pq.ParquetFile(path) as file, _written(output) as unfinished:
            schema = file.schema_arrow
            name = _vector_column(path, schema, column)
            place = schema.get_field_index(name)
            kept = schema.metadata or {}
            origin = json.dumps(turn.origin(origin_of_schema(schema)))
            schema = schema.with_metadata({**kept, b"nightjar": origin.encode()})
            n_rows = 0
            with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
                for group in range(file.num_row_groups):
                    for batch in file.iter_batches(BLOCK_ROWS, row_groups=[group]):
                        columns = list(batch.columns)
                        columns[place] = _turned(path, name, batch.column(place), turn, n_rows)
                        writer.write_batch(pa.record_batch(columns, schema=schema))
                        n_rows += len(batch)
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read ({reason}); write it again") from error
    return n_rows


def _vector_column(path: Path, schema: pa.Schema, column: str | None) -> str:
    fitting = [field.name for field in schema if _holds_vectors(field.type)]
    if column is not None:
        if column not in fitting:
            raise InputError(
                f"{path}: has no column {column!r} of lists of floats; it has "
                f"{', '.join(fitting) or 'none at all'}"
            )
        return column
    if _VECTOR in fitting:
        return _VECTOR
    if len(fitting) != 1:
        raise InputError(
            f"{path}: which column has the vectors? Name it with --column: "
            f"{', '.join(fitting) or 'none is a list of floats'}"
        )
    return str(fitting[0])


def _holds_vectors(kind: pa.DataType) -> bool:
    is_list = (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
    return bool(is_list and pa.types.is_floating(kind.value_type))


def _turned(path: Path, name: str, column: pa.Array, turn: Turn, first_row: int) -> pa.Array:
    size = len(turn.rotation)
    is_null = column.is_null()
    if pa.types.is_fixed_size_list(column.type) and column.null_count:
        row = first_row + is_null.to_pylist().index(True)
        raise InputError(
            f"{path}: the {name} of row {row} is null; give it a value, or take the row out"
        )
    lengths = pc.list_value_length(column)
    wrong = pc.fill_null(pc.not_equal(lengths, size), False)
    if pc.any(wrong).as_py():
        row = wrong.to_pylist().index(True)
        _check_size(Path(f"{path}, row {first_row + row}"), lengths[row].as_py(), turn)
    values = column.flatten()
    if values.null_count:
        raise InputError(
            f"{path}: a vector has a null among its values, at row {first_row} or after; give it a "
            f"value, or take the row out"
        )
    rows = values.to_numpy(zero_copy_only=False).reshape(-1, size)
    flat = pa.array(np.ascontiguousarray(turn(rows)).reshape(-1), column.type.value_type)
    if pa.types.is_fixed_size_list(column.type):
        return pa.FixedSizeListArray.from_arrays(flat, type=column.type)
    ends = np.cumsum([0, *pc.fill_null(lengths, 0).to_pylist()])
    is_large = pa.types.is_large_list(column.type)
    kind = pa.LargeListArray if is_large else pa.ListArray
    offsets = pa.array(ends, pa.int64() if is_large else pa.int32())
    mask = is_null if column.null_count else None
    return kind.from_arrays(offsets, flat, type=column.type, mask=mask)


# -- words ---------------------------------------------------------------------------------------


def _map_words(path: Path, output: Path, turn: Turn, origin: Mapping[str, str]) -> int:
    format_name, read = read_vectors(path)
    if format_name in _WITH_TOKENIZER:
        raise InputError(
            f"{path} is of the format {format_name}, which holds a tokenizer, too: export the "
            f"version that you want in this format instead"
        )
    _check_size(path, read.matrix.shape[1], turn)
    ngrams = read.ngrams
    vectors = ExportedVectors(
        tokens=read.tokens,
        counts=np.zeros(len(read.tokens), np.int64) if read.counts is None else read.counts,
        matrix=turn(read.matrix),
        tokenizer=Settings(**TokenizeConfig().shaping_words()),
        ngrams=None if ngrams is None else _turned_ngrams(ngrams, turn),
        source=turn.origin(origin),
    )
    write_vectors(vectors, format_name, output)
    return len(read.tokens)


def _turned_ngrams(ngrams: Ngrams, turn: Callable[[Rows], Rows]) -> Ngrams:
    return replace(ngrams, vectors=turn(ngrams.vectors))


@contextmanager
def _written(output: Path) -> Iterator[Path]:
    """A file beside ``output`` that takes its name after the block."""
    unfinished = unfinished_beside(output)
    try:
        yield unfinished
        companion_of(output).unlink(missing_ok=True)  # never beside vectors that it is not of
        unfinished.replace(output)
    except OSError as error:
        raise InputError(
            f"{output} cannot be written: {error.strerror or error}; nothing was left behind"
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
