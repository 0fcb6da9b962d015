"""Parquet, SQLite and the TensorBoard projector's tables."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nightjar.errors import InputError
from nightjar.formats.content import (
    BLOCK_ROWS,
    ExportedVectors,
    ReadVectors,
    as_float32,
    check_vector_size,
    new_matrix,
)
from nightjar.store import schemas
from nightjar.wording import counted

_PARQUET = ("token", "count", "vector")
_NAMES = ("token", "word", "label")
"""What a single column may be called; otherwise its first line is a label."""
_MAX_DIGITS = 18
_MAX_LINE_BYTES = 8 << 20
_DTYPE = "float32 little-endian"
_CREATE = """
CREATE TABLE vectors (
    token TEXT PRIMARY KEY, rank INTEGER NOT NULL, count INTEGER NOT NULL, vector BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE metadata (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


def breaks_a_line(token: str) -> bool:
    """Whether ``token`` would break a line or column of a tab-separated table."""
    return token == "" or any(char in token for char in "\t\n\r\0")


def holds_nul(token: str) -> bool:
    """Whether ``token`` contains NUL, which ends text in SQLite's functions."""
    return "\0" in token


def write_parquet(vectors: ExportedVectors, path: Path) -> None:
    """Write columns token, count and vector (a fixed-size list); the source is in the schema."""
    metadata = {"nightjar": json.dumps(dict(vectors.source))}
    schema = schemas.vectors_schema(vectors.vector_size).with_metadata(metadata)
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=["token"]) as writer:
        for rows, block in vectors.blocks():
            values = pa.FixedSizeListArray.from_arrays(
                pa.array(block.reshape(-1)), type=schemas.vector_type(vectors.vector_size)
            )
            columns = [
                pa.array(vectors.tokens[rows], pa.string()),
                pa.array(vectors.counts[rows], pa.int64()),
                values,
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def read_parquet(path: Path, limit: int | None = None) -> ReadVectors:
    """Read ``token`` and ``vector``, number lists of one length, and ``count`` if present.

    Whole numbers are tokens, too, as their digits. Raises InputError for nulls and for other types,
    naming column and row. Memory: the vectors, and a row group of the file.
    """
    try:
        file = pq.ParquetFile(path)
        names = _columns(path, file.schema_arrow)
        n_rows = file.metadata.num_rows
        n_rows = n_rows if limit is None else min(limit, n_rows)
        tokens: list[str] = []
        counts: list[int] = []
        matrix = np.empty((0, 0), np.float32)
        for batch in file.iter_batches(BLOCK_ROWS, columns=names):
            part = batch.slice(0, n_rows - len(tokens))
            for name in names:
                _refuse_null(path, name, part.column(name), len(tokens))
            values = _matrix(path, part.column("vector"), len(tokens))
            matrix = matrix if tokens else new_matrix(path, n_rows, values.shape[1])
            if values.shape[1] != matrix.shape[1]:
                raise InputError(
                    f"{path}: the vector of row {len(tokens)} has "
                    f"{counted(values.shape[1], 'value')}, those before it {matrix.shape[1]}; "
                    f"write it again"
                )
            matrix[len(tokens) : len(tokens) + len(values)] = values
            tokens += part.column("token").cast(pa.string()).to_pylist()
            if "count" in names:
                counts += part.column("count").cast(pa.int64()).to_pylist()
            if len(tokens) >= n_rows:
                break
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read ({reason}); write it again") from error
    found = np.array(counts, np.int64) if "count" in names else None
    return ReadVectors(tokens, matrix[: len(tokens)], found)


def _columns(path: Path, schema: pa.Schema) -> list[str]:
    """The columns to read. Raises InputError if one is missing, twice there or of another kind."""
    missing = sorted({"token", "vector"} - set(schema.names))
    if missing:
        raise InputError(
            f"{path}: has no column {', '.join(missing)}; name the words 'token', the vectors "
            f"'vector'"
        )
    names = [name for name in _PARQUET if name in schema.names]
    for name in names:
        if schema.names.count(name) > 1:
            raise InputError(f"{path}: has more than one column {name}; rename all but one")
        kind = schema.field(name).type
        if not _KINDS[name](kind.value_type if pa.types.is_dictionary(kind) else kind):
            raise InputError(
                f"{path}: the column {name} is of type {kind}; tokens are text or whole numbers, "
                f"counts whole numbers, vectors lists of numbers"
            )
    return names


def _is_token(kind: pa.DataType) -> bool:
    types = pa.types
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    is_bytes = types.is_binary(kind) or types.is_large_binary(kind)
    return bool(is_text or is_bytes or types.is_integer(kind))


def _is_vector(kind: pa.DataType) -> bool:
    types = pa.types
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return False
    return bool(types.is_floating(kind.value_type) or types.is_integer(kind.value_type))


def _is_count(kind: pa.DataType) -> bool:
    # pandas makes floats of whole numbers with a gap; a fraction is refused when it is converted.
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind))


