"""Access checks, the content security policy, and serving until Ctrl-C.

The page has no password, so only this machine's browser may reach it. On loopback a request must
name this server as its Host (another site that points its own name to 127.0.0.1 does not), and a
request that states its origin (Origin, Sec-Fetch-Site) must come from here. Werkzeug's threaded
server is enough: a slow request does not hold up the others.
"""

from __future__ import annotations

import importlib
import logging
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from dash import Dash
from flask import Flask, Response, request
from werkzeug.serving import WSGIRequestHandler, make_server

from nightjar.config import LoadedConfig
from nightjar.errors import InputError
from nightjar.explorer import posts
from nightjar.explorer.app import make_app
from nightjar.explorer.library import Library
from nightjar.files.listening import is_loopback, listen, shown_host

_MAX_REQUEST_BYTES = 4 * 1024 * 1024
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def serve(
    loaded: LoadedConfig, host: str, port: int, is_opened: bool, say: Callable[[str], object]
) -> None:
    """Serve the explorer until Ctrl-C; ``say`` shows messages to the user.

    Raises InputError when it cannot listen on the address.
    """
    try:
        listening = listen(host, port)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}:{port} ({error.strerror or error}): another program may use "
            f"it; choose another with --port (0 takes a free one) or --host"
        ) from error
    with listening, Library(loaded) as library:
        library.remove_derived()
        port = listening.getsockname()[1]
        import_what_answers_need()
        app = make_app(library)
        is_local = is_loopback(host)
        protect(app, f"{shown_host(host)}:{port}" if is_local else None, port)
        server = make_server(
            host, port, app.server, threaded=True, request_handler=_Quiet, fd=listening.fileno()
        )
        server.daemon_threads = True  # type: ignore[attr-defined]
        address = f"http://{shown_host(host)}:{port}/"
        say(f"Explorer: {address} (Ctrl-C ends it)")
        if not is_local:
            say(f"Everyone who can reach {host} can read the models: there is no password.")
        if is_opened:
            # In a thread: a browser in the terminal would keep us from answering it.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        # waits: to serve until Ctrl-C is what the user asked for, and was told
        server.serve_forever()  # Werkzeug returns on Ctrl-C and closes its socket
        say("Explorer ended.")


def import_what_answers_need() -> None:
    """Import what the first, concurrent requests would import.

    Two threads that import packages with circular imports can see half-initialized modules.
    Plotly also uses pandas and Pillow as soon as another thread begins to import them.
    """
    for name in ("plotly.io.json", "plotly.offline", "plotly.graph_objects", "pandas"):
        importlib.import_module(name)
    with suppress(ImportError):
        importlib.import_module("PIL.Image")


class _Quiet(WSGIRequestHandler):
    """Logs errors only, not each request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 (werkzeug's name)
        """Write to our log instead of werkzeug's."""
        logging.getLogger(__name__).log(
            logging.INFO if type == "info" else logging.DEBUG, message, *args
        )


def protect(app: Dash, own_host: str | None, port: int) -> None:
    """Refuse requests from other sites, and others than the page's; say what may be loaded.

    Only requests to the Host ``own_host`` (host:port) or to this machine's own names are
    answered; with None every Host is, because a machine's names in a network are unknown here.
    """
    server: Flask = app.server
    server.config["MAX_CONTENT_LENGTH"] = _MAX_REQUEST_BYTES
    allowed = {own_host, *(f"{name}:{port}" for name in _LOOPBACK_NAMES)}
    policy = _policy(app)

    @server.before_request
    def refuse_strangers() -> Response | None:
        if own_host is not None and request.host.lower() not in allowed:
            return _refusal(f"this is not {request.host[:100]!r}: open http://{own_host}/")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
            return _refusal("requests from other sites are not answered")
        site = request.headers.get("Sec-Fetch-Site", "none")
        if request.method != "GET" and site not in {"none", "same-origin"}:
            return _refusal("requests from other sites are not answered")
        return None

    @server.before_request
    def refuse_what_the_page_does_not_post() -> Response | None:
        if request.method != "POST" or request.path != posts.PATH:
            return None
        try:
            body = request.get_json(force=True, silent=True)
        except RecursionError:
            body = None
        problem = posts.misshapen(app.callback_map, body)
        return None if problem is None else _refusal(problem, 400)

    @server.after_request
    def add_policy(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return response


def _policy(app: Dash) -> str:
    """Only our own scripts and Dash's inline script run; nothing is fetched from elsewhere.

    Plotly's WebGL compiles its drawing commands from text (unsafe-eval) and sets styles.
    """
    hashes = " ".join(app.csp_hashes())
    return (
        f"default-src 'none'; script-src 'self' 'unsafe-eval' {hashes}; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    )


def _refusal(text: str, status: int = 403) -> Response:
    return Response(f"{text}\n", status=status, mimetype="text/plain")
