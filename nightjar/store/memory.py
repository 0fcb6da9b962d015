"""Returning this process' free memory to the system."""

from __future__ import annotations

import ctypes
import sys

import pyarrow as pa


def release_free_memory() -> None:
    """Return memory that this process' allocators keep free to the system.

    They keep about 60 MB after reading a corpus and 30 MB after writing a table, which would add to
    the next stage's peak.
    """
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc, not of musl
        if trim is not None:
            trim(0)