_KINDS: Mapping[str, Callable[[pa.DataType], bool]] = MappingProxyType(
    {"token": _is_token, "count": _is_count, "vector": _is_vector}
)


def _refuse_null(path: Path, name: str, column: pa.Array, first_row: int) -> None:
    if column.null_count:
        row = first_row + column.is_null().to_pylist().index(True)
        raise InputError(
            f"{path}: the {name} of row {row} is null; give it a value, or take the row out"
        )


def _matrix(path: Path, values: pa.Array, first_row: int) -> NDArray[np.float32]:
    flat = values.flatten()
    size, rest = divmod(len(flat), max(len(values), 1))
    lengths = pc.list_value_length(values)
    if rest or set(pc.unique(lengths).to_pylist()) - {size}:
        raise InputError(
            f"{path}: the column vector has lists of different lengths in the rows from "
            f"{first_row} on; write it again"
        )
    if flat.null_count:
        row = first_row + flat.is_null().to_pylist().index(True) // size
        raise InputError(
            f"{path}: the vector of row {row} has a null among its values; give it a value, or "
            f"take the row out"
        )
    return as_float32(flat.to_numpy(zero_copy_only=False).reshape(len(values), size))


def write_sqlite(vectors: ExportedVectors, path: Path) -> None:
    """Write a table for ``SELECT vector FROM vectors WHERE token = ?``: float32, little-endian."""
    try:
        with closing(sqlite3.connect(path)) as database:
            _fill(database, vectors)
    except sqlite3.OperationalError as error:
        raise OSError(str(error)) from error  # a full disk


def _fill(database: sqlite3.Connection, vectors: ExportedVectors) -> None:
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.executescript(_CREATE)
    entries = {"vector_size": str(vectors.vector_size), "dtype": _DTYPE}
    database.executemany(
        "INSERT INTO metadata VALUES (?, ?)", {**vectors.source, **entries}.items()
    )
    database.executemany("INSERT INTO vectors VALUES (?, ?, ?, ?)", _sqlite_rows(vectors))
    database.execute("CREATE INDEX vectors_by_rank ON vectors (rank)")
    database.commit()


def _sqlite_rows(vectors: ExportedVectors) -> Iterator[tuple[str, int, int, bytes]]:
    for rows, block in vectors.blocks():
        counts = vectors.counts[rows].tolist()
        for number, token in enumerate(vectors.tokens[rows]):
            blob = block[number].astype("<f4", copy=False).tobytes()
            yield token, rows.start + number, counts[number], blob


def read_sqlite(path: Path, limit: int | None = None) -> ReadVectors:
    """Read what :func:`write_sqlite` wrote, most frequent first. Memory: the vectors, twice.

    Raises InputError for values of other types, naming the token.
    """
    query = "SELECT token, count, vector FROM vectors ORDER BY rank LIMIT ?"
    tokens: list[str] = []
    counts: list[int] = []
    values = bytearray()
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            width = _declared_bytes(path, database)
            for row in database.execute(query, (-1 if limit is None else limit,)):
                token, count, vector = _checked_row(path, row)
                width = width or len(vector)
                if len(vector) != width or width % 4:
                    raise InputError(
                        f"{path}: the vector of {token!r} has {counted(len(vector), 'byte')}, "
                        f"expected {width}, 4 for each value; write it again"
                    )
                tokens.append(token)
                counts.append(count)
                values += vector
    except (sqlite3.Error, OverflowError) as error:
        raise InputError(
            f"{path}: its table vectors (token, rank, count, vector) cannot be read ({error})"
        ) from error
    if not tokens:
        raise InputError(f"{path}: the table vectors is empty; is it the right file?")
    matrix = np.frombuffer(values, "<f4").reshape(len(tokens), -1)
    return ReadVectors(tokens, matrix.astype(np.float32, copy=False), np.array(counts, np.int64))


