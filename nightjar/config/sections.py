"""What all sections of the configuration share: the base class and value types."""

from __future__ import annotations

import codecs
import io
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ByteSize, ConfigDict, Field, StringConstraints

from nightjar.files.html import parse_selector
from nightjar.wording import counted

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""Lower-case letters, digits and dashes: valid as a file name and as a name in Prefect and
MLflow."""

Text = Annotated[str, Field(min_length=1)]
Patterns = Annotated[list[Text], Field(min_length=1)]

MAX_INT32_COUNT = 2_000_000_000
"""Largest count that an int32 column can hold."""
MAX_SEED = 4_000_000_000
"""Largest seed that every library accepts (numpy's legacy generator ends at 2**32 - 1)."""
MAX_EPOCHS = 1_000_000
AUTO_ENCODING = "auto"
AUTO_DELIMITER = "auto"
_NOT_FOR_FILES = frozenset(
    ("idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape")
)
MIN_MEMORY = 64_000_000
"""In bytes; with less, the runs on disk would be tiny."""


def is_for_files(name: str) -> bool:
    """Whether ``name`` is an encoding for text files (the one for host names, say, is not)."""
    return codecs.lookup(name).name.replace("_", "-") not in _NOT_FOR_FILES


def _known_encoding(name: str) -> str:
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=name).close()
    except (LookupError, ValueError) as error:
        raise ValueError(f"{name!r} is not a text encoding; utf-8 is the usual one") from error
    if not is_for_files(name):
        raise ValueError(f"{name!r} is no encoding of text files; utf-8 is the usual one")
    return name


def _known_encoding_or_auto(name: str) -> str:
    return name if name == AUTO_ENCODING else _known_encoding(name)


def _usable_delimiter(delimiter: str) -> str:
    if delimiter in '"\r\n':
        raise ValueError(f"{delimiter!r} cannot separate columns; use ',', ';' or '\\t'")
    return delimiter


def _usable_delimiter_or_auto(delimiter: str) -> str:
    return (
        delimiter if delimiter == AUTO_DELIMITER else _usable_delimiter(_one_character(delimiter))
    )


def _one_character(mark: str) -> str:
    if len(mark) != 1:
        raise ValueError(f"should be one character (got {mark!r})")
    return mark


def _usable_mark(mark: str) -> str:
    if _one_character(mark) in "\r\n ":
        raise ValueError(f"{mark!r} cannot be a mark")
    return mark


def _parsable_selector(selector: str) -> str:
    parse_selector(selector)
    return selector


def _compiling_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


def _enough_memory(size: ByteSize) -> ByteSize:
    if size < MIN_MEMORY:
        raise ValueError(f"{counted(size, 'byte')} are too few to count in; 64MB is the least")
    return size


def _positive_size(size: ByteSize) -> ByteSize:
    if size < 1:
        raise ValueError("no file is that small; as in 100GB")
    return size


Encoding = Annotated[str, AfterValidator(_known_encoding_or_auto)]
"""An encoding of text files, or ``auto`` to detect it for each file."""
CsvMark = Annotated[str, AfterValidator(_usable_mark)]
Selector = Annotated[str, AfterValidator(_parsable_selector)]
Delimiter = Annotated[str, AfterValidator(_usable_delimiter_or_auto)]
"""One character, or ``auto`` to detect it for each file."""
Regex = Annotated[str, AfterValidator(_compiling_pattern)]
MemorySize = Annotated[ByteSize, AfterValidator(_enough_memory)]
ExpandedSize = Annotated[ByteSize, AfterValidator(_positive_size)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class Section(BaseModel):
    """A section of the file: immutable, without unknown keys or silent type conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
