"""Reads one file with the reader of a source, for the tests of readers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nightjar.config import IngestConfig
from nightjar.errors import SourceError
from nightjar.files.compression import ExpansionLimits
from nightjar.sources.input_file import InputFile
from nightjar.sources.rejections import Rejection
from nightjar.stages.ingest.readers import READERS
from nightjar.stages.ingest.records import Document, Record


def read(
    path: Path,
    type: str = "text",  # noqa: A002 (the key of a source)
    *,
    max_chars: int = 1_000_000,
    limits: ExpansionLimits | None = None,
    **settings: Any,
) -> Iterator[Record]:
    """The records of ``path``; ``settings`` as under a source."""
    source = {"type": type, "path": path.name, **settings}
    config = IngestConfig.model_validate({"sources": {"in": source}})
    file = InputFile(path, path.name, lambda _: None, limits)
    return READERS[type](config.sources["in"], file, max_chars)


def texts(records: Iterator[Record]) -> list[str]:
    return [record.text for record in records if isinstance(record, Document)]


def rejections(records: Iterator[Record]) -> list[tuple[str, str]]:
    return [
        (record.locator, record.reason.value) for record in records if isinstance(record, Rejection)
    ]


def read_until_error(records: Iterator[Record]) -> tuple[list[str], str]:
    """The texts before the reader fails, and its error."""
    found: list[str] = []
    try:
        found.extend(record.text for record in records if isinstance(record, Document))
    except SourceError as error:
        return found, str(error)
    raise AssertionError("the reader found nothing wrong")
