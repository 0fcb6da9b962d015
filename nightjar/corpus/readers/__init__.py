"""Readers: one for each type of source, chosen by name from an explicit mapping.

A reader takes the source's config, a file and the most characters a document may have, and
yields records in the file's order. In memory: one record, and what decompression holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nightjar.config import SourceConfig
from nightjar.corpus.input_file import InputFile
from nightjar.corpus.readers.csv_rows import read_csv
from nightjar.corpus.readers.json_lines import read_json_lines
from nightjar.corpus.readers.mediawiki import read_mediawiki
from nightjar.corpus.readers.parquet_rows import read_parquet
from nightjar.corpus.readers.plain_text import read_text
from nightjar.corpus.records import Record

_READERS: dict[str, Callable[[Any, InputFile, int], Iterator[Record]]] = {
    "csv": read_csv,
    "jsonl": read_json_lines,
    "mediawiki": read_mediawiki,
    "parquet": read_parquet,
    "text": read_text,
}


def read_records(source: SourceConfig, file: InputFile, max_chars: int) -> Iterator[Record]:
    """The records of ``file``. Raises SourceError when the file cannot be read whole."""
    return _READERS[source.type](source, file, max_chars)
