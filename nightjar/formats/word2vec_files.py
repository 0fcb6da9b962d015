"""The file formats of word2vec and GloVe.

The text formats have one word and its values per line; word2vec's has a header, GloVe's has none.
Arrow writes as many digits as are needed to read the same float32 back. word2vec's binary format is
``n_tokens vector_size``, then for each word: the word, a space and float32 values.
"""

from __future__ import annotations

import mmap
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
from numpy.typing import NDArray

from nightjar.errors import InputError
from nightjar.files.numbers import is_number
from nightjar.formats.content import (
    BLOCK_ROWS,
    ExportedVectors,
    ReadVectors,
    Word2VecHeader,
    check_vector_size,
    decoded,
    word2vec_header,
)
from nightjar.wording import counted

_BLOCK_BYTES = 8 << 20
_MAX_LINE_BYTES = _BLOCK_BYTES
"""Arrow refuses a longer line, too."""
_BOM = b"\xef\xbb\xbf"
_BYTES = "latin-1"
_MAX_WRONG_ROWS = 0.01
"""A file with a larger share of rows with too few or too many values is rejected."""
_MANY_ROWS = 10_000
"""So many wrong rows are judged before the file is read to its end."""
_MAX_SPACES = 10_000
"""No word has as many."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(rb"[+-]?\d*,\d+([eE][+-]?\d+)?")
_TAIL_BYTES = 1 << 16
_FLORET_HEADER = re.compile(rb"(\d+ ){6}\S+ \S+\s*")
"""Rows, values, min_n, max_n, hashes, seed, and what words begin and end with."""
_WRITTEN_VALUES = 1 << 22
"""Values that become text at once."""


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
    with path.open("wb") as file:
        file.write(header)
        for rows, block in vectors.blocks():
            n_rows = max(1, _WRITTEN_VALUES // vectors.vector_size)
            for start in range(0, len(block), n_rows):
                some = slice(start, start + n_rows)
                file.write(_lines(vectors.tokens[rows][some], block[some]))


def _lines(tokens: Sequence[str], values: NDArray[np.float32]) -> memoryview:
    """A line per word. Arrow's CSV writer would refuse words with quotation marks."""
    columns = [pa.array(np.ascontiguousarray(column)).cast(pa.string()) for column in values.T]
    columns[-1] = pc.binary_join_element_wise(columns[-1], "\n", "")
    lines = pc.binary_join_element_wise(pa.array(tokens, pa.string()), *columns, " ")
    _, offsets, content = lines.buffers()
    ends = np.frombuffer(offsets, np.int32, len(lines) + 1)
    return memoryview(content)[: int(ends[-1])]


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
    trailing: bytes
    """Blanks at the end of a row."""
    delimiter: str
    n_bytes: int
    """Those of the rows that have a line break."""
    tail: bytes
    """The last row, if it has none and is not the only one."""
    is_mixed: bool
    """Tabs and blanks are delimiters alike."""


@dataclass
class _OddRows:
    """The rows whose number of columns differs from the others', as Arrow reports them.

    The last columns are the values of a word with spaces. A row whose surplus columns are numbers
    may as well have too many values, so it is wrong, as one with too few is.
    """

    vector_size: int
    delimiter: str
    places: list[int] = field(default_factory=list)
    """Before how many of Arrow's rows each of ``tokens`` stands."""
    tokens: list[str] = field(default_factory=list)
    values: list[NDArray[np.float32]] = field(default_factory=list)
    n_with_spaces: int = 0
    n_with_blanks: int = 0
    """Rows with blanks before or behind the word."""
    n_wrong: int = 0
    first_wrong: str = ""
    last_short: int = 0
    """The number of the last row with too few values."""
    n_odd: int = 0

    def __call__(self, row: Any) -> str:
        number = row.number or 0
        text = row.text.rstrip(" \t")
        self.n_odd += 1
        if not text:
            return "skip"
        n_fields = text.count(self.delimiter) + 1
        fields = text.split(self.delimiter) if n_fields <= self.vector_size + _MAX_SPACES else []
        word, values = self._stripped(fields[: -self.vector_size]), fields[-self.vector_size :]
        if not word or not all(map(is_number, values)) or self._has_more_values(word):
            self.n_wrong += 1
            self.first_wrong = self.first_wrong or text[:60]
            self.last_short = number if n_fields <= self.vector_size else self.last_short
            return "skip"
        self.n_with_blanks += len(fields) > len(word) + self.vector_size
        self.n_with_spaces += len(word) > 1
        self.places.append(number - self.n_odd)
        self.tokens.append(self.delimiter.join(word))
        with np.errstate(over="ignore"):
            self.values.append(np.array([float(value) for value in values]).astype(np.float32))
        return "skip"

    @staticmethod
    def _stripped(word: list[str]) -> list[str]:
        """The parts of a word without blanks around it; those of a word of blanks stay."""
        filled = [place for place, part in enumerate(word) if part]
        return word[filled[0] : filled[-1] + 1] if filled else word

    def _has_more_values(self, word: list[str]) -> bool:
        """Whether the columns behind the first one may be values: all, or as many as a row has."""
        n_numbers = sum(_NUMBER.fullmatch(part) is not None for part in word[1:])
        return n_numbers > 0 and n_numbers >= min(len(word) - 1, self.vector_size)


