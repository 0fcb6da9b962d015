"""A clock that can be set, as far as Python sees it: ``time.time`` and Nightjar's ``datetime``.

The clocks of the system and of the disk go on, and so does ``time.monotonic``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from typing import ClassVar

import pytest


class _Kind(type):
    def __instancecheck__(cls, found: object) -> bool:
        return isinstance(found, datetime)


class _Datetime(datetime, metaclass=_Kind):
    ahead: ClassVar[timedelta] = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.ahead


class Clock:
    """Sets the clock."""

    def set_ahead(self, days: float) -> None:
        """Let it be so many days ahead of the real one; fewer than before: it is set back."""
        _Datetime.ahead = timedelta(days=days)


@contextmanager
def settable_clock() -> Iterator[Clock]:
    """In the block the clock of this process is what the test says."""
    _Datetime.ahead = timedelta()
    real_time, real_time_ns = time.time, time.time_ns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: real_time() + _Datetime.ahead.total_seconds())
        patch.setattr(
            time, "time_ns", lambda: real_time_ns() + int(_Datetime.ahead.total_seconds() * 1e9)
        )
        for name, module in list(sys.modules.items()):
            if name.startswith("nightjar.") and getattr(module, "datetime", None) is datetime:
                patch.setattr(module, "datetime", _Datetime)
        yield Clock()
