"""Promotions in processes of their own that are killed at a chosen step."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from promotion_support import Pipeline

from nightjar.promotion import ledger
from nightjar.promotion.applying import Desk
from nightjar.promotion.ledger import Ledger
from nightjar.promotion.promoter import Promoter
from nightjar.registry.writers import SqliteWriter
from nightjar.store import local_disk

OWNERS: dict[str, Any] = {
    "Ledger": Ledger,
    "Desk": Desk,
    "Promoter": Promoter,
    "SqliteWriter": SqliteWriter,
    "ledger": ledger,
    "local_disk": local_disk,
    "Path": Path,
}


def load() -> None:
    """Nothing: this module is imported."""


def act(config: str, action: str, point: str, count: int, max_loose: int) -> None:
    """A night that promotes, or a rollback, that dies at the ``count``-th call of ``point``.

    A point is "OWNER.NAME:before" or "OWNER.NAME:after"; "" for none.
    """
    pipeline = Pipeline(Path(config))
    pipeline.version("A", 0.5)
    second = pipeline.version("B", 0.6)
    ledger._MAX_LOOSE, ledger._KEEP_LOOSE = max_loose, 1
    if point:
        _arm(point, count)
    if action == "night":
        pipeline.night(second, number=2)
    else:
        pipeline.steward().rollback("w2v")


def _arm(point: str, count: int) -> None:
    place, _, moment = point.rpartition(":")
    owner_name, _, name = place.rpartition(".")
    real = getattr(OWNERS[owner_name], name)
    calls = 0

    def killed(*args: Any, **values: Any) -> Any:
        nonlocal calls
        is_ours = owner_name != "Path" or "ledger" in str(args[0])
        calls += is_ours
        if not is_ours or calls != count:
            return real(*args, **values)
        if moment == "after":
            real(*args, **values)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("killed")

    setattr(OWNERS[owner_name], name, killed)
