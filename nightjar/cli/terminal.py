"""The one door through which everything is printed.

Tokens, titles, document ids, file names, reasons and tags come from data, and a terminal obeys
control characters: it could be told to hide a line, to paste, to rename its window. So

- a :class:`Terminal` shows strings as they are, without markup, and control characters as escapes.
  Its own styles stay.
- a :class:`Door` stands before the program's streams and does the same for whatever else is
  written: log lines, warnings, tracebacks, messages of libraries.

No other module of Nightjar makes a console or writes to a stream (``tests/test_terminal.py``).
"""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Iterable
from typing import IO, Any, NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from nightjar.files.harmless_text import harmless, visible
from nightjar.files.urls import redacted


class Terminal(Console):
    """A console for text from data."""

    def __init__(self, **how: Any) -> None:
        super().__init__(markup=False, emoji=False, **how)

    @property
    def file(self) -> IO[str]:
        """The stream itself: what is printed here has been through the door."""
        stream = super().file
        return stream.stream if isinstance(stream, Door) else stream

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def on_broken_pipe(self) -> NoReturn:
        """End as after any other output that nobody reads; Rich would exit with 1."""
        raise BrokenPipeError

    def render_str(self, text: str, **how: Any) -> Text:
        """``text`` with escapes, so that columns are as wide as what is shown."""
        return super().render_str(harmless(text), **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Everything that is shown, whatever it was made from."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else harmless(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)


class Door:
    """A text stream that shows control characters as escapes."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write ``text`` with escapes."""
        self.stream.write(harmless(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write them with escapes."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name in ("buffer", "detach"):  # a way round
            raise AttributeError(name)
        return getattr(self.stream, name)


def shut_the_door() -> None:
    """Let everything that this process writes from now on pass through the door."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Door):
            # What the terminal's encoding lacks is an escape, too, and no traceback.
            stream.reconfigure(errors="backslashreplace")
            setattr(sys, name, Door(stream))


def pass_on(process: subprocess.Popen[bytes]) -> threading.Thread:
    """Copy what a process writes into a pipe, if it does, to standard output, until it ends.

    Without the passwords in its URLs.
    """

    def copy() -> None:
        with process.stdout or io.BytesIO() as lines:
            for line in lines:
                write_text(redacted(line.decode("utf-8", "backslashreplace")))
                sys.stdout.flush()

    thread = threading.Thread(target=copy, name="what a process prints", daemon=True)
    thread.start()
    return thread


def write_text(text: str) -> None:
    """Write ``text`` to standard output as it is, but for escapes."""
    sys.stdout.write(harmless(text))


def data_text(text: str, style: str = "") -> Text:
    """One value from data for a table's cell: on one line, whole, with escapes."""
    return Text(visible(text, None) if text else "", style)
