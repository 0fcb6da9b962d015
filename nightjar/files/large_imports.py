"""Imports of packages that make hundreds of thousands of objects, and keep nearly all of them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Look for no garbage within the block.

    Collections take a seventh of the time of Prefect's import, and find nothing worth it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
