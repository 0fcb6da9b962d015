"""The largest resident size of this process within a block of code.

Linux keeps a high-water mark that can be set back (proc(5), ``clear_refs``); elsewhere the mark
of the whole process is what there is. Both are read, not sampled.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass
class MemoryPeak:
    """Filled in when the block is left."""

    bytes: int = 0


@contextmanager
def memory_peak() -> Iterator[MemoryPeak]:
    """Measure the block's largest resident size, of this process without its children."""
    peak = MemoryPeak()
    with suppress(OSError):
        _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")
    try:
        yield peak
    finally:
        peak.bytes = _high_water_mark()


def _high_water_mark() -> int:
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return found if sys.platform == "darwin" else 1024 * found
    marks = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return 1024 * int(marks[0]) if marks else 0