def _declared_bytes(path: Path, database: sqlite3.Connection) -> int:
    """The bytes of a vector after the table ``metadata``; 0 if it does not say."""
    kinds = dict(database.execute("SELECT name, type FROM sqlite_master").fetchall())
    if kinds.get("vectors", "table") != "table":  # a view may have no end
        raise InputError(f"{path}: 'vectors' is a {kinds['vectors']}; make a table of it")
    if kinds.get("metadata") != "table":
        return 0
    query = "SELECT key, value FROM metadata WHERE key IN ('vector_size', 'dtype')"
    declared = dict(database.execute(query).fetchall())
    if declared.get("dtype", _DTYPE) != _DTYPE:
        raise InputError(f"{path}: its vectors are {declared['dtype']!r}, not {_DTYPE}")
    size = str(declared.get("vector_size", 0))
    if not (size.isascii() and size.isdigit() and len(size) < 10):
        raise InputError(f"{path}: its metadata has the vector_size {size[:40]!r}; correct it")
    return 4 * int(size)


def _checked_row(path: Path, row: tuple[Any, Any, Any]) -> tuple[str, int, bytes]:
    token, count, vector = row
    if isinstance(token, int):
        token = str(token)
    if not (isinstance(token, str) and isinstance(count, int) and isinstance(vector, bytes)):
        found = ", ".join(type(value).__name__ for value in row)
        raise InputError(
            f"{path}: the row of token {str(token)[:60]!r} holds {found}; expected text, a whole "
            f"number and bytes: correct it, or take the row out"
        )
    if not vector:
        raise InputError(f"{path}: the vector of {token!r} is empty; take the row out")
    return token, count, vector


def write_projector(vectors: ExportedVectors, path: Path) -> None:
    """Write a folder for TensorBoard's embedding projector: values, labels and configuration."""
    path.mkdir()
    options = pcsv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    names = [str(place) for place in range(vectors.vector_size)]
    with (path / "vectors.tsv").open("wb") as values:
        for _, block in vectors.blocks():
            columns = [pa.array(np.ascontiguousarray(column)) for column in block.T]
            pcsv.write_csv(pa.table(columns, names=names), values, options)
    with (path / "metadata.tsv").open("w", encoding="utf-8", newline="\n") as labels:
        labels.write("token\tcount\n")
        for token, count in zip(vectors.tokens, vectors.counts.tolist(), strict=True):
            labels.write(f"{token}\t{count}\n")
    config = 'embeddings {\n  tensor_path: "vectors.tsv"\n  metadata_path: "metadata.tsv"\n}\n'
    (path / "projector_config.pbtxt").write_text(config, encoding="utf-8")


def read_projector(path: Path, limit: int | None = None) -> ReadVectors:
    """Read such a folder; labels without a header are tokens."""
    labels = _labels(path / "metadata.tsv")
    matrix = _projector_values(path / "vectors.tsv")
    header = _header(labels, len(matrix))
    rows = labels[1:] if header else labels
    if len(rows) != len(matrix):
        raise InputError(
            f"{path}: metadata.tsv has {counted(len(rows), 'row')} and vectors.tsv {len(matrix)}; "
            f"write both again"
        )
    column = header.index("token") if "token" in header else 0
    width = len(labels[0])
    for number, row in enumerate(rows):
        if len(row) != width:
            raise InputError(
                f"{path}: row {number} of metadata.tsv has {counted(len(row), 'column')}, its "
                f"first line {width}; write it again"
            )
    tokens = [row[column] for row in rows[:limit]]
    counts = None
    if "count" in header:
        place = header.index("count")
        counts = np.array([_count(path, row[column], row[place]) for row in rows[:limit]], np.int64)
    return ReadVectors(tokens, matrix[:limit], counts)


def _header(labels: list[list[str]], n_rows: int) -> list[str]:
    """The first line if it names columns. TensorBoard expects one above several columns only."""
    first = labels[0]
    if len(first) > 1:
        return first if "token" in first or len(labels) == n_rows + 1 else []
    return first if first[0].lower() in _NAMES and len(labels) == n_rows + 1 else []


def _count(path: Path, token: str, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        return int(text)
    raise InputError(
        f"{path}: the count of {token!r} in metadata.tsv is {text[:40]!r}, no whole number; "
        f"correct it, or take the column out"
    )


def _labels(path: Path) -> list[list[str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); it holds the words") from error
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise InputError(f"{path}: is empty; it holds the words")
    return [line.split("\t") for line in lines]


def _projector_values(path: Path) -> NDArray[np.float32]:
    try:
        with path.open("rb") as file:
            first = file.readline(_MAX_LINE_BYTES)
        size = first.count(b"\t") + 1
        check_vector_size(path, size)
        names = [str(place) for place in range(size)]
        table = pcsv.read_csv(
            path,
            pcsv.ReadOptions(column_names=names),
            pcsv.ParseOptions(delimiter="\t", quote_char=False),
            pcsv.ConvertOptions(column_types=dict.fromkeys(names, pa.float32()), null_values=[]),
        )
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read as numbers ({reason}); write it again") from error
    return np.stack([column.to_numpy() for column in table.columns], axis=1)
