"""The address of a Prefect server: of no use, with a password, behind a proxy, or ours."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import PROJECT_ROOT
from proxy_support import proxy
from typer.testing import CliRunner

from nightjar.cli import embedded_server, service
from nightjar.cli.environment import RunServer, check_prefect_url, has_proxy, keep_proxies_out
from nightjar.cli.main import app
from nightjar.config import load_config
from nightjar.errors import InputError, OrchestratorUnavailable, StoreNotWritable
from nightjar.tasks.stage_task import failure_of

PASSWORD = "S3CRETPW"
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# -- proxies ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "a.org, .b.org"}, "a.org,.b.org,127.0.0.1,localhost,::1"),
        ({"no_proxy": "localhost"}, "localhost,127.0.0.1,::1"),
        ({"no_proxy": "", "NO_PROXY": ""}, "127.0.0.1,localhost,::1"),
        ({"no_proxy": "*"}, "*,127.0.0.1,localhost,::1"),
    ],
)
def test_this_machine_is_asked_by_no_proxy_and_what_was_excluded_stays(
    before: dict[str, str], after: str
) -> None:
    environment = dict(before)
    keep_proxies_out(environment)
    assert environment == {"no_proxy": after, "NO_PROXY": after}
    keep_proxies_out(environment)
    assert environment == {"no_proxy": after, "NO_PROXY": after}


def test_each_spelling_keeps_its_own() -> None:
    environment = {"no_proxy": "a.org", "NO_PROXY": "b.org"}
    keep_proxies_out(environment)
    assert environment["no_proxy"].startswith("a.org,127.0.0.1")
    assert environment["NO_PROXY"].startswith("b.org,127.0.0.1")


class Seen(Exception):
    """Ends a command where a test has seen enough."""


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9/api"])
def test_no_process_of_the_service_asks_this_machine_by_a_proxy(
    minimal: Path, monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    given: list[Mapping[str, str]] = []

    def seen(*arguments: Any, **options: Any) -> None:
        given.extend(part for part in arguments if isinstance(part, dict))
        raise Seen

    monkeypatch.setattr(service.signal, "signal", lambda *_: None)
    monkeypatch.setattr(service, "start_server", seen)
    monkeypatch.setattr(service, "deploy", seen)
    monkeypatch.setattr(service, "_answers", lambda _: True)
    monkeypatch.setenv("NO_PROXY", "a.org")
    if url is None:
        monkeypatch.delenv("PREFECT_API_URL", raising=False)
    else:
        monkeypatch.setenv("PREFECT_API_URL", url)
    monkeypatch.setenv("PREFECT_HOME", str(minimal.parent / "home"))
    done = CliRunner().invoke(app, ["serve", "-c", str(minimal), "--port", str(free_port())])
    assert isinstance(done.exception, Seen)
    (environment,) = given
    assert environment["no_proxy"] == "a.org,127.0.0.1,localhost,::1"


def free_port() -> int:
    with embedded_server.listen("127.0.0.1", 0) as free:
        port: int = free.getsockname()[1]
        return port


def test_whether_a_server_on_this_machine_answers_is_not_asked_by_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with proxy() as (address, asked):
        monkeypatch.setenv("HTTP_PROXY", address)
        monkeypatch.setenv("http_proxy", address)
        assert not service._answers(f"http://127.0.0.1:{free_port()}/api")
        assert asked == []
        assert not service._answers("http://prefect.invalid/api")
        assert len(asked) == 1


@pytest.mark.parametrize("name", ["HTTP_PROXY", "all_proxy"])
def test_what_to_type_keeps_the_secret_from_a_proxy(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert not has_proxy({"no_proxy": "a", "HTTPS_PROXY": "b", name: ""})
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    told: list[str] = []

    class Console:
        def print(self, text: str, **options: Any) -> None:
            told.append(text)

    service._tell_how_to_use(Console(), "http://127.0.0.1:4200/api", '"$(cat secret)"')  # type: ignore[arg-type]
    assert "no_proxy=127.0.0.1,localhost,::1 PREFECT_API_AUTH_STRING=" in told[0]


# -- an address that is none -----------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://host:abc/api",
        "http://[::1/api",
        "127.0.0.1:4200/api",
        "ftp://127.0.0.1/api",
        "http:///api",
        "http://a..b/api",
        f"http://user:{PASSWORD}/x@127.0.0.1:4200/api",
        f"http://user:{PASSWORD}#x@127.0.0.1:4200/api",
    ],
)
@pytest.mark.parametrize("command", ["run", "serve"])
def test_an_address_that_is_none_is_said(
    minimal: Path, monkeypatch: pytest.MonkeyPatch, command: str, url: str
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", url)
    (minimal.parent / "in.txt").write_text("one\n")
    done = CliRunner().invoke(app, [command, "-c", str(minimal)])
    assert isinstance(done.exception, InputError)
    assert re.match(r"the environment variable PREFECT_API_URL is no URL", str(done.exception))
    assert PASSWORD not in str(done.exception) + done.output


@pytest.mark.parametrize(
    "url",
    ["", "http://127.0.0.1:4200/api", "https://u:p%2Fw@a.org/api", "http://[::1]:4200/api"],
)
def test_any_other_address_is_taken(url: str) -> None:
    check_prefect_url({"PREFECT_API_URL": url})


# -- passwords -------------------------------------------------------------------------------


CHECK = """
import json, os, sys
from nightjar.cli import embedded_flow
from nightjar.errors import OrchestratorUnavailable
for variable, value in json.loads(sys.argv[1]):
    os.environ[variable] = value
    try:
        embedded_flow._check_that_prefect_answers()
    except OrchestratorUnavailable as error:
        print(error)
    del os.environ[variable]
