"""Reading a planned file: progress, and whom to blame when it cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nightjar.core.executors import Advance
from nightjar.errors import SourceError
from nightjar.sources.file_groups import PlannedFile
from nightjar.sources.input_file import InputFile
from nightjar.sources.rejections import source_key

BYTES_DAMAGED = "bytes_of_damaged_files"
"""The count of a shard that has them."""
_MIN_STEP_BYTES = 1 << 16
_PROGRESS_STEPS = 100


class FileMeter:
    """Reports progress through a file, at most about a hundred times."""

    def __init__(self, advance: Advance, entry: PlannedFile) -> None:
        self._advance = advance
        self._note = entry.file.name
        self._step = max(_MIN_STEP_BYTES, entry.planned.bytes // _PROGRESS_STEPS)
        self._pending = 0

    def add(self, n_bytes: int) -> None:
        """So many bytes more were read."""
        self._pending += n_bytes
        if self._pending >= self._step:
            self.flush()

    def flush(self) -> None:
        """Report what was not reported yet."""
        if self._pending:
            self._advance(self._pending, self._note)
            self._pending = 0


@contextmanager
def blaming_change(file: InputFile, entry: PlannedFile) -> Iterator[None]:
    """Name source and URL in a SourceError; raise SourceChanged if the file has changed."""
    try:
        yield
    except SourceError as error:
        file.check_on_disk(entry.planned)
        message = str(error).replace(str(entry.file.path), entry.file.shown)
        raise SourceError(f"{source_key(entry.file.source)}: {message}") from error
