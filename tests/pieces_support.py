"""Work for the tests of executors: a worker that does it need not import a test."""

from __future__ import annotations

import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Advance = Any
"""As :data:`nightjar.core.executors.Advance`, which is not imported here."""


def look(piece: int, advance: Advance) -> tuple[int, bool]:
    """Whether pandas is imported after an array was made."""
    import pyarrow as pa  # noqa: PLC0415  # the others need not import it

    advance(1)
    pa.array([piece])
    return piece, "pandas" in sys.modules


def process(piece: int, advance: Advance) -> int:
    """The process that does the piece."""
    advance(1)
    return os.getpid()


def end_in_the_middle(piece: Path, advance: Advance) -> bytes:
    """A long result, of which the first process that does the piece writes the beginning."""
    if not piece.exists():
        piece.touch()

        def write_a_part(connection: Connection, content: Any) -> None:
            os.write(connection.fileno(), content[:1000])
            os.kill(os.getpid(), signal.SIGKILL)

        Connection._send = write_a_part  # type: ignore[attr-defined]
    return bytes(1_000_000)


def stop_once(piece: Path, advance: Advance) -> str:
    """Stop this process, unless an earlier one did so at this piece."""
    advance(1)
    if piece.exists():
        piece.unlink()
        os.kill(os.getpid(), signal.SIGSTOP)
    return piece.name


def stop(piece: int, advance: Advance) -> int:
    """Stop this process."""
    advance(1)
    os.kill(os.getpid(), signal.SIGSTOP)
    return piece


def die(piece: int, advance: Advance) -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail(piece: int, advance: Advance) -> int:
    """The piece after a moment, but not piece 1."""
    if piece == 1:
        raise ValueError("piece 1 is bad")
    time.sleep(0.05)
    advance(piece)
    return piece


def sleep(piece: float, advance: Advance) -> float:
    """Sleep for that many seconds."""
    time.sleep(piece)
    return piece


def pause(piece: float, advance: Advance) -> float:
    """Pauses its worker, as a lack of memory does, and goes on for longer than the patience."""
    import distributed  # noqa: PLC0415  # in an extra

    worker: Any = distributed.get_worker()
    time.sleep(1)  # the scheduler hears of the piece
    worker.loop.add_callback(setattr, worker, "status", distributed.Status.paused)
    time.sleep(piece)
    return piece
