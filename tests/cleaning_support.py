"""Shared by the tests of cleaning: one step alone, and a guard against hanging."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from nightjar.config.cleaning import CleaningConfig
from nightjar.stages.ingest.cleaning import Cleaned, Dropped, make_cleaner

GUARD_SECONDS = 60


def cleaned(text: str, *steps: str, **options: Any) -> Cleaned:
    """``text`` after these steps alone, with options by section."""
    result = make_cleaner(config(*steps, **options)).clean(text)
    assert isinstance(result, Cleaned)
    return result


def dropped(text: str, **options: Any) -> Dropped:
    """Why ``text`` is dropped, without any step."""
    result = make_cleaner(config(**options)).clean(text)
    assert isinstance(result, Dropped), result
    return result


def config(*steps: str, **options: Any) -> CleaningConfig:
    return CleaningConfig.model_validate({"steps": list(steps), **options})


@contextmanager
def guarded() -> Iterator[None]:
    """Fails anything that takes a minute: linear work takes a second, quadratic work hours."""

    def give_up(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"not done after {GUARD_SECONDS} s: the time is not linear")

    former = signal.signal(signal.SIGALRM, give_up)
    of_the_test = signal.setitimer(signal.ITIMER_REAL, GUARD_SECONDS)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, former)
        signal.setitimer(signal.ITIMER_REAL, *of_the_test)
