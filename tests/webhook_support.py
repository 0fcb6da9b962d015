"""A web server on loopback that takes messages, answers as a test says, and keeps what it got."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET_PATH = "/services/T0/B0/s3cr3tpath"
SECRET = "a shared secret"
URL_ENV, SECRET_ENV = "TEST_WEBHOOK_URL", "TEST_WEBHOOK_SECRET"
SETTINGS: dict[str, Any] = {"url_env": URL_ENV, "secret_env": SECRET_ENV}


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[tuple[str, str]]:
        """Kind and subject of each event of a message in Nightjar's form."""
        return [(event["kind"], event["subject"]) for event in self.json["events"]]


@dataclass
class Receiver:
    """What a server has received, and what it answers."""

    port: int
    received: list[Received] = field(default_factory=list)
    answers: list[int | tuple[int, dict[str, str]] | threading.Event] = field(default_factory=list)
    """One for each request, in order, 200 once they are used up: a status, perhaps with headers,
    or silence until the event is set."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{SECRET_PATH}"


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A running server."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            found.received.append(Received(self.path, dict(self.headers.items()), body))
            answer = found.answers.pop(0) if found.answers else 200
            if isinstance(answer, threading.Event):
                answer.wait(30)
                answer = 200
            status, headers = answer if isinstance(answer, tuple) else (answer, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