def read_text(path: Path, limit: int | None = None) -> ReadVectors:
    """Read either kind. Memory: the vectors (twice if words contain spaces), and some text.

    Repaired and counted: a header with a wrong number of rows; a truncated last row, or one that
    may be; rows with too few or too many values (up to a hundredth of them); words that are not
    UTF-8; words with spaces, within or around them. Raises InputError for a file without vectors.
    """
    shape = _look(path)
    odd = _OddRows(shape.vector_size, shape.delimiter)
    tokens: list[str] = []
    parts: list[NDArray[np.float32]] = []
    faults: Counter[str] = Counter()
    try:
        for names, values in _batches(path, shape, odd):
            tokens += names
            parts.append(values)
            _refuse_wrong_rows(path, odd, len(tokens) + odd.n_odd, at_least=_MANY_ROWS)
            if limit is not None and len(tokens) >= limit:
                break
        else:
            _add_tail(shape, tokens, parts, odd, faults)
    except pa.ArrowInvalid as error:
        raise _unreadable(path, shape, error) from error
    n_cut = faults["cut_last_row"]
    matrix = _joined(parts, shape.vector_size)
    tokens, matrix = _with_odd_rows(tokens, matrix, odd)
    faults["token_with_spaces"] += odd.n_with_spaces
    faults["blanks_around_token"] += odd.n_with_blanks
    n_seen = len(tokens) + odd.n_wrong + n_cut
    is_whole = limit is None or len(tokens) < limit
    is_cut = not n_cut and odd.n_wrong == 1 and odd.last_short >= len(tokens) + 1
    if not is_cut:
        _refuse_wrong_rows(path, odd, n_seen)
    faults["cut_last_row" if is_cut else "row_of_wrong_width"] += odd.n_wrong
    if is_whole and shape.n_declared is not None and shape.n_declared != n_seen:
        faults["header_counts_wrongly"] += 1
    words = [_decoded(token, faults) for token in tokens[:limit]]
    return ReadVectors(words, matrix[:limit], faults=+faults)


def _add_tail(
    shape: _Shape,
    tokens: list[str],
    parts: list[NDArray[np.float32]],
    odd: _OddRows,
    faults: Counter[str],
) -> None:
    """Add the row without a line break, or leave it out if it was cut.

    A number may have lost its last digits and still be one. Only a header that declares more rows
    tells.
    """
    text = shape.tail.decode(_BYTES).rstrip(" \t\r")
    if not text:
        return
    fields, size = text.split(shape.delimiter), shape.vector_size
    n_rows = len(tokens) + odd.n_odd + 1
    is_cut = len(fields) <= size or not all(map(is_number, fields[-size:]))
    if is_cut or n_rows < (shape.n_declared or 0):
        faults["cut_last_row"] += 1
        return
    faults["last_row_without_end"] += 1
    if len(fields) == size + 1:
        tokens.append(fields[0])
        with np.errstate(over="ignore"):
            parts.append(np.array([[float(field) for field in fields[1:]]]).astype(np.float32))
    else:
        odd(_Row(n_rows, text))


@dataclass(frozen=True)
class _Row:
    """A row as Arrow reports it."""

    number: int
    text: str


