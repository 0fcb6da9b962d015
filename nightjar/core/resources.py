"""What a stage needs and what is available: memory, within the container's limits, and disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_UNLIMITED = 1 << 60
"""The old interface writes a number near 2**63 for no limit."""


INTERPRETER_BYTES = 150_000_000
"""Python with Prefect, Arrow and pydantic before a training starts (140 MB measured)."""


@dataclass(frozen=True)
class Part:
    """One component of a need, in bytes."""

    name: str
    bytes: int


@dataclass(frozen=True)
class Need:
    """What a stage needs at its peak."""

    memory: tuple[Part, ...]
    disk: tuple[Part, ...]

    @property
    def memory_bytes(self) -> int:
        """All memory, including the interpreter's."""
        return sum(part.bytes for part in self.memory)

    @property
    def disk_bytes(self) -> int:
        """The published tables (before compression) and temporary files."""
        return sum(part.bytes for part in self.disk)


@dataclass(frozen=True)
class Resources:
    """What a training may use, in bytes."""

    memory_available: int
    """Without making the system swap or exceeding the container's limit."""
    memory_held: int
    """What this process has already, including interpreter and libraries."""
    disk_free: int
    """On the disk of the artifacts."""
    memory_limit: str = "the machine"
    """Whose limit it is: the machine's, or a container's if that is lower."""

    @property
    def memory_capacity(self) -> int:
        """What a need may be at most: what is free, and the interpreter, which is there already."""
        return self.memory_available + min(self.memory_held, INTERPRETER_BYTES)


def read_resources(artifacts_dir: Path, root: Path = Path("/")) -> Resources:
    """What is available now. ``root`` contains the system's ``proc`` and ``sys``."""
    available, limit = psutil.virtual_memory().available, "the machine"
    headroom = min(_cgroup_headrooms(root), default=None)
    if headroom is not None and headroom < available:
        available, limit = headroom, "the container"
    return Resources(
        memory_available=available,
        memory_held=psutil.Process().memory_info().rss,
        disk_free=shutil.disk_usage(_existing(artifacts_dir)).free,
        memory_limit=limit,
    )


def _existing(path: Path) -> Path:
    """``path``, or its nearest existing parent."""
    return next(place for place in (path, *path.absolute().parents) if place.is_dir())


def _cgroup_headrooms(root: Path) -> Iterator[int]:
    """How far each control group of this process, and each above it, is below its limit.

    Version 2 has one tree, version 1 one for memory. Within a container the path in
    ``/proc/self/cgroup`` may not exist: then the process's group is the root of the mount. Page
    cache that can be dropped (``inactive_file``) does not count as used.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = top / path.lstrip("/")
        for directory in (group, *group.parents):
            if directory.is_relative_to(top):
                yield from _headroom(directory, *names)


def _headroom(directory: Path, limit_name: str, usage_name: str, cache_name: str) -> Iterator[int]:
    limit, usage = _text(directory / limit_name), _text(directory / usage_name)
    if not limit.isdecimal() or not usage.isdecimal() or int(limit) >= _UNLIMITED:
        return
    pairs = (line.split() for line in _text(directory / "memory.stat").splitlines())
    cache = next((int(pair[1]) for pair in pairs if pair[0] == cache_name), 0)
    yield max(0, int(limit) - int(usage) + cache)


def _text(path: Path) -> str:
    """The file's text without surrounding white space; "" if it cannot be read."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def largest_parts(parts: Sequence[Part]) -> str:
    """The two largest, for messages."""
    largest = sorted(parts, key=lambda part: -part.bytes)[:2]
    return ", ".join(f"{part.name} {gigabytes(part.bytes)}" for part in largest)


def gigabytes(n_bytes: int) -> str:
    """A number of bytes for messages."""
    return f"{n_bytes / 1e9:,.2f} GB" if n_bytes < 10e9 else f"{n_bytes / 1e9:,.1f} GB"
