"""One reader per source type, chosen by name from :data:`READERS`.

A reader yields the records of one file in order. It raises SourceError when the file as a
whole cannot be what the configuration says; a record that is not a document is a Rejection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nightjar.corpus.input_file import InputFile
from nightjar.corpus.readers.csv_rows import read_csv
from nightjar.corpus.readers.json_lines import read_json_lines
from nightjar.corpus.readers.mediawiki import read_mediawiki
from nightjar.corpus.readers.parquet_rows import read_parquet
from nightjar.corpus.readers.plain_text import read_text
from nightjar.corpus.records import Record

Reader = Callable[[Any, InputFile, int], Iterator[Record]]
"""Takes the source's config, the file and ``max_chars``, which bounds what it must hold."""

READERS: Mapping[str, Reader] = {
    "mediawiki": read_mediawiki,
    "text": read_text,
    "jsonl": read_json_lines,
    "parquet": read_parquet,
    "csv": read_csv,
}