def _look(path: Path) -> _Shape:
    with path.open("rb") as file:
        first = _next_line(path, file)
        skipped = file.tell() - len(first)
        if first.startswith(_BOM):
            first, skipped = first[len(_BOM) :], skipped + len(_BOM)
        header = word2vec_header(path, first)
        if header is not None:
            skipped += len(first)
            first = _next_line(path, file)
        second = _next_line(path, file)
        end = _end_of_lines(file) if second else file.seek(0, 2)
        file.seek(end)
        tail = file.read(_MAX_LINE_BYTES)
    is_mixed = _is_mixed(first, second)
    if is_mixed:
        first, second, tail = (line.translate(_BLANKS) for line in (first, second, tail))
    if not first.strip():
        raise InputError(f"{path}: there is no vector in it; is it the right file?")
    if _FLORET_HEADER.fullmatch(first):
        raise InputError(
            f"{path}: has floret vectors, a table of hashed n-grams in which no row belongs to a "
            f"word, so they cannot be imported; use vectors of words"
        )
    delimiter = "\t" if b"\t" in first and first.count(b"\t") >= first.count(b" ") else " "
    declared_size = header.vector_size if header else 0
    size = declared_size or _vector_size(path, first, second, delimiter)
    line = first.rstrip(b"\r\n")
    row = line.rstrip(b" \t")
    values = row.rsplit(delimiter.encode(), size)[1:] if 0 < size <= len(line) else []
    if len(values) < size or not values or not all(map(is_number, values)):
        raise InputError(
            f"{path}: its first row ({line[:60]!r}) is no word followed by "
            f"{size or 'some'} numbers; {_advice(values)}"
        )
    check_vector_size(path, size)
    n_declared = header.n_tokens if header else None
    trailing = line[len(row) :]
    n_bytes = end - skipped
    return _Shape(skipped, n_declared, size, trailing, delimiter, n_bytes, tail, is_mixed)


_BLANKS = bytes.maketrans(b"\t", b" ")


def _is_mixed(first: bytes, second: bytes) -> bool:
    """Whether each of the first rows is a word and numbers, with tabs and blanks between them."""
    lines = [line.rstrip() for line in (first, second) if line is first or line.endswith(b"\n")]
    return all(
        b"\t" in line and b" " in line and all(map(is_number, re.split(rb"[ \t]", line)[1:]))
        for line in lines
    )


