"""The file formats of word2vec and GloVe.

The text formats have one word and its values per line; word2vec's has a header, GloVe's has none.
Arrow writes as many digits as are needed to read the same float32 back. word2vec's binary format is
``n_tokens vector_size``, then for each word: the word, a space and float32 values.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
from numpy.typing import NDArray

from nightjar.errors import InputError
from nightjar.formats.content import WORD2VEC_HEADER, ExportedVectors, ReadVectors, decoded

_BLOCK_BYTES = 8 << 20
_MAX_LINE_BYTES = 64 << 20
_BOM = b"\xef\xbb\xbf"
_BYTES = "latin-1"
_MAX_SHORT_ROWS = 0.01
"""A file with a larger share of rows with too few values is rejected."""


def has_space(token: str) -> bool:
    """Whether ``token`` would break a line of space-separated columns."""
    return token == "" or any(char.isspace() or char == "\0" for char in token)


def write_word2vec(vectors: ExportedVectors, path: Path) -> None:
    """Write ``n_tokens vector_size``, then a line per word, as word2vec.c and gensim do."""
    header = f"{len(vectors.tokens)} {vectors.vector_size}\n"
    _write(vectors, path, header.encode())


def write_glove(vectors: ExportedVectors, path: Path) -> None:
    """Write a line per word, without a header."""
    _write(vectors, path, b"")


def _write(vectors: ExportedVectors, path: Path, header: bytes) -> None:
    options = pcsv.WriteOptions(include_header=False, delimiter=" ", quoting_style="none")
    names = ["token", *map(str, range(vectors.vector_size))]
    with path.open("wb") as file:
        file.write(header)
        for rows, block in vectors.blocks():
            columns = [pa.array(vectors.tokens[rows], pa.string())]
            columns += [pa.array(np.ascontiguousarray(column)) for column in block.T]
            pcsv.write_csv(pa.table(columns, names=names), file, options)


def _joined(parts: list[NDArray[np.float32]], vector_size: int) -> NDArray[np.float32]:
    """All rows in one matrix; empties ``parts`` as it goes, so that they are not held twice."""
    matrix = np.empty((sum(map(len, parts)), vector_size), np.float32)
    stop = len(matrix)
    while parts:
        part = parts.pop()
        matrix[stop - len(part) : stop] = part
        stop -= len(part)
    return matrix


@dataclass
class _Shape:
    """What the first lines reveal about a file."""

    skipped_bytes: int
    """Byte order mark and header."""
    n_declared: int | None
    vector_size: int
    has_trailing_space: bool
    delimiter: str


@dataclass
class _OddRows:
    """Collects rows whose number of columns differs, as Arrow reports them."""

    expected: int
    longer: list[tuple[int, str]] = field(default_factory=list)
    n_short: int = 0
    first_short: str = ""
    last_short: int = 0

    def __call__(self, row: Any) -> str:
        if row.actual_columns > self.expected:
            self.longer.append((row.number or 0, row.text))
        else:
            self.n_short += 1
            self.last_short = row.number or 0
            self.first_short = self.first_short or row.text[:60]
        return "skip"


def read_text(path: Path, limit: int | None = None) -> ReadVectors:
    """Read either kind. Memory: the vectors (twice if words contain spaces), and some text.

    Repaired and counted: a header with a wrong number of rows; a truncated last row; rows with too
    few values (up to a hundredth of them); words that are not UTF-8; words with spaces. Raises
    InputError for a file without vectors.
    """
    shape = _look(path)
    width = 1 + shape.vector_size + shape.has_trailing_space
    odd = _OddRows(width)
    tokens: list[str] = []
    parts: list[NDArray[np.float32]] = []
    try:
        for names, values in _batches(path, shape, odd):
            tokens += names
            parts.append(values)
            if limit is not None and len(tokens) >= limit:
                break
    except pa.ArrowInvalid as error:
        raise _unreadable(path, error) from error
    faults: Counter[str] = Counter()
    matrix = _joined(parts, shape.vector_size)
    tokens, matrix = _with_longer_rows(tokens, matrix, odd, shape, faults)
    n_seen = len(tokens) + odd.n_short
    is_whole = limit is None or len(tokens) < limit
    _count_short_rows(path, odd, n_seen, faults)
    if is_whole and shape.n_declared is not None and shape.n_declared != n_seen:
        faults["header_counts_wrongly"] += 1
    words = [_decoded(token, faults) for token in tokens[:limit]]
    return ReadVectors(words, matrix[:limit], faults=faults)


def _look(path: Path) -> _Shape:
    with path.open("rb") as file:
        first = file.readline(_MAX_LINE_BYTES)
        skipped = len(_BOM) if first.startswith(_BOM) else 0
        first = first[skipped:]
        header = WORD2VEC_HEADER.fullmatch(first)
        n_declared = declared_size = None
        if header is not None:
            n_declared, declared_size = int(header[1]), int(header[2])
            skipped += len(first)
            first = _next_line(file)
        second = _next_line(file)
    if not first.strip():
        raise InputError(f"{path}: there is no vector in it; is it the right file?")
    delimiter = "\t" if b"\t" in first and first.count(b"\t") >= first.count(b" ") else " "
    size = declared_size or _vector_size(first, second, delimiter)
    line = first.rstrip(b"\r\n")
    values = line.rstrip(b" \t").split(delimiter.encode())[-size:] if size else []
    if not 0 < size <= len(line) or not all(_is_number(value) for value in values):
        raise InputError(
            f"{path}: its first row ({line[:60]!r}) is no word followed by "
            f"{size or 'some'} numbers; is it a file of vectors?"
        )
    return _Shape(skipped, n_declared, size, line.endswith((b" ", b"\t")), delimiter)


def _next_line(file: IO[bytes]) -> bytes:
    """The next line that is not blank; empty at the end."""
    while line := file.readline(_MAX_LINE_BYTES):
        if line.strip():
            return line
    return b""


def _vector_size(first: bytes, second: bytes, delimiter: str) -> int:
    """Without a header: the number of fields minus one; a word with a space adds fields."""
    counts = [
        len(line.rstrip(b" \t\r\n").split(delimiter.encode())) - 1
        for line in (first, second)
        if line.strip() and (line.endswith(b"\n") or line is first)
    ]
    return min(count for count in counts if count >= 0)


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _batches(
    path: Path, shape: _Shape, odd: _OddRows
) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    names = ["token", *map(str, range(shape.vector_size))]
    names += ["end"] if shape.has_trailing_space else []
    kinds = dict.fromkeys(names[1:], pa.float32())
    kinds |= {"token": pa.string(), "end": pa.string()}
    with path.open("rb") as file:
        file.seek(shape.skipped_bytes)
        with pcsv.open_csv(
            file,
            pcsv.ReadOptions(
                use_threads=False,
                block_size=_BLOCK_BYTES,
                column_names=names,
                # As Latin-1 any bytes are valid, because Arrow cannot report an odd row that is not
                # UTF-8.
                encoding=_BYTES,
            ),
            pcsv.ParseOptions(
                delimiter=shape.delimiter,
                quote_char=False,
                double_quote=False,
                ignore_empty_lines=True,
                invalid_row_handler=odd,
            ),
            pcsv.ConvertOptions(column_types=kinds, null_values=[]),
        ) as reader:
            for batch in reader:
                columns = [batch.column(place) for place in range(1, 1 + shape.vector_size)]
                values = np.empty((len(batch), shape.vector_size), np.float32)
                for place, column in enumerate(columns):
                    values[:, place] = column.to_numpy()
                yield batch.column(0).to_pylist(), values


def _with_longer_rows(
    tokens: list[str],
    matrix: NDArray[np.float32],
    odd: _OddRows,
    shape: _Shape,
    faults: Counter[str],
) -> tuple[list[str], NDArray[np.float32]]:
    """Insert the rows whose word contains spaces: their values are the last columns."""
    found: list[tuple[int, str, list[float]]] = []
    for number, text in odd.longer:
        fields = text.rstrip(" \t").split(shape.delimiter)
        values, word = fields[-shape.vector_size :], fields[: -shape.vector_size]
        if all(_is_number(value.encode(_BYTES)) for value in values):
            token = shape.delimiter.join(word)
            found.append((number, token, [float(value) for value in values]))
        else:
            odd.n_short += 1
            odd.first_short = odd.first_short or text[:60]
    if not found:
        return tokens, matrix
    faults["token_with_spaces"] += len(found)
    # Arrow numbers rows from 1, including odd ones.
    numbers = np.array([number for number, _, _ in found])
    places = np.clip(numbers - 1 - np.arange(len(found)), 0, len(tokens))
    order = np.argsort(np.concatenate([np.arange(len(tokens)) + 0.5, places]), kind="stable")
    every = [*tokens, *(token for _, token, _ in found)]
    rows = np.concatenate([matrix, np.array([values for _, _, values in found], np.float32)])
    return [every[place] for place in order], rows[order]


def _count_short_rows(path: Path, odd: _OddRows, n_rows: int, faults: Counter[str]) -> None:
    if not odd.n_short:
        return
    is_cut = odd.n_short == 1 and odd.last_short >= n_rows
    if not is_cut and odd.n_short > _MAX_SHORT_ROWS * n_rows:
        raise InputError(
            f"{path}: {odd.n_short} of {n_rows} rows do not have {odd.expected - 1} values, the "
            f"first is {odd.first_short!r}; is it a file of vectors, and whole?"
        )
    faults["cut_last_row" if is_cut else "row_of_wrong_width"] += odd.n_short


def _decoded(token: str, faults: Counter[str]) -> str:
    """Decode what was read as bytes as UTF-8; invalid bytes are replaced and counted."""
    if token.isascii():
        return token
    return decoded(token.encode(_BYTES), faults)


def _unreadable(path: Path, error: pa.ArrowInvalid) -> InputError:
    reason = str(error).partition("\n")[0]
    return InputError(f"{path}: cannot be read as vectors ({reason}); correct or delete that line")


_MAX_WORD_BYTES = 1 << 16


def cannot_hold(token: str) -> bool:
    """Whether a reader would end ``token`` early, or strip a line break from it."""
    return token == "" or " " in token or "\n" in token


def write_word2vec_binary(vectors: ExportedVectors, path: Path) -> None:
    """Write as word2vec.c and gensim do: little-endian, without line breaks between rows."""
    with path.open("wb") as file:
        file.write(f"{len(vectors.tokens)} {vectors.vector_size}\n".encode())
        for rows, block in vectors.blocks():
            data = block.astype("<f4", copy=False).tobytes()
            width = 4 * vectors.vector_size
            for number, token in enumerate(vectors.tokens[rows]):
                file.write(token.encode() + b" ")
                file.write(data[number * width : (number + 1) * width])


def read_word2vec_binary(path: Path, limit: int | None = None) -> ReadVectors:
    """Read it, also as the authors' program writes it, with a line break after each row.

    Repaired and counted: a header with a wrong number of rows, a truncated last row, words that are
    not UTF-8. Raises InputError for any other file. Memory: the vectors.
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
    # A row has at least a word of one byte and a space.
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
    """Raise InputError unless the bytes from ``place`` on may be a truncated row."""
    rest = n_bytes - place
    if rest > _MAX_WORD_BYTES + width or (end < 0 and rest > _MAX_WORD_BYTES):
        raise InputError(
            f"{path}: there is no word at byte {place}: the header declares another number of "
            f"values than the rows have, or the file is damaged; fetch it again"
        )
