"""Text with an edge a line: two nodes and perhaps a weight, separated by white space.

A line that starts with ``#`` or ``%`` is a comment. Lines of the usual form are parsed by pyarrow,
others one by one. Memory: some blocks of 16 MB.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pyarrow.csv as pcsv

from nightjar.config.table_sources import EdgeListSource
from nightjar.sources.encodings import decoded, open_encoded
from nightjar.sources.input_file import InputFile
from nightjar.sources.rejections import Reason, Rejection, excerpt
from nightjar.sources.tables.blocks import Block, Blocks, Remainder
from nightjar.sources.tables.raw_rows import RawRows, arrow_column, one_array, text_column
from nightjar.sources.text_lines import Line, split_lines
from nightjar.wording import counted

COMMENTS_SKIPPED = "comments_skipped"
"""The count of lines that are comments."""
_SLOW_LINES = 50_000
_MAX_LINE_BYTES = 1 << 20
_TEXTS = pa.dictionary(pa.int32(), pa.string())
_TEXT_SPACES = str.maketrans("\t\x0b\x0c", "   ")
_SPACES = bytes.maketrans(b"\t\x0b\x0c", b"   ")
_SEVERAL = re.compile(rb"  +")
_OUTER = re.compile(rb"^ | (?=\r?$)", re.MULTILINE)
_COMMENT = re.compile(rb"^[#%][^\n]*\n?", re.MULTILINE)
_UNUSUAL = re.compile(rb"^\r?\n", re.MULTILINE)


def read_edge_list(source: EdgeListSource, file: InputFile) -> Iterator[RawRows]:
    """The columns ``source``, ``target`` and, if it is weighted, ``weight`` of every line."""
    names = list(source.role_columns)
    blocks = Blocks(open_encoded(file.content(), source.encoding))
    while (block := blocks.next()) is not None:
        if isinstance(block, Block):
            rows = _quickly(source, file.label, block, blocks, names)
            if rows is not None:
                yield rows
                continue
            rest = Remainder(blocks.alone(block), block.first)
        else:
            rest = block
        yield from _slowly(source, file.label, rest, names)


def _quickly(
    source: EdgeListSource, label: str, block: Block, blocks: Blocks, names: list[str]
) -> RawRows | None:
    """The rows of a block whose lines all have the same number of fields; None for others."""
    text = block.text(blocks.encoding, source.errors)
    if text is None:
        return None
    first, skipped = block.first, Counter[str]()
    head = _comments_at_start(text)
    if head:
        skipped[COMMENTS_SKIPPED] = text.count(b"\n", 0, head)
        first, text = first + skipped[COMMENTS_SKIPPED], text[head:]
    if not text or _COMMENT.search(text):
        return None if text else RawRows(0, {}, str, (), skipped)
    text = text.translate(_SPACES)
    if b"  " in text:
        text = _SEVERAL.sub(b" ", text)
    if text.startswith(b" ") or b" \n" in text or b"\n " in text or b" \r" in text:
        text = _OUTER.sub(b"", text)
    if _UNUSUAL.search(text):
        return None
    n_fields = text[: text.find(b"\n")].count(b" ") + 1
    if n_fields < len(names):
        return None
    try:
        table = _parsed(text, n_fields, len(names))
    except pa.ArrowInvalid:  # another number of fields somewhere
        return None
    columns = {name: arrow_column(one_array(table.column(i))) for i, name in enumerate(names)}
    return RawRows(len(table), columns, partial(_place, label, first), (), skipped)


def _comments_at_start(text: bytes) -> int:
    """Length of the comments that a text starts with."""
    end = 0
    while found := _COMMENT.match(text, end):
        if found.end() == end:
            break
        end = found.end()
    return end


def _parsed(text: bytes, n_fields: int, n_used: int) -> pa.Table:
    names = [str(number) for number in range(n_fields)]
    return pcsv.read_csv(
        pa.BufferReader(text),
        pcsv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=names),
        pcsv.ParseOptions(delimiter=" ", quote_char=False, ignore_empty_lines=False),
        pcsv.ConvertOptions(
            check_utf8=False,
            include_columns=names[:n_used],
            column_types=dict.fromkeys(names[:n_used], _TEXTS),
        ),
    )


def _place(label: str, first: int, row: int) -> str:
    return f"{label}:{first + row}"


def _slowly(
    source: EdgeListSource, label: str, rest: Remainder, names: list[str]
) -> Iterator[RawRows]:
    lines = split_lines(rest.stream, _MAX_LINE_BYTES, first=rest.first)
    encoding = rest.stream.encoding.name
    found = _Lines(names)
    for line in lines:
        found.take(line, label, encoding, source.errors)
        if found.is_full:
            yield found.rows(label)
            found = _Lines(names)
    yield found.rows(label)


class _Lines:
    """Lines that were read one by one."""

    def __init__(self, names: list[str]) -> None:
        self._values: dict[str, list[str]] = {name: [] for name in names}
        self._numbers: list[int] = []
        self._rejections: list[Rejection] = []
        self._skipped: Counter[str] = Counter()

    @property
    def is_full(self) -> bool:
        return len(self._numbers) + len(self._rejections) >= _SLOW_LINES

    def take(self, line: Line, label: str, encoding: str, errors: str) -> None:
        if line.n_lines > 1:
            self._rejections.append(line.blank(label))
            return
        place = line.locator(label)
        if line.is_cut:
            detail = counted(line.n_bytes, "byte")
            self._reject(place, Reason.TOO_LONG, detail, line, encoding)
            return
        try:
            text = decoded(line.data, encoding, errors)
        except UnicodeError as error:
            self._reject(place, Reason.UNDECODABLE, str(error), line, encoding)
            return
        if text.startswith(("#", "%")):
            self._skipped[COMMENTS_SKIPPED] += 1
            return
        fields = [field for field in text.translate(_TEXT_SPACES).split(" ") if field]
        if not fields:
            self._reject(place, Reason.EMPTY, "the line is blank", line, encoding)
        elif len(fields) < len(self._values):
            wanted = " and ".join((", ".join(list(self._values)[:-1]), list(self._values)[-1]))
            detail = f"{counted(len(fields), 'field')}; a line has {wanted}"
            self._reject(place, Reason.MALFORMED_ROW, detail, line, encoding)
        else:
            self._numbers.append(line.number)
            for name, field in zip(self._values, fields, strict=False):
                self._values[name].append(field)

    def _reject(self, place: str, reason: Reason, detail: str, line: Line, encoding: str) -> None:
        self._rejections.append(Rejection(place, reason, detail, excerpt(line.data, encoding)))

    def rows(self, label: str) -> RawRows:
        columns = {name: text_column(values) for name, values in self._values.items()}
        numbers = self._numbers
        return RawRows(
            len(numbers),
            columns,
            lambda row: f"{label}:{numbers[row]}",
            self._rejections,
            self._skipped,
        )
