"""Asking a server with a limit on the whole answer.

The limits of HTTP libraries are for each read: a server that sends a byte now and then, or one
interim answer after another, is waited for without end.

:func:`web_client` is what Nightjar asks web servers with.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from nightjar.files import urls
from nightjar.version import __version__

if TYPE_CHECKING:
    import httpx

_CONNECT_SECONDS = 10.0
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


def web_client(silent_seconds: float, auth: httpx.Auth | None = None) -> httpx.Client:
    """A client with the proxies and certificates of the environment, which follows no redirect.

    ``silent_seconds`` is the limit of each read and write. Raises ValueError when the environment's
    proxies or certificates cannot be used.
    """
    import httpx  # noqa: PLC0415 (slow)

    try:
        return httpx.Client(
            auth=auth,
            timeout=httpx.Timeout(silent_seconds, connect=min(silent_seconds, _CONNECT_SECONDS)),
            headers={"Accept-Encoding": "identity", "User-Agent": f"nightjar/{__version__}"},
            follow_redirects=False,
        )
    except (OSError, ValueError, httpx.InvalidURL) as error:
        raise ValueError(
            f"the environment's certificates (SSL_CERT_FILE) or proxies (HTTPS_PROXY) cannot be "
            f"used: {urls.redacted(str(error))}"
        ) from None