"""
OF_NO_USE = [
    ("HTTP_PROXY", "http://:no"),
    ("ALL_PROXY", "socks5://127.0.0.1:9"),
    ("NO_PROXY", "a.org"),
]


def test_a_password_in_the_address_is_not_printed() -> None:
    """Whatever the reason is: nobody listens, or the environment's proxies cannot be used."""
    url = f"http://user:{PASSWORD}@127.0.0.1:9/api"
    done = subprocess.run(
        [sys.executable, "-c", CHECK, json.dumps(OF_NO_USE)],
        env={**os.environ, "PREFECT_API_URL": url},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stdout.splitlines()
    assert len(said) == len(OF_NO_USE), done.stdout + done.stderr
    for line in said:
        assert re.match(
            r"the Prefect server at http://127\.0\.0\.1:9/api does not answer \(.+\); start it",
            line,
        ), line
    assert len(set(said)) > 1
    assert PASSWORD not in done.stdout + done.stderr


def test_what_prefect_prints_of_the_address_is_shown_without_the_password(
    minimal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://user:{PASSWORD}@127.0.0.1:9/api"
    failed = subprocess.CompletedProcess([], 1, f"asking {url}\n", f"nobody at {url}\n")
    monkeypatch.setattr(service.subprocess, "run", lambda *_, **__: failed)
    environment = {"PREFECT_API_URL": url}
    with pytest.raises(OrchestratorUnavailable, match=r"nobody at http://127\.0\.0\.1:9") as said:
        service.deploy(load_config(minimal), "pool", environment)
    assert PASSWORD not in str(said.value)

    def late(*arguments: Any, **options: Any) -> None:
        raise subprocess.TimeoutExpired("prefect", 1)

    monkeypatch.setattr(service.subprocess, "run", late)
    with pytest.raises(OrchestratorUnavailable, match=r"at http://127\.0\.0\.1:9/api") as said:
        service.deploy(load_config(minimal), "pool", environment)
    assert PASSWORD not in str(said.value)


def test_a_failure_during_the_night_is_said_without_the_password() -> None:
    assert failure_of(httpx.ConnectError(f"http://u:{PASSWORD}@a/x")) == "http://a/x"


# -- the embedded server ---------------------------------------------------------------------


def test_a_log_that_cannot_be_written_is_said(
    minimal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_PROXY", "no_proxy", "PREFECT_HOME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HOME", str(minimal.parent))
    monkeypatch.setattr(embedded_server, "private_file", refused)
    with pytest.raises(StoreNotWritable, match="Read-only file system"):
        RunServer(load_config(minimal)).start()
