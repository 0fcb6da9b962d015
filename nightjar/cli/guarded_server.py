"""The process of a Prefect server that answers this user alone.

Prefect's own server answers every ``Host`` and ``Origin``, so a web page in the user's browser
could create a deployment that runs commands. This one listens on loopback. A request must name
this server as its ``Host`` (another site that points its own name to 127.0.0.1 does not), and if
it states an ``Origin``, that is this server too. The API needs a secret besides
(``PREFECT_SERVER_API_AUTH_STRING``), which Prefect checks; without one the server does not start.
Only its user can read what it writes.

It also serves the pages of nights, to those who know a digest of the night's record, which is in
the link that Prefect shows (:class:`NightPages`).

As a script: ``python guarded_server.py HOST SOCKET PARENT_PID``. SOCKET is a file descriptor that
the parent listens on, so nobody else can take the port while the server starts. The server ends
when the parent is gone, for whatever reason; with 0 it does not watch.
"""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import IO, Any

from nightjar.files.large_imports import no_collection
from nightjar.files.served_pages import PAGES_VARIABLE, is_page_link, read_page

SERVER_VARIABLE = "PREFECT_SERVER_API_AUTH_STRING"
CLIENT_VARIABLE = "PREFECT_API_AUTH_STRING"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_WATCH_SECONDS = 0.5
_HEADERS = (
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Message, _Receive, _Send], Awaitable[None]]


def own_hosts(host: str, port: int) -> frozenset[str]:
    """What a request to this server may name as its Host, in lower case."""
    shown = f"[{host}]" if ":" in host else host.lower()
    return frozenset(f"{name}:{port}" for name in (shown, *LOOPBACK_NAMES))


def start_server(
    listening: socket.socket,
    host: str,
    secret: str,
    environment: Mapping[str, str],
    output: IO[bytes] | int | None,
    *,
    directory: Path | None = None,
    is_child: bool = False,
) -> subprocess.Popen[bytes]:
    """Start the server in a process group of its own, on the socket ``listening``.

    With ``is_child`` it ends when this process does. ``output`` is a file or a pipe; None: ours.
    """
    port: int = listening.getsockname()[1]
    origins = ",".join(sorted(f"http://{name}" for name in own_hosts(host, port)))
    number = listening.fileno()
    parent = os.getpid() if is_child else 0
    return subprocess.Popen(
        # -P: the directory of this script must not shadow top-level packages.
        [sys.executable, "-P", os.path.realpath(__file__), host, str(number), str(parent)],
        env={
            **environment,
            SERVER_VARIABLE: secret,
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origins,
        },
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=(number,),
        # Ctrl-C must reach only the parent, which then stops the server itself.
        process_group=0,
    )


class Guard:
    """Refuses requests and web sockets that come to another host or from another origin."""

    def __init__(self, app: _App, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts
        self._origins = frozenset(f"http://{name}" for name in hosts)

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer one connection (ASGI)."""
        problem = None if scope["type"] == "lifespan" else self._problem(scope["headers"])
        if problem is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": problem})
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": f"{problem}\n".encode()})

    def _problem(self, headers: list[tuple[bytes, bytes]]) -> str | None:
        """Why a request with these headers is refused; None when it is not."""
        hosts = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return "this server answers only under its own address"
        for name, value in headers:
            if name == b"origin" and value.decode("latin-1").lower() not in self._origins:
                return "requests from other sites are not answered"
        return None


class NightPages:
    """Serves the pages of nights (:mod:`nightjar.files.served_pages`); the rest goes on.

    A page gets an origin of its own, so that it is a stranger to Prefect's page, which knows the
    secret.
    """

    def __init__(self, app: _App, root: Path) -> None:
        self._app = app
        self._root = root

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer one connection (ASGI)."""
        is_ours = scope["type"] == "http" and is_page_link(scope["path"])
        if not is_ours or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        page = read_page(self._root, scope["path"])
        kind = b"text/plain" if page is None else b"text/html"
        headers = [
            (b"content-type", kind + b"; charset=utf-8"),
            (b"content-security-policy", b"sandbox allow-scripts"),
            (b"cache-control", b"no-store"),
        ]
        status = 404 if page is None else 200
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"There is no such page; 'nightjar nights report' makes it.\n"
        body = body if page is None else page
        is_head = scope["method"] == "HEAD"
        await send({"type": "http.response.body", "body": b"" if is_head else body})


def _with_headers(send: _Send) -> _Send:
    async def sending(message: _Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
        await send(message)

    return sending


def _end_with(parent: int) -> None:
    # waits: in a daemon thread, for as long as the parent lives
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


def _serve(host: str, number: int, parent: int) -> None:
    """Run the server process; ``parent`` may already be gone."""
    if parent:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if not os.environ.get(SERVER_VARIABLE):
        sys.exit(f"{SERVER_VARIABLE} is not set: every user of this machine could use the server")
    os.umask(0o077)
    with no_collection():
        import uvicorn  # noqa: PLC0415 (the watch starts before anything slow)
        from prefect.server.api import collections  # noqa: PLC0415
        from prefect.server.api.server import create_app  # noqa: PLC0415
    gc.freeze()  # what is imported stays

    # It would ask GitHub for lists of workers and blocks; the ones in its package do.
    collections.KNOWN_VIEWS.update(dict.fromkeys(collections.KNOWN_VIEWS, ""))
    with socket.socket(fileno=number) as listening:
        port = listening.getsockname()[1]
        level = os.environ.get("PREFECT_SERVER_LOGGING_LEVEL", "warning").lower()
        served: _App = create_app(final=True)
        if os.environ.get(PAGES_VARIABLE):
            served = NightPages(served, Path(os.environ[PAGES_VARIABLE]))
        app = Guard(served, own_hosts(host, port))
        config = uvicorn.Config(app, host=host, port=port, log_level=level, lifespan="on")
        server = uvicorn.Server(config)
        server.run(sockets=[listening])
    if not server.started:
        sys.exit(3)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
