"""Sending a message: signed, tried again, and the URL stays secret."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PROJECT_ROOT
from webhook_support import (
    SECRET,
    SECRET_ENV,
    SECRET_PATH,
    SETTINGS,
    URL_ENV,
    Receiver,
    receiver,
)

from nightjar.config import WebhookConfig, load_config
from nightjar.errors import ConfigError
from nightjar.pipeline.alerts import webhook
from nightjar.pipeline.alerts.webhook import MESSAGE, SIGNATURE, NotDelivered, deliver, signature

BODY = b'{"text":"a message"}'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(webhook, "FIRST_PAUSE", 0.01)
    with receiver() as found:
        monkeypatch.setenv(URL_ENV, found.url)
        monkeypatch.setenv(SECRET_ENV, SECRET)
        yield found


def settings(**changed: object) -> WebhookConfig:
    return WebhookConfig.model_validate({**SETTINGS, **changed})


def problem(**changed: object) -> str:
    """Why a message is not delivered; the secret is in no part of the error."""
    with pytest.raises(NotDelivered) as caught:
        deliver(settings(**changed), BODY, "m1")
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cr3t" not in str(error)
        error = error.__cause__
    return str(caught.value)


def test_a_message_is_delivered_with_a_signature_that_the_page_verifies(server: Receiver) -> None:
    deliver(settings(), BODY, "m1")
    (got,) = server.received
    assert (got.path, got.body, got.headers[MESSAGE]) == (SECRET_PATH, BODY, "m1")
    assert got.headers["Content-Type"] == "application/json"
    stamp, _, digest = got.headers[SIGNATURE].partition(",v1=")
    signed = stamp.removeprefix("t=").encode() + b"." + BODY
    assert digest == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert abs(int(stamp.removeprefix("t=")) - time.time()) < 60
    page = (PROJECT_ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(import hashlib.*?)```", page, re.DOTALL)
    names: dict[str, object] = {}
    exec(snippet, names)
    is_genuine = names["is_genuine"]
    assert callable(is_genuine)
    header = got.headers[SIGNATURE]
    assert is_genuine(SECRET, header, got.body)
    assert not is_genuine(SECRET, header, got.body + b" ")
    assert not is_genuine("another secret", header, got.body)
    assert not is_genuine(SECRET, "nonsense", got.body)
    assert not is_genuine(SECRET, signature(SECRET, got.body, int(time.time()) - 3600), got.body)


def test_a_busy_server_is_asked_again_until_it_takes_the_message(server: Receiver) -> None:
    server.answers = [500, 503, 200]
    deliver(settings(), BODY, "m1")
    assert len(server.received) == 3
    assert {got.body for got in server.received} == {BODY}
    assert {got.headers[MESSAGE] for got in server.received} == {"m1"}


def test_after_the_last_try_the_message_is_undelivered(server: Receiver) -> None:
    server.answers = [500, 502, 503, 504]
    assert problem(tries=3) == "the server answers 503 (3 tries)"
    assert len(server.received) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_the_server_refuses_is_not_sent_again(server: Receiver, status: int) -> None:
    server.answers = [status]
    assert problem() == f"the server answers {status} (1 try)"
    assert len(server.received) == 1


def test_the_pause_that_a_server_asks_for_is_kept_but_not_any_length(
    server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    server.answers = [(429, {"Retry-After": "7"}), (429, {"Retry-After": "9999"}), 429]
    deliver(settings(), BODY, "m1")
    assert pauses == [7.0, 30.0, 0.04]


def test_no_pause_leads_beyond_the_total_limit(
    server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "TOTAL_SECONDS", 5.0)
    server.answers = [(503, {"Retry-After": "20"})]
    assert problem() == "the server answers 503 (1 try)"


def test_a_redirect_is_not_followed_and_the_message_goes_nowhere_else(server: Receiver) -> None:
    with receiver() as other:
        for status in (301, 302, 307, 308):
            server.answers = [(status, {"Location": other.url})]
            said = problem()
            assert f"redirects ({status})" in said
            assert str(other.port) not in said
        assert other.received == []
    assert len(server.received) == 4


def test_a_server_that_stands_still_is_waited_for_within_the_limit(server: Receiver) -> None:
    is_over = threading.Event()
    server.answers = [is_over, is_over]
    try:
        said = problem(tries=2, timeout_seconds=0.3)
    finally:
        is_over.set()
    assert said == "no answer within 0.3 s (2 tries)"
    assert len(server.received) == 2


def test_a_server_that_drips_interim_answers_is_waited_for_within_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each byte comes in time, and no answer ever does."""
    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                while not is_over.wait(0.05):
                    try:
                        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        monkeypatch.setenv(URL_ENV, f"http://127.0.0.1:{listening.getsockname()[1]}/s3cr3t")
        monkeypatch.setenv(SECRET_ENV, SECRET)
        try:
            assert problem(tries=1, timeout_seconds=0.5) == "no answer within 0.5 s (1 try)"
        finally:
            is_over.set()
            thread.join(10)


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "FIRST_PAUSE", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv(URL_ENV, f"http://127.0.0.1:{port}/s3cr3t")
    monkeypatch.setenv(SECRET_ENV, SECRET)
    assert problem(tries=2) == "no connection, or it broke off (ConnectError) (2 tries)"


