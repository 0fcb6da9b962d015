"""What all sections of the configuration share: the base class and the types of values."""

from __future__ import annotations

import io
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ByteSize, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""Lower-case letters, digits and dashes: valid as a file, Prefect and MLflow name."""

Text = Annotated[str, Field(min_length=1)]
Patterns = Annotated[list[Text], Field(min_length=1)]

MAX_INT32_COUNT = 2_000_000_000
"""Ceiling of what is counted in an int32 column."""
MAX_SEED = 4_000_000_000
"""A ceiling that every library takes (numpy's legacy generator ends at 2**32 - 1)."""
MAX_EPOCHS = 1_000_000
MIN_MEMORY = 64_000_000
"""Bytes: less makes the runs on disk tiny."""


def _known_encoding(name: str) -> str:
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=name).close()
    except (LookupError, ValueError) as error:
        raise ValueError(f"{name!r} is not a text encoding; utf-8 is the usual one") from error
    return name


def _usable_delimiter(delimiter: str) -> str:
    if delimiter in '"\r\n':
        raise ValueError(f"{delimiter!r} cannot separate columns; use ',', ';' or '\\t'")
    return delimiter


def _compiling_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


def _enough_memory(size: ByteSize) -> ByteSize:
    if size < MIN_MEMORY:
        raise ValueError(f"{size} bytes are too few to count in; 64MB is the least")
    return size


Encoding = Annotated[str, AfterValidator(_known_encoding)]
Delimiter = Annotated[str, Field(min_length=1, max_length=1), AfterValidator(_usable_delimiter)]
Regex = Annotated[str, AfterValidator(_compiling_pattern)]
MemorySize = Annotated[ByteSize, AfterValidator(_enough_memory)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class Section(BaseModel):
    """A section of the file: immutable, unknown keys refused, no silent type changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
