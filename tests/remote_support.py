"""A web server on loopback with configurable faults, for the tests of remote files."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from nightjar.config import StorageConfig
from nightjar.sources.remote import FetchRequest


@dataclass
class Served:
    """An object of the server, and the faults of its answers."""

    content: bytes = b""
    etag: str | None = "auto"
    """``auto``: by content; None: no ETag."""
    modified: str | None = None
    faults: list[Fault] = field(default_factory=list)
    """Each affects one answer, in order."""
    ignores_ranges: bool = False
    ignores_if_range: bool = False
    ignores_conditions: bool = False
    has_length: bool = True
    extra_length: int = 0
    """How much Content-Length is off."""
    location: str = ""
    """Where it is redirected to."""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def mark(self) -> str | None:
        if self.etag == "auto":
            return f'"{hashlib.sha256(self.content).hexdigest()[:12]}"'
        return self.etag


@dataclass
class Fault:
    """The fault of one answer."""

    status: int = 0
    """Instead of the object."""
    drop_after: int | None = None
    """The connection breaks after this many bytes."""
    hangs: threading.Event | None = None
    """Set when those bytes are out; the connection then stays open and silent."""
    until: threading.Event | None = None
    """The answer waits for it."""
    then: bytes | None = None
    """The content of the object from then on."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Seen:
    """A request, and how many bytes were sent in answer."""

    path: str
    headers: dict[str, str]
    status: int = 0
    n_sent: int = 0


class Site:
    """What a running server serves, and its requests."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.objects: dict[str, Served] = {}
        self.seen: list[Seen] = []

    def serve(self, path: str, content: bytes = b"", **how: Any) -> str:
        """Serve ``content``; returns its URL."""
        self.objects[path] = Served(content, **how)
        return f"{self.url}{path}"

    def sent(self, path: str) -> list[int]:
        """How many bytes went out for each request of ``path``."""
        return [seen.n_sent for seen in self.seen if seen.path == path]

    def statuses(self, path: str) -> list[int]:
        """The status of the answer to each request of ``path``."""
        return [seen.status for seen in self.seen if seen.path == path]


@contextmanager
def running_site() -> Iterator[Site]:
    """A server until the end of the block."""

    class Handler(_Handler):
        pass

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Handler.site = Site(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield Handler.site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        seen = Seen(self.path, {name.lower(): value for name, value in self.headers.items()})
        self.site.seen.append(seen)
        served = self.site.objects.get(self.path)
        if served is None:
            self._answer(seen, 404, {}, b"")
            return
        fault = served.faults.pop(0) if served.faults else Fault()
        if fault.until is not None:
            fault.until.wait(30)
        if fault.status or served.location:
            headers = {"Location": served.location} if served.location else dict(fault.headers)
            self._answer(seen, fault.status or 302, headers, b"busy")
            return
        self._send(seen, served, fault)

    def _send(self, seen: Seen, served: Served, fault: Fault) -> None:
        headers = dict(served.headers)
        if served.mark:
            headers["ETag"] = served.mark
        if served.modified:
            headers["Last-Modified"] = served.modified
        if not served.ignores_conditions and self._is_unchanged(seen, served):
            self._answer(seen, 304, headers, b"")
            return
        status, start = 200, 0
        asked = re.fullmatch(r"bytes=(\d+)-", seen.headers.get("range", ""))
        is_same = served.ignores_if_range or (
            seen.headers.get("if-range") in (None, served.mark, served.modified)
        )
        if asked and is_same and not served.ignores_ranges:
            status, start = 206, int(asked[1])
            n_bytes = len(served.content)
            headers["Content-Range"] = f"bytes {start}-{n_bytes - 1}/{n_bytes}"
        self._answer(seen, status, headers, served.content[start:], fault, served)
        if fault.then is not None:
            served.content = fault.then

    def _is_unchanged(self, seen: Seen, served: Served) -> bool:
        unless = seen.headers.get("if-none-match")
        if unless is not None:
            return unless == served.mark
        since = seen.headers.get("if-modified-since")
        return since is not None and since == served.modified

    def _answer(
        self,
        seen: Seen,
        status: int,
        headers: Mapping[str, str],
        content: bytes,
        fault: Fault | None = None,
        served: Served | None = None,
    ) -> None:
        seen.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if served is None or served.has_length:
            self.send_header(
                "Content-Length", str(len(content) + (served or Served()).extra_length)
            )
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if status == 304:
            return
        end = len(content) if fault is None or fault.drop_after is None else fault.drop_after
        self.wfile.write(content[:end])
        self.wfile.flush()
        seen.n_sent = len(content[:end])
        if fault is not None and fault.hangs is not None:
            fault.hangs.set()
            self.rfile.read(1)  # until the client disconnects
        if end < len(content) or (served is not None and served.extra_length):
            self.close_connection = True


def request_of(
    *patterns: str, max_bytes: int = 1 << 30, source: str = "in", **storage: Any
) -> FetchRequest:
    """A request for these URLs."""
    return FetchRequest(source, patterns, StorageConfig(**storage), max_bytes)
