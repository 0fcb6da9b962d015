"""The files of a table: written in one pass, opened without reading them.

``lookup.json`` is written last and has the size of every file, so a truncated copy is noticed when
it is opened. Every file has a format that other tools read: NumPy's own or Arrow IPC.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .lookup_errors import QueryError, TableDamaged, counted
from .nearest import row_lengths
from .token_index import fill_slots, hash_tokens, token_bytes

FORMAT_VERSION = 1
DESCRIPTION = "lookup.json"
_TOKENS = "tokens.arrow"
_ARRAYS = ("vectors.npy", "norms.npy", "counts.npy", "hashes.npy", "slots.npy")


class Rows(NamedTuple):
    """Consecutive rows of a table."""

    tokens: Sequence[str]
    counts: NDArray[np.int64]
    vectors: NDArray[np.float32]


class TableFiles(NamedTuple):
    """The arrays of a table, memory-mapped and read-only."""

    tokens: pa.StringArray
    counts: NDArray[np.int64]
    vectors: NDArray[np.float32]
    norms: NDArray[np.float32]
    hashes: NDArray[np.uint32]
    slots: NDArray[np.uint32]


def write_table(
    directory: Path, stretches: Iterable[Rows], n_tokens: int, vector_size: int
) -> None:
    """Write the arrays and tokens of a table of ``n_tokens`` rows into ``directory``.

    Memory: one stretch of rows, the tokens and the hash table. Raises QueryError for a value that
    is not finite and for a repeated token.
    """
    norms = np.zeros(n_tokens, np.float32)
    counts = np.zeros(n_tokens, np.int64)
    tokens: list[str] = []
    with write_matrix(directory / "vectors.npy", n_tokens, vector_size) as write:
        for stretch in stretches:
            rows = slice(len(tokens), len(tokens) + len(stretch.tokens))
            write(stretch.vectors)
            norms[rows] = row_lengths(stretch.vectors)
            counts[rows] = stretch.counts
            tokens += stretch.tokens
            _check_finite(norms[rows], stretch.tokens)
    hashes = hash_tokens(map(token_bytes, tokens), n_tokens)
    _check_distinct(tokens, hashes)
    for name, array in (
        ("norms.npy", norms),
        ("counts.npy", counts),
        ("hashes.npy", hashes),
        ("slots.npy", fill_slots(hashes)),
    ):
        np.save(directory / name, array, allow_pickle=False)
    column = pa.table({"token": pa.array(tokens, pa.large_string())})
    with (
        pa.OSFile(str(directory / _TOKENS), "wb") as sink,
        pa.ipc.new_file(sink, column.schema) as writer,
    ):
        writer.write_table(column)


def write_description(directory: Path, n_tokens: int, vector_size: int) -> None:
    """Write ``lookup.json`` with the sizes of all files. It comes last."""
    description = {
        "format_version": FORMAT_VERSION,
        "n_tokens": n_tokens,
        "vector_size": vector_size,
        "bytes": {path.name: path.stat().st_size for path in sorted(directory.iterdir())},
    }
    text = json.dumps(description, indent=1) + "\n"
    (directory / DESCRIPTION).write_text(text, encoding="utf-8")


@contextmanager
def write_matrix(
    path: Path, n_rows: int, n_columns: int
) -> Iterator[Callable[[NDArray[np.float32]], object]]:
    """Write a float32 matrix in NumPy's format, some rows at a time.

    Does not use a memory map: on a full disk that would end the process instead of raising OSError.
    """
    header = {"descr": "<f4", "fortran_order": False, "shape": (n_rows, n_columns)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        yield lambda rows: file.write(np.ascontiguousarray(rows, "<f4").data)


def _check_finite(norms: NDArray[np.float32], tokens: Sequence[str]) -> None:
    is_wrong = ~np.isfinite(norms)
    if is_wrong.any():
        token = tokens[int(np.argmax(is_wrong))]
        raise QueryError(f"the vector of {token!r} is not finite or too long for float32")


def _check_distinct(tokens: Sequence[str], hashes: NDArray[np.uint32]) -> None:
    """Raise QueryError for a repeated token; only tokens with equal hashes can be equal."""
    order = np.argsort(hashes, kind="stable")
    is_repeated = hashes[order][1:] == hashes[order][:-1]
    suspects = np.union1d(order[1:][is_repeated], order[:-1][is_repeated])
    seen: set[str] = set()
    for row in suspects:
        if tokens[row] in seen:
            raise QueryError(f"the token {tokens[row]!r} has two vectors")
        seen.add(tokens[row])


def map_table(directory: Path) -> TableFiles:
    """Map the files of a table into memory. Raises TableDamaged (:func:`check_whole`)."""
    check_whole(directory)
    arrays: dict[str, Any] = {
        name.removesuffix(".npy"): map_array(directory / name) for name in _ARRAYS
    }
    return TableFiles(tokens=_map_tokens(directory / _TOKENS), **arrays)


def check_whole(directory: Path) -> None:
    """Raise TableDamaged unless every file that was written exists in full size.

    Reading beyond the end of a mapped file that was truncated meanwhile ends the process, so
    long-running processes call this first; it takes about 50 microseconds.
    """
    for name, expected in _read_description(directory)["bytes"].items():
        path = directory / name
        found = path.stat().st_size if path.is_file() else None
        if found != expected:
            state = (
                "is missing"
                if found is None
                else f"has {counted(found, 'byte')} instead of {expected}"
            )
            raise TableDamaged(f"{path} {state}: the model was not copied whole; fetch it again")


def _read_description(directory: Path) -> dict[str, Any]:
    path = directory / DESCRIPTION
    try:
        description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = description["format_version"]
        description["bytes"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TableDamaged(f"{path} cannot be read ({error}); fetch the model again") from error
    if version != FORMAT_VERSION:
        raise TableDamaged(f"{path}: format {version}; this code reads {FORMAT_VERSION}")
    return description


def map_array(path: Path) -> NDArray[Any]:
    """A read-only memory map of an array in NumPy's format. Raises TableDamaged."""
    try:
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except (OSError, ValueError, EOFError) as error:
        raise TableDamaged(f"{path} cannot be read ({error}); fetch the model again") from error
    return mapped


def _map_tokens(path: Path) -> pa.LargeStringArray:
    try:
        column = pa.ipc.open_file(pa.memory_map(str(path))).read_all().column("token")
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise TableDamaged(f"{path} cannot be read ({error}); fetch the model again") from error
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
