"""word2vec's binary format: ``n_tokens vector_size``, then a word, a space and float32 values."""

from __future__ import annotations

import mmap
from collections import Counter
from pathlib import Path

import numpy as np

from nightjar.errors import InputError
from nightjar.formats.content import WORD2VEC_HEADER, ExportedVectors, ReadVectors, decoded

_MAX_WORD_BYTES = 1 << 16


def cannot_hold(token: str) -> bool:
    """Whether a reader would end ``token`` early, or take a line break off it."""
    return token == "" or " " in token or "\n" in token


def write_word2vec_binary(vectors: ExportedVectors, path: Path) -> None:
    """As word2vec.c and gensim write it: little-endian, no line breaks between rows."""
    with path.open("wb") as file:
        file.write(f"{len(vectors.tokens)} {vectors.vector_size}\n".encode())
        for rows, block in vectors.blocks():
            data = block.astype("<f4", copy=False).tobytes()
            width = 4 * vectors.vector_size
            for number, token in enumerate(vectors.tokens[rows]):
                file.write(token.encode() + b" ")
                file.write(data[number * width : (number + 1) * width])


def read_word2vec_binary(path: Path, limit: int | None = None) -> ReadVectors:
    """Also as the authors' program writes it, with a line break behind each row.

    Mended and counted: a header with another number of rows, a last row that was cut, words
    that are not UTF-8. Raises InputError for what is no such file. In memory: the vectors.
    """
    with path.open("rb") as file:
        if not file.seek(0, 2):
            raise InputError(f"{path}: the file is empty; fetch it again")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(path, data, limit)


def _read(path: Path, data: mmap.mmap, limit: int | None) -> ReadVectors:
    header = WORD2VEC_HEADER.match(data[:256])
    if header is None:
        raise InputError(
            f"{path}: does not start with the number of words and of values; is it word2vec's "
            f"binary format?"
        )
    n_declared, size = int(header[1]), int(header[2])
    # A row has a word of one byte and a space at least.
    n_possible = (len(data) - header.end()) // (4 * size + 2) if size else 0
    if size == 0 or n_possible == 0:
        raise InputError(
            f"{path}: {len(data)} bytes hold no row of {size} values, which its header declares; "
            f"fetch the file again"
        )
    n_rows = min(n_possible, limit or n_possible)
    faults: Counter[str] = Counter()
    words: list[str] = []
    values = np.empty((n_rows, size), np.float32)
    place, width = header.end(), 4 * size
    while len(words) < n_rows and place < len(data):
        end = data.find(b" ", place, place + _MAX_WORD_BYTES)
        if end < 0 or end + 1 + width > len(data):
            _check_rest(path, place, end, len(data), width)
            faults["cut_last_row"] += int(bool(data[place:].strip(b"\r\n\0 ")))
            break
        values[len(words)] = np.frombuffer(data, "<f4", size, end + 1)
        words.append(decoded(data[place:end].lstrip(b"\r\n"), faults))
        place = end + 1 + width
    if (limit is None or len(words) < limit) and len(words) + faults["cut_last_row"] != n_declared:
        faults["header_counts_wrongly"] += 1
    return ReadVectors(words, values[: len(words)], faults=+faults)


def _check_rest(path: Path, place: int, end: int, n_bytes: int, width: int) -> None:
    """Raise InputError unless what follows ``place`` may be a row that was cut."""
    rest = n_bytes - place
    if rest > _MAX_WORD_BYTES + width or (end < 0 and rest > _MAX_WORD_BYTES):
        raise InputError(
            f"{path}: there is no word at byte {place}: the header declares another number of "
            f"values than the rows have, or the file is damaged; fetch it again"
        )
