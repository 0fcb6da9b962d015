"""Parquet, SQLite and the TensorBoard projector's tables."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nightjar.errors import InputError
from nightjar.formats.content import ExportedVectors, ReadVectors
from nightjar.store import schemas

_PARQUET = ("token", "count", "vector")
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
    """Read ``token`` and ``vector``, float lists of one length, and ``count`` if present."""
    try:
        file = pq.ParquetFile(path)
        missing = sorted({"token", "vector"} - set(file.schema_arrow.names))
        if missing:
            raise InputError(
                f"{path}: has no column {', '.join(missing)}; name the words 'token', the vectors "
                f"'vector'"
            )
        table = file.read(columns=[name for name in _PARQUET if name in file.schema_arrow.names])
        table = table.slice(0, limit)
        tokens = table.column("token").cast(pa.string()).to_pylist()
        matrix = _matrix(path, table.column("vector"))
        counts = None
        if "count" in table.column_names:
            counts = table.column("count").cast(pa.int64()).to_numpy()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read ({reason}); write it again") from error
    return ReadVectors(tokens, matrix, counts)


def _matrix(path: Path, column: pa.ChunkedArray) -> NDArray[np.float32]:
    values = column.combine_chunks()
    flat = values.flatten()
    size, rest = divmod(len(flat), max(len(values), 1))
    lengths = pc.list_value_length(values)
    if rest or values.null_count or set(pc.unique(lengths).to_pylist()) - {size}:
        raise InputError(f"{path}: the column vector has rows of different lengths, or empty ones")
    matrix: NDArray[np.float32] = flat.cast(pa.float32()).to_numpy().reshape(-1, size)
    return matrix


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
    entries = {"vector_size": str(vectors.vector_size), "dtype": "float32 little-endian"}
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
    """Read what :func:`write_sqlite` wrote, most frequent first."""
    query = "SELECT token, count, vector FROM vectors ORDER BY rank LIMIT ?"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            found = database.execute(query, (-1 if limit is None else limit,)).fetchall()
    except sqlite3.Error as error:
        raise InputError(
            f"{path}: its table vectors (token, rank, count, vector) cannot be read ({error})"
        ) from error
    widths = {len(vector) if isinstance(vector, bytes) else -1 for _, _, vector in found}
    if not found or len(widths) > 1 or min(widths) < 4 or min(widths) % 4:
        raise InputError(f"{path}: the table vectors is empty, or its blobs differ in length")
    matrix = np.frombuffer(b"".join(vector for _, _, vector in found), "<f4")
    counts = np.array([count for _, count, _ in found], np.int64)
    tokens = [str(token) for token, _, _ in found]
    return ReadVectors(tokens, matrix.reshape(len(found), -1).astype(np.float32), counts)


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
    numbered = path / "vectors.tsv"
    matrix = _projector_values(numbered)
    header = labels[0] if len(labels) == len(matrix) + 1 else ["token"]
    rows = labels[1:] if len(labels) == len(matrix) + 1 else labels
    if len(rows) != len(matrix):
        raise InputError(
            f"{path}: metadata.tsv has {len(rows)} rows and vectors.tsv {len(matrix)}; write both "
            f"again"
        )
    column = header.index("token") if "token" in header else 0
    tokens = [row[column] for row in rows[:limit]]
    counts = None
    if "count" in header:
        place = header.index("count")
        counts = np.array([int(row[place]) for row in rows[:limit]], np.int64)
    return ReadVectors(tokens, matrix[:limit], counts)


def _labels(path: Path) -> list[list[str]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); it holds the words") from error
    return [line.rstrip("\r").split("\t") for line in lines if line]


def _projector_values(path: Path) -> NDArray[np.float32]:
    try:
        options = pcsv.ReadOptions(autogenerate_column_names=True)
        table = pcsv.read_csv(path, options, pcsv.ParseOptions(delimiter="\t", quote_char=False))
        columns = [column.cast(pa.float32()).to_numpy() for column in table.columns]
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read as numbers ({reason}); write it again") from error
    return np.stack(columns, axis=1)
