"""Files that a command writes for the user, atomically."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import InputError


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write a NumPy file. Raises InputError when it cannot be written."""
    with _new_file(path) as file:
        np.save(file, array, allow_pickle=False)


def save_text(path: Path, text: str) -> None:
    """Write a text in UTF-8. Raises InputError when it cannot be written."""
    with _new_file(path) as file:
        file.write(text.encode())


@contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with unfinished.open("wb") as file:
                yield file
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
