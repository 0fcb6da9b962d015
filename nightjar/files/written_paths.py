"""Files and folders that a user has written: what may be replaced, and the place beside it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from nightjar.errors import InputError


def check_output(path: Path, *, replaces: bool = True, may_be_folder: bool = False) -> None:
    """Raise InputError unless ``path`` can be written, or replaced.

    A device or a pipe would be replaced by a file, for every program that uses it; so would the
    folder in which a user stands. ``replaces`` says whether what is there may go at all.
    """
    try:
        is_there, is_folder, is_file = path.exists(), path.is_dir(), path.is_file()
        is_above = is_folder and Path.cwd().is_relative_to(path.resolve())
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
    if path.name in ("", "..") or is_above:
        raise InputError(
            f"{path} cannot be written: it is the current folder, or one above it; name a file or "
            f"folder in it"
        )
    if is_folder and not may_be_folder:
        raise InputError(f"{path} cannot be written: it is a folder; name a file")
    if is_there and not (is_file or is_folder):
        raise InputError(
            f"{path} cannot be written: it is a device, a pipe or a socket; name a file"
        )
    if is_there and not replaces:
        raise InputError(f"{path} is there already; choose another path, or add --force")


def unfinished_beside(path: Path) -> Path:
    """A new name in the folder of ``path``, short whatever its name, until it is renamed."""
    return path.with_name(f".nightjar-{os.getpid()}-{secrets.token_hex(4)}")
