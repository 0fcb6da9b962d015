"""Sending a message to a web server: signed, tried again, and never for long.

The URL is a secret: whoever knows the one of a Slack channel writes there. So neither it nor what
a library says of it is in a message of ours, in a log line or in an error.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import NamedTuple

import httpx

from nightjar.config import WebhookConfig
from nightjar.files import urls
from nightjar.files.asking import ask_within, web_client
from nightjar.wording import counted

SIGNATURE = "X-Nightjar-Signature"
MESSAGE = "X-Nightjar-Message"
TOTAL_SECONDS = 60.0
"""After this long a message counts as undelivered, whatever tries are left."""
FIRST_PAUSE = 1.0
"""Seconds before the second try; each later pause is twice as long."""
_MAX_ASKED = 30.0
"""The longest pause that a server may ask for."""
_BUSY = frozenset((408, 425, 429))
"""What may pass, though the answer says that the request was wrong."""
_LEAST_SECONDS = 0.05

_is_sending: ContextVar[bool] = ContextVar("is_sending", default=False)


class NotDelivered(Exception):
    """A message was not delivered. What it says holds no secret."""


class _Answer(NamedTuple):
    """How a try ended."""

    problem: str = ""
    """"" when the message was delivered."""
    may_pass: bool = False
    asked_pause: float = 0.0


class _Quiet(logging.Filter):
    """Drops what a library logs while a message is sent: httpx logs every URL."""

    def filter(self, record: logging.LogRecord) -> bool:
        del record
        return not _is_sending.get(False)


_QUIET = _Quiet()


def signature(secret: str, body: bytes, timestamp: int) -> str:
    """The value of :data:`SIGNATURE`: ``t=TIMESTAMP,v1=HEX``.

    HEX is HMAC-SHA256 with the secret (UTF-8) as its key, over the timestamp in decimal digits, a
    full stop, and the bytes of the body.
    """
    signed = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256)
    return f"t={timestamp},v1={signed.hexdigest()}"


def deliver(settings: WebhookConfig, body: bytes, message_id: str) -> None:
    """Send ``body`` until a server takes it, within the limits of ``settings``.

    Raises NotDelivered.
    """
    url = _variable(settings.url_env)
    is_web = urls.scheme_of(url) in urls.HTTP_SCHEMES and urls.has_place(url)
    if not is_web or url.split() != [url]:
        raise NotDelivered(f"the environment variable {settings.url_env} holds no URL")
    secret = None if settings.secret_env is None else _variable(settings.secret_env)
    deadline = time.monotonic() + TOTAL_SECONDS
    with _kept_secret(), _client(settings) as client:
        for number in range(1, settings.tries + 1):
            limit = min(settings.timeout_seconds, max(_LEAST_SECONDS, deadline - time.monotonic()))
            request = client.build_request(
                "POST", url, content=body, headers=_headers(body, secret, message_id)
            )
            answer = _asked(client, request, limit)
            if not answer.problem:
                return
            pause = max(answer.asked_pause, FIRST_PAUSE * 2 ** (number - 1))
            is_last = number == settings.tries or time.monotonic() + pause >= deadline
            if is_last or not answer.may_pass:
                raise NotDelivered(f"{answer.problem} ({counted(number, 'try', 'tries')})")
            time.sleep(pause)


def check_environment(settings: WebhookConfig) -> str:
    """The first variable that the config names and that is not set; "" if all are."""
    names = (settings.url_env, settings.secret_env)
    return next((name for name in names if name and not os.environ.get(name, "").strip()), "")


def _variable(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise NotDelivered(f"the environment variable {name} is not set")
    return value


@contextmanager
def _client(settings: WebhookConfig) -> Iterator[httpx.Client]:
    try:
        client = web_client(settings.timeout_seconds)
    except ValueError as error:
        raise NotDelivered(str(error)) from None
    with client:
        try:
            yield client
        except httpx.InvalidURL:  # whose message quotes it
            raise NotDelivered(
                f"the environment variable {settings.url_env} holds no URL"
            ) from None


@contextmanager
def _kept_secret() -> Iterator[None]:
    """Let no library log in the block, which covers the threads that it starts."""
    for name in _chatty():
        logging.getLogger(name).addFilter(_QUIET)
    token = _is_sending.set(True)
    try:
        yield
    finally:
        _is_sending.reset(token)


def _chatty() -> list[str]:
    """Who logs URLs or hosts; the filter of a logger does not hold for those below it."""
    known = [name for name in logging.root.manager.loggerDict if name.startswith("httpcore")]
    return ["httpx", *known]


def _headers(body: bytes, secret: str | None, message_id: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json", MESSAGE: message_id}
    if secret is not None:
        headers[SIGNATURE] = signature(secret, body, int(time.time()))
    return headers


def _asked(client: httpx.Client, request: httpx.Request, limit: float) -> _Answer:
    """Send ``request`` once. Only the head of the answer is read."""
    send = partial(client.send, request, stream=True, follow_redirects=False)
    try:
        response = ask_within(limit, send, httpx.Response.close)
    except (TimeoutError, httpx.TimeoutException):
        return _Answer(f"no answer within {limit:.3g} s", may_pass=True)
    except httpx.HTTPError as error:
        return _Answer(f"no connection, or it broke off ({type(error).__name__})", may_pass=True)
    except (OSError, ValueError) as error:  # such as a header that cannot be sent
        return _Answer(f"it could not be sent ({type(error).__name__})")
    response.close()
    return _judged(response)


def _judged(response: httpx.Response) -> _Answer:
    code = response.status_code
    if response.is_success:
        return _Answer()
    if 300 <= code < 400:
        return _Answer(f"the server redirects ({code}), which is not followed: give the final URL")
    asked = response.headers.get("retry-after", "")
    pause = float(asked) if asked.isdecimal() and len(asked) < 6 else 0.0
    may_pass = code in _BUSY or code >= 500
    return _Answer(f"the server answers {code}", may_pass, min(pause, _MAX_ASKED))
