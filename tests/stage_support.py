"""Calling stages directly: the context that a test gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nightjar.core import StageContext
from nightjar.store import Identity, Staging

NO_IDENTITY = Identity("none", "", {})


def context_of(
    staging: Staging, identity: Identity = NO_IDENTITY, base_dir: Path = Path(), **changes: Any
) -> StageContext:
    """A context that writes into ``staging``; otherwise as in a night without workers."""
    return StageContext(identity=identity, staging=staging, base_dir=base_dir, **changes)
