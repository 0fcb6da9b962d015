"""The readers, one per source type, by name in :data:`READERS`.

A reader yields the records of one file in order; for a ``.zip`` archive, those of its files by
name. It raises SourceError when the file cannot be what the configuration says, or when it is
damaged, after yielding the intact records before the damage. A record that is not a document is a
Rejection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nightjar.sources.input_file import InputFile, archive_members, is_archive
from nightjar.stages.ingest.readers.csv_rows import read_csv
from nightjar.stages.ingest.readers.html_pages import read_html
from nightjar.stages.ingest.readers.json_lines import read_json_lines, read_rows
from nightjar.stages.ingest.readers.mediawiki_pages import read_mediawiki
from nightjar.stages.ingest.readers.parquet_rows import read_parquet
from nightjar.stages.ingest.readers.plain_text import read_text
from nightjar.stages.ingest.records import Record

Reader = Callable[[Any, InputFile, int], Iterator[Record]]
"""Takes the source's config, the file, and ``max_chars``, which bounds memory."""


def _of_archives(read: Reader) -> Reader:
    """Apply ``read`` to every file of an archive; other files are read as they are."""

    def read_each(source: Any, file: InputFile, max_chars: int) -> Iterator[Record]:
        if not is_archive(file.path):
            yield from read(source, file, max_chars)
            return
        for member in archive_members(file):
            yield from read(source, member, max_chars)

    return read_each


READERS: Mapping[str, Reader] = {
    "mediawiki": _of_archives(read_mediawiki),
    "text": _of_archives(read_text),
    "html": _of_archives(read_html),
    "jsonl": _of_archives(read_json_lines),
    "parquet": read_parquet,
    "csv": _of_archives(read_csv),
    "sql": read_rows,
}
