"""The registry's address, the file behind a SQLite address, and masking for messages."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from nightjar.config import RegistryConfig

_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?P<path>[^?]+)")
_SECRET_PARAMETER = re.compile(r"(?i)([?&][^=&]*(?:pass|token|secret|key)[^=&]*=)[^&#]*")
_HIDDEN = "***"
_END = re.compile(r"[/?#]")
_SPECIAL = re.compile(r"[/?#@]")
_LEAST_PIECE = 3


def mlflow_dir(artifacts_dir: Path) -> Path:
    """The directory of the default MLflow database and the local model files."""
    return artifacts_dir.absolute() / "mlflow"


def tracking_uri(registry: RegistryConfig, artifacts_dir: Path) -> str:
    """The configured MLflow address, else SQLite under ``artifacts_dir`` (absolute)."""
    return registry.tracking_uri or f"sqlite:///{mlflow_dir(artifacts_dir) / 'mlflow.db'}"


def is_server(uri: str) -> bool:
    """Whether the address is an MLflow server, which keeps the files itself."""
    return uri.startswith(("http://", "https://", "databricks"))


def sqlite_path(uri: str) -> Path | None:
    """The database file of a ``sqlite:///`` address; None for any other address."""
    match = _SQLITE.fullmatch(uri.partition("?")[0])
    return None if match is None else Path(match["path"])


def masked(uri: str) -> str:
    """``uri`` without its password or token, for messages; any text is taken.

    A name alone is a token on the web and no secret at a database.
    """
    login = _login(uri)
    user, colon, _ = login.partition(":")
    if colon or is_server(uri):
        hidden = f"{user}:{_HIDDEN}" if colon else _HIDDEN
        uri = uri.replace(f"://{login}@", f"://{hidden}@", 1)
    return _SECRET_PARAMETER.sub(rf"\1{_HIDDEN}", uri)


def without_secrets(text: str, uri: str) -> str:
    """``text`` (another program's message) with the password of ``uri`` masked.

    So are the pieces of one whose ``/``, ``?``, ``#`` or ``@`` is not escaped: what reads the
    address takes one for the port, say, and quotes it.
    """
    login = _login(uri)
    user, colon, secret = login.partition(":")
    if not colon:
        secret = user if is_server(uri) else ""
    pieces = {piece for piece in _SPECIAL.split(secret) if len(piece) >= _LEAST_PIECE}
    text = text.replace(uri, masked(uri))
    forms = ({secret, unquote(secret)} | pieces) - {""}
    for form in sorted(forms, key=lambda form: (-len(form), form)):
        text = text.replace(form, _HIDDEN)
    return text


def _login(uri: str) -> str:
    """User and password, or the token, of any address, as it is written; "" if it has none.

    If a password has signs that should be escaped, everything up to the last ``@`` is taken.
    """
    scheme, _, rest = uri.partition("://")
    if scheme.startswith("sqlite"):
        return ""
    before, at, _ = rest.partition("?")[0].rpartition("@")
    server = _END.split(rest, maxsplit=1)[0]
    if at and "@" in server:
        return before
    _, colon, port = server.partition(":")
    is_port = not colon or port.isdecimal() or server.startswith("[")
    return "" if is_port else rest.rpartition("@")[0]


def page_of(uri: str, path: str) -> str | None:
    """The address of a page of MLflow's, such as ``models/NAME``, in its mode for model training.

    A browser that sees MLflow for the first time opens its mode for GenAI otherwise, which shows
    traces; there are none. None where ``uri`` is not on the web. A password is masked.
    """
    if not uri.startswith(("http://", "https://")):
        return None
    return f"{masked(uri).rstrip('/')}/#/{path}?workflowType=machine_learning"
