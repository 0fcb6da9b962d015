"""What commands give a user: JSON, lines and tables on the terminal, and files.

A command prints what it found in its own module, with these primitives, and all of it through the
door of :mod:`.terminal`. Files are written atomically.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from nightjar.cli.terminal import Terminal, write_text
from nightjar.errors import InputError
from nightjar.files.harmless_text import harmless_json
from nightjar.files.paths import check_output, unfinished_beside

errors = Terminal(stderr=True, soft_wrap=True, highlight=False)


def print_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    _write_json(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def print_json_line(value: Any) -> None:
    """Print a JSON document on one line of standard output."""
    _write_json(json.dumps(value, ensure_ascii=False))


def _write_json(text: str) -> None:
    encoding = (sys.stdout.encoding or "utf-8").lower()
    write_text(harmless_json(text, is_ascii=not encoding.startswith("utf")) + "\n")


def print_line(console: Console, text: str, style: str | None = None) -> None:
    """Print ``text`` as it is, without folding it."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def print_alarms(console: Console, alarms: Iterable[str]) -> None:
    """Print what a night found alarming, each on its own line."""
    for alarm in alarms:
        print_line(console, f"alarm: {alarm}", "yellow")


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
    check_output(path)
    unfinished = unfinished_beside(path)
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