def test_a_server_that_speaks_no_tls_gets_nothing_over_https(
    server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL_ENV, server.url.replace("http://", "https://"))
    assert problem(tries=1).startswith("no connection, or it broke off (ConnectError)")
    assert server.received == []


@pytest.mark.parametrize(
    "url",
    [
        "s3cr3t",
        "ftp://host/s3cr3t",
        "https://",
        "https:///s3cr3t",
        "http://a b/s3cr3t",
        "http://x:s3cr3t",
    ],
)
def test_what_is_no_url_is_not_quoted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_ENV, url)
    monkeypatch.setenv(SECRET_ENV, SECRET)
    assert problem() == f"the environment variable {URL_ENV} holds no URL"


def test_variables_that_are_not_set_are_named(
    server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET_ENV, " ")
    assert problem() == f"the environment variable {SECRET_ENV} is not set"
    monkeypatch.delenv(URL_ENV)
    assert problem() == f"the environment variable {URL_ENV} is not set"
    assert server.received == []


def test_no_log_line_of_any_library_has_the_url(
    server: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "httpcore.http11", "httpcore.connection"):
        caplog.set_level(logging.DEBUG, logger=name)
    server.answers = [500, (302, {"Location": server.url})]
    problem()
    deliver(settings(), BODY, "m2")
    assert "s3cr3t" not in caplog.text
    assert str(server.port) not in caplog.text
    logging.getLogger("httpx").info("others still log")
    assert "others still log" in caplog.text


def test_slack_needs_no_signature(server: Receiver) -> None:
    deliver(settings(body="slack", secret_env=None), BODY, "m1")
    assert SIGNATURE not in server.received[0].headers


# -- the config ------------------------------------------------------------------------------


def refusal(minimal: Path, alerts: str) -> str:
    minimal.write_text(minimal.read_text() + f"alerts: {alerts}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(minimal)
    return str(caught.value)


@pytest.mark.parametrize(
    ("alerts", "said"),
    [
        ("{webhook: {url: 'https://s3cr3t'}}", "url is a secret, which does not belong"),
        ("{webhook: {url_env: A, secret: s3cr3t}}", "secret is a secret, which does not belong"),
        ("{webhook: {url_env: 'https://s3cr3t'}}", "is the name of an environment variable"),
        ("{webhook: {url_env: A}}", "secret_env is missing: messages are signed"),
        ("{webhook: {url_env: A, secret_env: B, tries: 0}}", "should be at least 1"),
        ("{events: []}", "should have at least 1 entry"),
        ("{events: [explosion]}", "should be 'failed', 'blocked'"),
        ("{metrics: nightjar.txt}", "ends in .prom"),
    ],
)
def test_a_wrong_section_is_explained_without_quoting_a_secret(
    minimal: Path, alerts: str, said: str
) -> None:
    found = refusal(minimal, alerts)
    assert said in found
    assert "s3cr3t" not in found
