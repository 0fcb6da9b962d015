"""What is asked with a limit on the whole answer."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import pytest

from nightjar.files.asking import ask_within

run: ContextVar[str] = ContextVar("run")


def test_what_comes_in_time_is_returned_and_an_error_is_raised() -> None:
    given: list[int] = []
    run.set("tonight")
    assert ask_within(60, lambda: (run.get(), 1)) == ("tonight", 1)
    assert ask_within(60, lambda: 1, given.append) == 1

    def late() -> int:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        ask_within(60, late, given.append)
    assert given == []


def test_what_comes_too_late_is_given_back() -> None:
    going_on, is_back = threading.Event(), threading.Event()
    given: list[int] = []

    def give_back(late: int) -> None:
        given.append(late)
        is_back.set()

    def slow() -> int:
        assert going_on.wait(60)
        return 1

    with pytest.raises(TimeoutError, match="no whole answer within 0 s"):
        ask_within(0.01, slow, give_back)
    going_on.set()
    assert is_back.wait(60)
    assert given == [1]
