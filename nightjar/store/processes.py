"""Which process wrote something here, and whether it still runs.

A process id alone is reused, after a restart of a container even at once. The start mark
beside it is not: the boot and the moment within it at which the process started.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil


def host_name() -> str:
    """The name of this machine, as a part of a file name."""
    return socket.gethostname().replace("/", "_") or "localhost"


def start_mark(pid: int) -> str:
    """What tells a process from an earlier one with the same id; "" where unknown."""
    status = _status(pid)
    return status.start_mark if status else ""


def is_alive(pid: int, mark: str = "") -> bool:
    """Whether the process with that id, and that start mark if it is known, runs here.

    A zombie (killed, but its parent has not asked for its exit status yet) does not run.
    """
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it runs, under another user
    status = _status(pid)
    if status is None:  # hidden from us
        return True
    if status.is_zombie:
        return False
    return not mark or not status.start_mark or status.start_mark == mark


@dataclass(frozen=True)
class _Status:
    start_mark: str
    is_zombie: bool


def _status(pid: int) -> _Status | None:
    if Path("/proc/self/stat").exists():
        return _linux_status(pid)
    try:
        process = psutil.Process(pid)
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
        return _Status(f"{process.create_time():.0f}", is_zombie)
    except psutil.Error:
        return None


def _linux_status(pid: int) -> _Status | None:
    # Not psutil's creation time: it is relative to a clock that may be set meanwhile.
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return None
    # proc(5): the second field is the name in parentheses and may hold anything; after it
    # come the state (field 3) and 19 fields later the start in clock ticks since boot (22).
    fields = text.rpartition(")")[2].split()
    return _Status(f"{boot}x{fields[19]}", is_zombie=fields[0] in ("Z", "X"))
