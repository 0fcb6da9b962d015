"""Freed memory goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
from conftest import PROJECT_ROOT

FREED = """
import numpy as np, psutil
from nightjar.store import release_free_memory

resident = psutil.Process().memory_info
# Pieces too small for a memory map each, the last of which keeps the heap from shrinking.
pieces = [np.ones(8_000) for _ in range(2_000)]
last = pieces[-1]
del pieces
before = resident().rss
release_free_memory()
print(before - resident().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked for it")
def test_what_the_allocator_holds_free_is_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FREED],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) > 100_000_000  # of 128 MB