def _end_of_lines(file: IO[bytes]) -> int:
    """Where the last line break ends; the end of the file if its last line is too long."""
    n_bytes = place = file.seek(0, 2)
    while place > max(0, n_bytes - _MAX_LINE_BYTES):
        start = max(0, place - _TAIL_BYTES)
        file.seek(start)
        found = file.read(place - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        place = start
    return n_bytes


def _next_line(path: Path, file: IO[bytes]) -> bytes:
    """The next line that is not blank; empty at the end."""
    while line := file.readline(_MAX_LINE_BYTES + 1):
        if len(line) > _MAX_LINE_BYTES:
            raise InputError(
                f"{path}: a row is longer than {_MAX_LINE_BYTES:,} bytes ({line[:60]!r}...); is it "
                f"a file of vectors, with a line for each word?"
            )
        if line.strip():
            return line
    return b""


def _vector_size(path: Path, first: bytes, second: bytes, delimiter: str) -> int:
    """Without a header: the number of fields minus one; a word with a space adds fields."""
    size = min(
        line.rstrip(b" \t\r\n").count(delimiter.encode())
        for line in (first, second)
        if line.strip() and (line.endswith(b"\n") or line is first)
    )
    check_vector_size(path, size)
    word, *values = first.rstrip(b" \t\r\n").rsplit(delimiter.encode(), size)
    n_blanks = 0  # more than one, before or behind the word
    while n_blanks < size and not (word and values[n_blanks]) and not is_number(values[n_blanks]):
        word = word or values[n_blanks]
        n_blanks += 1
    return size - n_blanks


def _advice(fields: Iterable[bytes]) -> str:
    """What to do about ``fields`` that should be numbers."""
    if any(_DECIMAL_COMMA.fullmatch(field) for field in fields):
        return "they have decimal commas: write them with points"
    return "is it a file of vectors?"


class _Rows:
    """The rows that have a line break, without the blanks at the ends of lines."""

    def __init__(self, file: IO[bytes], shape: _Shape) -> None:
        self._file = file
        self._trailing = shape.trailing
        self._n_left = shape.n_bytes
        self._is_mixed = shape.is_mixed
        self._held = b""
        self.closed = False

    def _more(self, n_bytes: int) -> bytes:
        more = self._file.read(min(n_bytes, self._n_left))
        self._n_left -= len(more)
        return more.translate(_BLANKS) if self._is_mixed else more

    def read(self, n_bytes: int) -> bytes:
        """The next bytes; empty only at the end."""
        if not self._trailing:
            return self._more(n_bytes)
        while True:
            more = self._more(max(1, n_bytes - len(self._held)))
            piece = self._held + more
            end = len(piece.rstrip(b" \t\r")) if more else len(piece)
            # Blanks may go on in the next piece; as many as that are no end of a line.
            end = len(piece) if len(piece) - end > _MAX_SPACES else end
            self._held = piece[end:]
            if end or not more:
                return self._cut(piece[:end], is_last=not more)

    def _cut(self, piece: bytes, is_last: bool) -> bytes:
        for line_end in (b"\n", b"\r\n"):
            piece = piece.replace(self._trailing + line_end, line_end)
        return piece.removesuffix(self._trailing) if is_last else piece

    def close(self) -> None:
        """Arrow closes what it has read."""
        self.closed = True


def _batches(
    path: Path, shape: _Shape, odd: _OddRows
) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    names = ["token", *map(str, range(shape.vector_size))]
    kinds = dict.fromkeys(names[1:], pa.float32()) | {"token": pa.string()}
    with path.open("rb") as file:
        file.seek(shape.skipped_bytes)
        with pcsv.open_csv(
            _Rows(file, shape),
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
                values = np.empty((len(batch), shape.vector_size), np.float32)
                for place in range(shape.vector_size):
                    values[:, place] = batch.column(1 + place).to_numpy()
                yield batch.column(0).to_pylist(), values


def _with_odd_rows(
    tokens: list[str], matrix: NDArray[np.float32], odd: _OddRows
) -> tuple[list[str], NDArray[np.float32]]:
    """Insert the rows that are whole where they stood."""
    if not odd.tokens:
        return tokens, matrix
    places = np.clip(odd.places, 0, len(tokens))
    order = np.argsort(np.concatenate([np.arange(len(tokens)) + 0.5, places]), kind="stable")
    every = [*tokens, *odd.tokens]
    rows = np.concatenate([matrix, np.stack(odd.values)])
    return [every[place] for place in order], rows[order]


def _refuse_wrong_rows(path: Path, odd: _OddRows, n_rows: int, at_least: int = 1) -> None:
    """Raise InputError if too many of the rows are wrong."""
    if odd.n_wrong >= at_least and odd.n_wrong > _MAX_WRONG_ROWS * n_rows:
        raise InputError(
            f"{path}: {odd.n_wrong} of {counted(n_rows, 'row')} do not have "
            f"{counted(odd.vector_size, 'value')}, the first is {odd.first_wrong!r}; is it a file "
            f"of vectors, whole, and its header right?"
        )


def _decoded(token: str, faults: Counter[str]) -> str:
    """Decode what was read as bytes as UTF-8; invalid bytes are replaced and counted."""
    if token.isascii():
        return token
    return decoded(token.encode(_BYTES), faults)


def _unreadable(path: Path, shape: _Shape, error: pa.ArrowInvalid) -> InputError:
    """The error for a value that is no number, with its line and word, which Arrow does not know.

    Arrow's own reason for anything else.
    """
    found = re.search(r"invalid value '(.*)'", str(error))
    reason, advice = str(error).partition("\n")[0], "correct or delete that line"
    if found is not None:
        value = found[1].encode(_BYTES, "replace")
        line = _line_with(path, shape, value)
        if line is not None:
            number, word = line
            reason = (
                f"line {number:,}, the row of {word.decode(errors='replace')!r}, has "
                f"{value.decode(errors='replace')!r}, which is no number"
            )
        if _DECIMAL_COMMA.fullmatch(value):
            advice = "write decimal commas as points"
    return InputError(f"{path}: cannot be read as vectors ({reason}); {advice}")


def _line_with(path: Path, shape: _Shape, value: bytes) -> tuple[int, bytes] | None:
    """The number of the first line with ``value`` among its values, and its word."""
    delimiter = shape.delimiter.encode()
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if value not in raw:
                continue
            line = raw.translate(_BLANKS) if shape.is_mixed else raw
            word, *values = line.rstrip(b" \t\r\n").rsplit(delimiter, shape.vector_size)
            if value in values and len(values) == shape.vector_size:
                return number, word
    return None


_MAX_WORD_BYTES = 1 << 16


def cannot_hold(token: str) -> bool:
    """Whether a reader would end ``token`` early, or strip a line break from it."""
    return token == "" or " " in token or "\n" in token or token.startswith("\r")


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
    header = word2vec_header(path, data[:256])
    if header is None:
        raise InputError(
            f"{path}: does not start with the number of words and of values; is it word2vec's "
            f"binary format?"
        )
    n_declared, size = header.n_tokens, header.vector_size
    # A row has at least a word of one byte and a space.
    n_possible = (len(data) - header.n_bytes) // (4 * size + 2) if size else 0
    if size == 0 or n_possible == 0:
        raise InputError(
            f"{path}: {counted(len(data), 'byte')} hold no row of {counted(size, 'value')}, which "
            f"its header declares; fetch the file again"
        )
    check_vector_size(path, size)
    n_rows = min(n_possible, limit or n_possible)
    faults: Counter[str] = Counter()
    words: list[str] = []
    values = np.empty((n_rows, size), np.float32)
    place, width = header.n_bytes, 4 * size
    n_strange = 0
    while len(words) < n_rows and place < len(data):
        end = data.find(b" ", place, place + _MAX_WORD_BYTES)
        if end < 0 or end + 1 + width > len(data):
            _check_rest(path, place, end, len(data), width)
            faults["cut_last_row"] += int(bool(data[place:].strip(b"\r\n\0 ")))
            break
        values[len(words)] = np.frombuffer(data, "<f4", size, end + 1)
        word = data[place:end].lstrip(b"\r\n")
        n_strange += not word or _CONTROL.search(word) is not None
        words.append(decoded(word, faults))
        place = end + 1 + width
    is_whole = limit is None or len(words) < limit
    if is_whole and len(words) + faults["cut_last_row"] != n_declared:
        faults["header_counts_wrongly"] += 1
    values = values[: len(words)]
    if not (is_whole and len(words) == n_declared and not data[place:].strip(b"\r\n")):
        n_strange += faults["token_not_utf8"] * is_whole + _n_implausible(values)
        _refuse_strange_rows(path, words, n_strange, size)
        _refuse_other_size(path, data, header)
    return ReadVectors(words, values, faults=+faults)


_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_MORE_VALUES = 16
"""Rows may have twice as many values as declared, and as many more."""
_IMPLAUSIBLE = 1e15
"""No value of a vector is as large; four letters taken for a value are."""


def _n_implausible(values: NDArray[np.float32]) -> int:
    """The number of rows with a value that may be a piece of the next word."""
    return sum(
        int((np.abs(values[start : start + BLOCK_ROWS]) > _IMPLAUSIBLE).any(axis=1).sum())
        for start in range(0, len(values), BLOCK_ROWS)
    )


def _refuse_strange_rows(path: Path, words: list[str], n_strange: int, size: int) -> None:
    """Raise InputError if words look like values, or values like words.

    That happens when the header declares fewer or more values than the rows have.
    """
    if n_strange > _MAX_WRONG_ROWS * len(words):
        strange = next((word for word in words if "\ufffd" in word or not word.isprintable()), "")
        example = f", such as {strange[:60]!r}" if strange else ""
        raise InputError(
            f"{path}: {n_strange} of {counted(len(words), 'row')} have a word that is empty or no "
            f"text, or values above {_IMPLAUSIBLE:g}{example}: the rows have another number of "
            f"values than "
            f"the {size} that the header declares, or the file is damaged; fetch it again"
        )


def _refuse_other_size(path: Path, data: mmap.mmap, header: Word2VecHeader) -> None:
    """Raise InputError if rows of another size fill the file.

    If those of the declared size do, too, the number of rows decides.
    """
    does_declared_fill = _n_filling(data, header.n_bytes, header.vector_size) > 0
    for size in range(1, 2 * header.vector_size + _MORE_VALUES):
        n_rows = 0 if size == header.vector_size else _n_filling(data, header.n_bytes, size)
        if n_rows and (n_rows == header.n_tokens or not does_declared_fill):
            raise InputError(
                f"{path}: its header declares {counted(header.vector_size, 'value')} and its rows "
                f"have {size}; correct the header, or fetch the file again"
            )


def _n_filling(data: mmap.mmap, place: int, size: int) -> int:
    """How many rows of ``size`` values, each behind a word, fill ``data`` from ``place``; or 0."""
    n_rows = 0
    while place < len(data):
        end = data.find(b" ", place, place + _MAX_WORD_BYTES)
        word = data[place:end].lstrip(b"\r\n") if end >= 0 else b""
        if not word or _CONTROL.search(word) or not _is_utf8(word):
            is_end = end < 0 and not data[place : place + _MAX_WORD_BYTES].strip(b"\r\n")
            return n_rows if is_end else 0
        place = end + 1 + 4 * size
        n_rows += 1
    return n_rows if place == len(data) else 0


def _is_utf8(word: bytes) -> bool:
    try:
        word.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _check_rest(path: Path, place: int, end: int, n_bytes: int, width: int) -> None:
    """Raise InputError unless the bytes from ``place`` on may be a truncated row."""
    rest = n_bytes - place
    if rest > _MAX_WORD_BYTES + width or (end < 0 and rest > _MAX_WORD_BYTES):
        raise InputError(
            f"{path}: there is no word at byte {place}: the header declares another number of "
            f"values than the rows have, or the file is damaged; fetch it again"
        )
