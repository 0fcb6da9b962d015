"""Asking a server with a limit on the whole answer.

The limits of HTTP libraries are for each read: a server that sends a byte now and then, or one
interim answer after another, is waited for without end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import TypeVar

Result = TypeVar("Result")


def ask_within(
    seconds: float,
    ask: Callable[[], Result],
    give_back: Callable[[Result], object] = lambda _: None,
) -> Result:
    """The result of ``ask``, which runs in a thread. Raises TimeoutError when it comes too late.

    Nobody can end a thread: it waits on, keeps no process from ending, and what it gets in the end
    goes to ``give_back``.
    """
    answer: Future[Result] = Future()
    context = copy_context()  # by which Prefect assigns log lines to the run
    threading.Thread(
        target=context.run, args=(_fill, answer, ask), name="asking", daemon=True
    ).start()
    try:
        return answer.result(seconds)
    except BaseException as error:
        answer.add_done_callback(partial(_return, give_back))
        if isinstance(error, TimeoutError) and not answer.done():
            raise TimeoutError(f"no whole answer within {seconds:.0f} s") from None
        raise


def _return(give_back: Callable[[Result], object], late: Future[Result]) -> None:
    # waits: not at all, it is done
    if late.exception() is None:
        give_back(late.result())  # waits: not at all, it is done


def _fill(answer: Future[Result], ask: Callable[[], Result]) -> None:
    try:
        answer.set_result(ask())
    except BaseException as error:  # noqa: BLE001 (it is raised where the answer is waited for)
        answer.set_exception(error)
